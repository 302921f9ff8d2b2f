/* SPDX-License-Identifier: GPL-2.0-only */
/* The only place that knows how kernels differ. */
#ifndef LEND_COMPAT_H
#define LEND_COMPAT_H

/* Since 6.10 the source is that of __string(). */
#define LEND_ASSIGN_STR(dst, src)	__assign_str(dst)

#endif
