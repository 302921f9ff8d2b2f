/* SPDX-License-Identifier: GPL-2.0-only */
/* Generic netlink: the module's interface to user space. */
#ifndef LEND_NETLINK_H
#define LEND_NETLINK_H

#include <linux/types.h>

struct lend_mailbox;

int lend_netlink_register(void);
void lend_netlink_unregister(void);
u32 lend_netlink_deliver(struct lend_mailbox *mailbox, u32 port, const void *data, size_t len);

#endif
