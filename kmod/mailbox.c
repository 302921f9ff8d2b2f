// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mailbox: one message at a time per direction, written into the peer's
 * memory and acknowledged once the peer's kernel has handed it to the daemon.
 */

#include <linux/io.h>
#include <linux/jiffies.h>
#include <linux/slab.h>

#include "link.h"
#include "mailbox.h"
#include "netlink.h"

#define LEND_MBOX_TIMEOUT	(5 * HZ)
#define LEND_MBOX_RERING	(HZ / 20)

/* Process context: work item. Hands the peer's message to its daemon. */
static void lend_mailbox_receive(struct work_struct *work)
{
	struct lend_link *link = container_of(work, struct lend_link, mbox.work);
	struct lend_mbox *from = &link->chan->mbox;
	u32 seq, len, port, status;
	u8 *data;

	if (!lend_link_enter(link))
		return;
	seq = le32_to_cpu(READ_ONCE(from->seq));
	if (!seq)
		goto leave;
	/* Sequence number before body. */
	dma_rmb();
	if (seq == link->mbox.seen) {
		/* Our acknowledgment is on its way; the sender only repeats the doorbell. */
		goto leave;
	}
	len = le32_to_cpu(READ_ONCE(from->len));
	port = le32_to_cpu(READ_ONCE(from->port));
	if (!len || len > LEND_MBOX_MAX ||
	    le64_to_cpu(READ_ONCE(from->session)) != link->peer_epoch) {
		status = LEND_MBOX_INVALID;
		atomic64_inc(&link->counters.rejected);
	} else {
		/* The peer may go on writing; the daemon gets one version. */
		data = kmemdup(from->data, len, GFP_KERNEL);
		status = data ? lend_netlink_mailbox(link, port, data, len) : LEND_MBOX_BUSY;
		kfree(data);
		atomic64_inc(&link->counters.mbox_received);
	}
	link->mbox.seen = seq;

	writel(status, &link->peer_chan->mbox_ack_status);
	/* Status before number. */
	wmb();
	writel(seq, &link->peer_chan->mbox_ack_seq);
	/* Before the doorbell. */
	wmb();
	lend_link_ring(link, LEND_DB_MAILBOX);
leave:
	lend_link_leave(link);
}

static bool lend_mailbox_acked(struct lend_link *link, u32 seq)
{
	return le32_to_cpu(READ_ONCE(link->chan->mbox_ack_seq)) == seq ||
	       READ_ONCE(link->dead);
}

/**
 * lend_mailbox_send() - send a message to a daemon of the peer
 * @link: the link
 * @port: enum ntb_lend_mailbox_port
 * @data: the message
 * @len: its octets, at most LEND_MBOX_MAX
 *
 * Context: process; sleeps. Takes @link->mbox.lock.
 * Return: 0 handed to the daemon; -ENOTCONN link not ready; -ECONNREFUSED no
 * daemon there; -EAGAIN its socket is full; -ETIMEDOUT; -EMSGSIZE; -EPROTO.
 */
int lend_mailbox_send(struct lend_link *link, u32 port, const void *data, size_t len)
{
	struct lend_mbox __iomem *to;
	unsigned long deadline;
	int ret;
	u32 seq;

	if (!len || len > LEND_MBOX_MAX)
		return -EMSGSIZE;
	mutex_lock(&link->mbox.lock);
	if (!lend_link_enter(link)) {
		ret = -ENOTCONN;
		goto unlock;
	}

	seq = ++link->mbox.seq;
	if (!seq)
		seq = ++link->mbox.seq;
	to = &link->peer_chan->mbox;
	memcpy_toio(to->data, data, len);
	writel(len, &to->len);
	writel(port, &to->port);
	writeq(link->epoch, &to->session);
	/* Body before number. */
	wmb();
	writel(seq, &to->seq);
	/* Before the doorbell. */
	wmb();
	atomic64_inc(&link->counters.mbox_sent);

	deadline = jiffies + LEND_MBOX_TIMEOUT;
	do {
		lend_link_ring(link, LEND_DB_MAILBOX);
		wait_event_timeout(link->mbox.wait, lend_mailbox_acked(link, seq),
				   LEND_MBOX_RERING);
	} while (!lend_mailbox_acked(link, seq) && time_before(jiffies, deadline));

	if (READ_ONCE(link->dead)) {
		ret = -ENOTCONN;
	} else if (le32_to_cpu(READ_ONCE(link->chan->mbox_ack_seq)) != seq) {
		ret = -ETIMEDOUT;
	} else {
		/* Number before status. */
		dma_rmb();
		switch (le32_to_cpu(READ_ONCE(link->chan->mbox_ack_status))) {
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
	lend_link_leave(link);
unlock:
	mutex_unlock(&link->mbox.lock);
	return ret;
}

/**
 * lend_mailbox_kick() - a message or an acknowledgment may be there
 * @link: the link
 *
 * Context: any; called from the doorbell's interrupt.
 */
void lend_mailbox_kick(struct lend_link *link)
{
	queue_work(system_highpri_wq, &link->mbox.work);
	wake_up(&link->mbox.wait);
}

/**
 * lend_mailbox_init() - prepare a new link's mailbox
 * @link: the link
 *
 * Context: process.
 */
void lend_mailbox_init(struct lend_link *link)
{
	mutex_init(&link->mbox.lock);
	INIT_WORK(&link->mbox.work, lend_mailbox_receive);
	init_waitqueue_head(&link->mbox.wait);
}

/**
 * lend_mailbox_reset() - forget the last session's messages
 * @link: the link, not ready; its channel memory is zero
 *
 * Context: process; caller holds @link->lock.
 */
void lend_mailbox_reset(struct lend_link *link)
{
	link->mbox.seen = 0;
}

/**
 * lend_mailbox_stop() - end what is under way
 * @link: the link, marked dead
 *
 * Context: process.
 */
void lend_mailbox_stop(struct lend_link *link)
{
	wake_up_all(&link->mbox.wait);
	cancel_work_sync(&link->mbox.work);
}
