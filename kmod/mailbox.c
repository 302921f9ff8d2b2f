// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mailbox: one message at a time per direction, written into the peer's
 * memory and acknowledged once the peer's kernel has handed it to the daemon.
 * Used by link.c for its life, by ntb_client.c for its doorbell, and by netlink.c to
 * send.
 *
 * Locks: lend_mailbox.lock, taken by senders under no other lock.
 */

#include <linux/io.h>
#include <linux/jiffies.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>

#include "channel.h"
#include "mailbox.h"

#define LEND_MBOX_TIMEOUT	(5 * HZ)
#define LEND_MBOX_RERING	(HZ / 20)

/* How many messages a daemon is handed, whatever the peer sends; the peer is told to wait. */
#define LEND_MBOX_PER_S		200
#define LEND_MBOX_AT_ONCE	400

/* Process context: work item. Hands the peer's message to its daemon. */
static void lend_mailbox_receive(struct work_struct *work)
{
	struct lend_mailbox *mailbox = container_of(work, struct lend_mailbox, work);
	struct lend_channel *channel = mailbox->channel;
	struct lend_mbox *from = &channel->own->mbox;
	u32 seq, len, port, status;
	u8 *data;

	if (!lend_channel_enter(channel))
		return;
	seq = le32_to_cpu(READ_ONCE(from->seq));
	if (!seq)
		goto leave;
	/* Sequence number before body. */
	dma_rmb();
	if (seq == mailbox->seen) {
		/* Our acknowledgment is on its way; the sender only repeats the doorbell. */
		goto leave;
	}
	len = le32_to_cpu(READ_ONCE(from->len));
	port = le32_to_cpu(READ_ONCE(from->port));
	if (!len || len > LEND_MBOX_MAX ||
	    le64_to_cpu(READ_ONCE(from->session)) != channel->peer_epoch) {
		status = LEND_MBOX_INVALID;
		atomic64_inc(&channel->counters.rejected);
	} else if (!lend_budget_take(&mailbox->received, ktime_get_mono_fast_ns(), LEND_MBOX_PER_S,
				     LEND_MBOX_AT_ONCE)) {
		status = LEND_MBOX_BUSY;
		atomic64_inc(&channel->counters.rejected);
	} else {
		/* The peer may go on writing; the daemon gets one version. */
		data = kmemdup(from->data, len, GFP_KERNEL);
		status = data ? mailbox->deliver(mailbox, port, data, len) : LEND_MBOX_BUSY;
		kfree(data);
		atomic64_inc(&channel->counters.mbox_received);
	}
	mailbox->seen = seq;

	writel(status, &channel->peer->mbox_ack_status);
	/* Status before number. */
	wmb();
	writel(seq, &channel->peer->mbox_ack_seq);
	/* Before the doorbell. */
	wmb();
	lend_channel_ring(channel, LEND_DB_MAILBOX);
leave:
	lend_channel_leave(channel);
}

static bool lend_mailbox_acked(struct lend_channel *channel, u32 seq)
{
	return le32_to_cpu(READ_ONCE(channel->own->mbox_ack_seq)) == seq ||
	       READ_ONCE(channel->dead);
}

/**
 * lend_mailbox_send() - send a message to a daemon of the peer
 * @mailbox: the mailbox
 * @port: enum ntb_lend_mailbox_port
 * @data: the message
 * @len: its octets, at most LEND_MBOX_MAX
 *
 * Context: process; sleeps. Takes @mailbox->lock.
 * Return: 0 handed to the daemon; -ENOTCONN link not ready; -ECONNREFUSED no
 * daemon there; -EAGAIN its socket is full; -ETIMEDOUT; -EMSGSIZE; -EPROTO.
 */
