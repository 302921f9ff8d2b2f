// SPDX-License-Identifier: GPL-2.0-only
/* What older kernels lack and is too large for compat.h. */

#include <linux/atomic.h>
#include <linux/kernel.h>

#include "compat.h"

#ifdef LEND_NEEDS_EXTACK_FORMAT
/*
 * The kernel copies a message soon after the request has failed, so that by the
 * time a buffer is used again nobody looks at it; it ends in zero at any time.
 */
#define LEND_EXTACK_BUFFERS	64

static char lend_extack_buffers[LEND_EXTACK_BUFFERS][256];
static atomic_t lend_extack_next;

/**
 * lend_extack_format() - make an error message that outlives the request
 * @format: as printf() takes it
 *
 * Context: any.
 * Return: the message.
 */
const char *lend_extack_format(const char *format, ...)
{
	unsigned int i = (unsigned int)atomic_inc_return(&lend_extack_next) % LEND_EXTACK_BUFFERS;
	va_list args;

	va_start(args, format);
	vsnprintf(lend_extack_buffers[i], sizeof(lend_extack_buffers[i]), format, args);
	va_end(args);
	return lend_extack_buffers[i];
}
#endif
