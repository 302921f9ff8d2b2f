/* SPDX-License-Identifier: GPL-2.0-only */
/* Which parts of its DMA window a lent device reaches, where it does not reach all of them. */
#ifndef LEND_REACH_H
#define LEND_REACH_H

#include <linux/errno.h>
#include <linux/types.h>

#include "region.h"

/* What user space maps, and where interrupts are raised. */
#define LEND_REACH_PARTS	2

/**
 * struct lend_reach - what a device reaches
 * @narrow: no more than the parts; else all windows
 * @count: parts
 * @part: offsets in the DMA window; they do not overlap
 */
struct lend_reach {
	bool narrow;
	unsigned int count;
	struct lend_region part[LEND_REACH_PARTS];
};

/**
 * lend_reach_check() - may a device reach this part as well
 * @reach: what it reaches
 * @window: octets of the DMA window
 * @part: what is asked for
 *
 * Context: any.
 * Return: 0; -EINVAL it may not, whoever asks; -ENOSPC there are too many parts.
 */
static inline int lend_reach_check(const struct lend_reach *reach, u64 window,
				   const struct lend_region *part)
{
	const struct lend_region shown = { .size = window };
	const struct lend_region *other;

	if (!reach->narrow || !part->size || !lend_region_holds(&shown, part->first, part->size))
		return -EINVAL;
	for (other = reach->part; other < reach->part + reach->count; other++)
		if (part->first < other->first + other->size &&
		    other->first < part->first + part->size)
			return -EINVAL;
	return reach->count < LEND_REACH_PARTS ? 0 : -ENOSPC;
}

#endif
