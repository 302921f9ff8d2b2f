/* SPDX-License-Identifier: GPL-2.0-only */
/* Borrower side: what a borrowed device reaches of what its owner's windows show. */
#ifndef LEND_BORROWER_REACH_H
#define LEND_BORROWER_REACH_H

#include <linux/types.h>

struct borrowed_device;

void borrower_reach_all(struct borrowed_device *b);
int borrower_reach_nothing(struct borrowed_device *b);
int borrower_reach_only(struct borrowed_device *b, u64 first, u64 size);

#endif
