/* SPDX-License-Identifier: GPL-2.0-only */
/* Owner side: what a lent function reaches of the windows that it was shown. */
#ifndef LEND_OWNER_REACH_H
#define LEND_OWNER_REACH_H

#include <linux/types.h>

struct lease;

void owner_reach_nothing(struct lease *lease);
int owner_reach_part(struct lease *lease, u64 offset, u64 size);
int owner_reach_all(struct lease *lease);

#endif
