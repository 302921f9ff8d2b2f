/* SPDX-License-Identifier: GPL-2.0-only */
/* The only place that knows how kernels differ. */
#ifndef LEND_COMPAT_H
#define LEND_COMPAT_H

/* A string field and its source have the same name: since 6.10 it is said once. */
#define LEND_ASSIGN_STR(field)	__assign_str(field)

#endif
