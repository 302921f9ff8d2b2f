/* SPDX-License-Identifier: GPL-2.0-only */
/* Objects as netlink attributes. */
#ifndef LEND_ATTRIBUTES_H
#define LEND_ATTRIBUTES_H

#include <linux/types.h>

struct lend_link;
struct sk_buff;

/**
 * struct lend_mail - a message of a peer's daemon
 * @link: where it came from
 * @port: enum ntb_lend_mailbox_port
 * @data: the message
 * @len: its octets
 */
struct lend_mail {
	struct lend_link *link;
	u32 port;
	const void *data;
	size_t len;
};

/* Puts one object into a message. */
typedef int (*lend_put_fn)(struct sk_buff *skb, void *object);

int lend_put_link(struct sk_buff *skb, void *object);
int lend_put_lent(struct sk_buff *skb, void *object);
int lend_put_borrowed(struct sk_buff *skb, void *object);
int lend_put_mail(struct sk_buff *skb, void *object);

#endif