int lend_mailbox_send(struct lend_mailbox *mailbox, u32 port, const void *data, size_t len)
{
	struct lend_channel *channel = mailbox->channel;
	struct lend_mbox __iomem *to;
	unsigned long deadline;
	int ret;
	u32 seq;

	if (!len || len > LEND_MBOX_MAX)
		return -EMSGSIZE;
	mutex_lock(&mailbox->lock);
	if (!lend_channel_enter(channel)) {
		ret = -ENOTCONN;
		goto unlock;
	}

	seq = ++mailbox->seq;
	if (!seq)
		seq = ++mailbox->seq;
	to = &channel->peer->mbox;
	memcpy_toio(to->data, data, len);
	writel(len, &to->len);
	writel(port, &to->port);
	writeq(channel->epoch, &to->session);
	/* Body before number. */
	wmb();
	writel(seq, &to->seq);
	/* Before the doorbell. */
	wmb();
	atomic64_inc(&channel->counters.mbox_sent);

	deadline = jiffies + LEND_MBOX_TIMEOUT;
	do {
		lend_channel_ring(channel, LEND_DB_MAILBOX);
		wait_event_timeout(mailbox->wait, lend_mailbox_acked(channel, seq),
				   LEND_MBOX_RERING);
	} while (!lend_mailbox_acked(channel, seq) && time_before(jiffies, deadline));

	if (READ_ONCE(channel->dead)) {
		ret = -ENOTCONN;
	} else if (le32_to_cpu(READ_ONCE(channel->own->mbox_ack_seq)) != seq) {
		ret = -ETIMEDOUT;
	} else {
		/* Number before status. */
		dma_rmb();
		switch (le32_to_cpu(READ_ONCE(channel->own->mbox_ack_status))) {
		case LEND_MBOX_DELIVERED:
			ret = 0;
			break;
		case LEND_MBOX_REFUSED:
			ret = -ECONNREFUSED;
			break;
		case LEND_MBOX_BUSY:
			ret = -EAGAIN;
			break;
		default:
			ret = -EPROTO;
		}
	}
	lend_channel_leave(channel);
unlock:
	mutex_unlock(&mailbox->lock);
	return ret;
}

/**
 * lend_mailbox_kick() - a message or an acknowledgment may be there
 * @mailbox: the mailbox
 *
 * Context: any; called from the doorbell's interrupt.
 */
void lend_mailbox_kick(struct lend_mailbox *mailbox)
{
	queue_work(system_highpri_wq, &mailbox->work);
	wake_up(&mailbox->wait);
}

/**
 * lend_mailbox_init() - prepare a new link's mailbox
 * @mailbox: the mailbox
 * @channel: whose memory it is in
 * @deliver: hands messages to daemons
 *
 * Context: process.
 */
void lend_mailbox_init(struct lend_mailbox *mailbox, struct lend_channel *channel,
		       lend_mailbox_deliver *deliver)
{
	mailbox->channel = channel;
	mailbox->deliver = deliver;
	mutex_init(&mailbox->lock);
	INIT_WORK(&mailbox->work, lend_mailbox_receive);
	init_waitqueue_head(&mailbox->wait);
}

/**
 * lend_mailbox_reset() - forget the last session's messages
 * @mailbox: the mailbox, not ready; its channel memory is zero
 *
 * Context: process; caller holds the link's lock.
 */
void lend_mailbox_reset(struct lend_mailbox *mailbox)
{
	mailbox->seen = 0;
}

/**
 * lend_mailbox_wake() - let senders see that the peer is lost
 * @mailbox: the mailbox, its channel marked dead
 *
 * Context: any.
 */
void lend_mailbox_wake(struct lend_mailbox *mailbox)
{
	wake_up_all(&mailbox->wait);
}

/**
 * lend_mailbox_stop() - end what is under way
 * @mailbox: the mailbox, marked dead
 *
 * Context: process.
 */
void lend_mailbox_stop(struct lend_mailbox *mailbox)
{
	wake_up_all(&mailbox->wait);
	cancel_work_sync(&mailbox->work);
}
