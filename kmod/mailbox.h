/* SPDX-License-Identifier: GPL-2.0-only */
/* Mailbox: messages between the daemons of two hosts. */
#ifndef LEND_MAILBOX_H
#define LEND_MAILBOX_H

#include <linux/types.h>

struct lend_link;

void lend_mailbox_init(struct lend_link *link);
void lend_mailbox_reset(struct lend_link *link);
void lend_mailbox_stop(struct lend_link *link);
void lend_mailbox_kick(struct lend_link *link);
int lend_mailbox_send(struct lend_link *link, u32 port, const void *data, size_t len);

#endif
