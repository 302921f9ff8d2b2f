/* SPDX-License-Identifier: GPL-2.0-only */
/* Owner side: the place of a lent function in the windows, both ways. */
#ifndef LEND_OWNER_PLACE_H
#define LEND_OWNER_PLACE_H

#include <linux/types.h>

struct lease;
struct lend_trust;
struct netlink_ext_ack;

int owner_place(struct lease *lease, bool in_use, const struct lend_trust *trust,
		struct netlink_ext_ack *extack);
void owner_unplace(struct lease *lease, bool in_use);
bool owner_holds_bar_window(const struct lease *lease);

#endif
