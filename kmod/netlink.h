/* SPDX-License-Identifier: GPL-2.0-only */
/* Generic netlink: the module's interface to user space. */
#ifndef LEND_NETLINK_H
#define LEND_NETLINK_H

#include <linux/types.h>

struct lend_borrowed;
struct lend_lent;
struct lend_link;

int lend_netlink_register(void);
void lend_netlink_unregister(void);

u32 lend_netlink_mailbox(struct lend_link *link, u32 port, const void *data, size_t len);
void lend_netlink_link_event(struct lend_link *link);
void lend_netlink_lent_event(struct lend_lent *lent);
void lend_netlink_borrowed_event(struct lend_borrowed *borrowed);

#endif
