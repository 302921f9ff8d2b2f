/* SPDX-License-Identifier: GPL-2.0-only */
/* Mailbox: messages between the daemons of two hosts. */
#ifndef LEND_MAILBOX_H
#define LEND_MAILBOX_H

#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "budget.h"

struct lend_channel;
struct lend_mailbox;

/**
 * typedef lend_mailbox_deliver - hands a message of the peer to its daemon
 * @mailbox: where it came to
 * @port: which daemon; not checked yet
 * @data: the message
 * @len: its octets
 *
 * Process context. Returns enum lend_mbox_status.
 */
typedef u32 lend_mailbox_deliver(struct lend_mailbox *mailbox, u32 port, const void *data,
				 size_t len);

/**
 * struct lend_mailbox - the mailbox of a link
 * @channel: whose memory it is in
 * @deliver: hands messages to daemons
 * @lock: one message under way
 * @work: receives
 * @wait: where senders wait for the acknowledgment
 * @seq: of the last message sent; under @lock
 * @seen: of the last message received
 * @received: how often, with @work
 */
struct lend_mailbox {
	struct lend_channel *channel;
	lend_mailbox_deliver *deliver;
	struct mutex lock; /* one message under way */
	struct work_struct work;
	wait_queue_head_t wait;
	u32 seq;
	u32 seen;
	struct lend_budget received;
};

void lend_mailbox_init(struct lend_mailbox *mailbox, struct lend_channel *channel,
		       lend_mailbox_deliver *deliver);
void lend_mailbox_reset(struct lend_mailbox *mailbox);
void lend_mailbox_wake(struct lend_mailbox *mailbox);
void lend_mailbox_stop(struct lend_mailbox *mailbox);
void lend_mailbox_kick(struct lend_mailbox *mailbox);
int lend_mailbox_send(struct lend_mailbox *mailbox, u32 port, const void *data, size_t len);

#endif
