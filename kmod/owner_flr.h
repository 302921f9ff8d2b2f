/* SPDX-License-Identifier: GPL-2.0-only */
/* Owner side: a function level reset that the borrower asks for. */
#ifndef LEND_OWNER_FLR_H
#define LEND_OWNER_FLR_H

struct lease;
struct lent_device;

void owner_flr_init(struct lent_device *lent);
void owner_flr_exit(struct lent_device *lent);
void owner_flr_begin(struct lease *lease);

#endif
