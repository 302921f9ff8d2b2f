// SPDX-License-Identifier: GPL-2.0-only
/*
 * Links: the handshake over scratchpads, heartbeats, and the loss of a link.
 *
 * State machine, run by lend_link_work() under lend_link.lock:
 *
 *   down -> handshake      the bridge reports the link as up
 *   handshake -> ready     the peer's epoch is known and it echoes ours
 *   any -> down            the bridge reports the link as down, heartbeats stop,
 *                          or the peer shows a new epoch
 *
 * Leaving ready ends the session: all borrowed devices are removed, all leases
 * of the peer end, and this side takes a new epoch. Leaving handshake does not
 * change the epoch: two sides that both did would chase each other for ever.
 */

#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/idr.h>
#include <linux/io.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/rculist.h>
#include <linux/slab.h>

#include "borrowed.h"
#include "bridge.h"
#include "channel.h"
#include "handshake.h"
#include "lent.h"
#include "link.h"
#include "mailbox.h"
#include "netlink.h"
#include "pool.h"
#include "trace.h"
#include "window.h"

static unsigned int heartbeat_ms = 250;
module_param(heartbeat_ms, uint, 0644);
MODULE_PARM_DESC(heartbeat_ms, "Interval of heartbeats, in ms (default 250)");

static unsigned int heartbeat_timeout_ms = 5000;
module_param(heartbeat_timeout_ms, uint, 0644);
MODULE_PARM_DESC(heartbeat_timeout_ms,
		 "A peer without a heartbeat for this long is lost, in ms (default 5000)");

/* How often the state machine looks when nothing rings. */
#define LEND_TICK	(HZ / 4)

static LIST_HEAD(lend_links);
static DEFINE_MUTEX(lend_links_lock);
static DEFINE_IDA(lend_link_ids);

static void lend_link_free(struct kref *ref)
{
	struct lend_link *link = container_of(ref, struct lend_link, ref);

	ida_free(&lend_link_ids, link->id);
	lend_pool_destroy(link->pool);
	pci_dev_put(link->pdev);
	mutex_destroy(&link->lease_lock);
	mutex_destroy(&link->lock);
	kfree(link->relay);
	kfree(link);
}

/**
 * lend_link_put() - drop a reference
 * @link: the link
 *
 * Context: process.
 */
void lend_link_put(struct lend_link *link)
{
	kref_put(&link->ref, lend_link_free);
}

/**
 * lend_link_get() - find a link
 * @id: its number
 *
 * Context: process; takes the list's lock.
 * Return: the link with a reference, or NULL.
 */
struct lend_link *lend_link_get(u32 id)
{
	struct lend_link *link, *found = NULL;

	mutex_lock(&lend_links_lock);
	list_for_each_entry(link, &lend_links, node) {
		if (link->id == id) {
			kref_get(&link->ref);
			found = link;
			break;
		}
	}
	mutex_unlock(&lend_links_lock);
	return found;
}

/**
 * lend_link_for_each() - look at the links in the order of their numbers
 * @start: first number
 * @fn: called for each with @arg, until it returns non-zero
 * @arg: for @fn
 *
 * Context: process; @fn runs under the list's lock.
 * Return: what the last @fn returned.
 */
int lend_link_for_each(u32 start, int (*fn)(struct lend_link *link, void *arg), void *arg)
{
	struct lend_link *link;
	int ret = 0;

	mutex_lock(&lend_links_lock);
	list_for_each_entry(link, &lend_links, node) {
		if (link->id < start)
			continue;
		ret = fn(link, arg);
		if (ret)
			break;
	}
	mutex_unlock(&lend_links_lock);
	return ret;
}

/**
 * lend_link_visit_all() - look at the links without waiting
 * @fn: called for each; one that comes or goes is not ready
 *
 * Context: any; @fn runs in an RCU read-side section.
 */
void lend_link_visit_all(void (*fn)(struct lend_link *link))
{
	struct lend_link *link;

	rcu_read_lock();
	list_for_each_entry_rcu(link, &lend_links, node)
		fn(link);
	rcu_read_unlock();
}

/**
 * lend_link_ring() - ring a doorbell of the peer
 * @link: the link
 * @db: which
 *
 * Context: any.
 */
void lend_link_ring(struct lend_link *link, enum lend_doorbell db)
{
	ntb_peer_db_set(link->ntb, BIT_ULL(db));
	atomic64_inc(&link->counters.db_sent);
}

/**
 * lend_link_enter() - begin to use the peer's channel memory
 * @link: the link
 *
 * Context: any.
 * Return: false when the link is not ready. Else lend_link_leave() must follow.
 */
bool lend_link_enter(struct lend_link *link)
{
	atomic_inc(&link->users);
	/* Either the session's end sees us, or we see that it is dead. */
	smp_mb__after_atomic();
	if (lend_link_is_ready(link))
		return true;
	atomic_dec(&link->users);
	return false;
}

/**
 * lend_link_leave() - done with the peer's channel memory
 * @link: the link
 *
 * Context: any.
 */
void lend_link_leave(struct lend_link *link)
{
	/* The last use of the peer's memory is over before we are gone. */
	smp_mb__before_atomic();
	atomic_dec(&link->users);
}

/**
 * lend_link_set_state() - say how the link is
 * @link: the link
 * @state: what it is now
 * @message: why it is not ready, or NULL
 *
 * Context: process; caller holds @link->lock.
 */
void lend_link_set_state(struct lend_link *link, enum ntb_lend_link_state state,
			 const char *message)
{
	if (link->state == state && link->message == message)
		return;
	link->message = message;
	WRITE_ONCE(link->state, state);
	trace_lend_link_state(link->id, state, link->epoch, link->peer_epoch);
	lend_netlink_link_event(link);
}

static void lend_link_new_epoch(struct lend_link *link)
{
	u64 epoch;

	do {
		epoch = get_random_u64();
	} while (!lower_32_bits(epoch) || epoch == link->epoch);
	link->epoch = epoch;
}

static void lend_link_mark_dead(struct lend_link *link)
{
	WRITE_ONCE(link->dead, true);
	wake_up_all(&link->mbox.wait);
}

/*
 * Process context, @link->lock held. Ends the session, if there is one: nobody
 * uses the peer's channel memory afterwards, and no borrowed device is left.
 */
static void lend_link_end_session(struct lend_link *link, const char *why)
{
	bool was_ready = link->state == NTB_LEND_LINK_STATE_READY;

	lend_link_mark_dead(link);
	lend_link_set_state(link, NTB_LEND_LINK_STATE_DOWN, why);
	if (was_ready)
		dev_warn(&link->ntb->dev, "link %u lost: %s\n", link->id, why);

	cancel_delayed_work_sync(&link->hb_work);
	lend_mailbox_stop(link);
	while (atomic_read(&link->users))
		usleep_range(50, 100);

	lend_borrowed_link_lost(link);
	/* A lease that begins later finds that the link is not ready. */
	mutex_lock(&link->lease_lock);
	lend_lent_link_lost(link);
	mutex_unlock(&link->lease_lock);
	lend_windows_unclaim(link);
	if (link->peer_chan)
		iounmap(link->peer_chan);
	link->peer_chan = NULL;
	link->peer_epoch = 0;
	link->peer_protocol = 0;
	link->peer_told = 0;
	link->proofs = 0;
	mutex_lock(&link->lease_lock);
	lend_windows_close(link);
	mutex_unlock(&link->lease_lock);
	if (was_ready)
		lend_link_new_epoch(link);
	lend_channel_reset(link);
	lend_mailbox_reset(link);
	WRITE_ONCE(link->dead, false);
}

/* Work item; takes no lock, for a driver's probe may hold the link's. */
static void lend_link_heartbeat(struct work_struct *work)
{
	struct lend_link *link = container_of(to_delayed_work(work), struct lend_link, hb_work);
	unsigned long timeout = msecs_to_jiffies(READ_ONCE(heartbeat_timeout_ms));
	u64 seen;

	if (!lend_link_enter(link))
		return;
	lend_heartbeat_write(link, true);
	seen = le64_to_cpu(READ_ONCE(link->chan->heartbeat));
	if (seen != link->hb_seen) {
		link->hb_seen = seen;
		link->hb_changed = jiffies;
	} else if (time_after(jiffies, link->hb_changed + timeout)) {
		atomic64_inc(&link->counters.hb_missed);
		lend_link_mark_dead(link);
		lend_borrowed_link_dead(link);
		mod_delayed_work(link->wq, &link->work, 0);
	}
	lend_link_leave(link);
	lend_relay_repeat(link->relay);
	if (!READ_ONCE(link->dead))
		queue_delayed_work(system_highpri_wq, &link->hb_work,
				   msecs_to_jiffies(READ_ONCE(heartbeat_ms)));
}

/**
 * lend_link_become_ready() - the peer may be asked and answered from now on
 * @link: the link; both sides' writes arrive
 *
 * Context: process; caller holds @link->lock.
 */
void lend_link_become_ready(struct lend_link *link)
{
	link->hb_seen = 0;
	link->hb_changed = jiffies;
	lend_link_set_state(link, NTB_LEND_LINK_STATE_READY, NULL);
	dev_info(&link->ntb->dev, "link %u ready\n", link->id);
	queue_delayed_work(system_highpri_wq, &link->hb_work, 0);
	/* Requests may have come before we were ready to answer. */
	lend_channel_kick(link);
}

/**
 * lend_link_restart() - end the session, and begin another at once
 * @link: the link
 * @why: for people
 *
 * Context: process; caller holds @link->lock.
 */
void lend_link_restart(struct lend_link *link, const char *why)
{
	lend_link_end_session(link, why);
	mod_delayed_work(link->wq, &link->work, 0);
}

/* Work item, ordered; takes @link->lock. */
static void lend_link_work(struct work_struct *work)
{
	struct lend_link *link = container_of(to_delayed_work(work), struct lend_link, work);
	bool up = ntb_link_is_up(link->ntb, NULL, NULL);
	int ret;

	WRITE_ONCE(link->physical, up);
	if (READ_ONCE(link->dead) || !up) {
		lend_link_mark_dead(link);
		/* Before the lock: a probe that holds it ends sooner this way. */
		lend_borrowed_link_dead(link);
	}

	mutex_lock(&link->lock);
	if (link->removed)
		goto unlock;
	if (READ_ONCE(link->dead)) {
		if (link->state != NTB_LEND_LINK_STATE_DOWN)
			lend_link_end_session(link, up ? "the peer's heartbeat has stopped" :
							 "the bridge reports the link as down");
		WRITE_ONCE(link->dead, false);
	}
	if (!up)
		goto requeue;

	if (link->state == NTB_LEND_LINK_STATE_DOWN) {
		mutex_lock(&link->lease_lock);
		ret = lend_windows_open(link);
		mutex_unlock(&link->lease_lock);
		if (ret) {
			lend_link_set_state(link, NTB_LEND_LINK_STATE_DOWN,
					    lend_windows_error(ret));
			goto requeue;
		}
		lend_link_set_state(link, NTB_LEND_LINK_STATE_HANDSHAKE,
				    "no ntb_lend on the peer yet");
	}
	lend_link_shake_hands(link);
requeue:
	queue_delayed_work(link->wq, &link->work, LEND_TICK);
unlock:
	mutex_unlock(&link->lock);
}

/* Interrupt context, under the NTB core's ctx_lock. */
static void lend_link_event(void *ctx)
{
	struct lend_link *link = ctx;

	if (!ntb_link_is_up(link->ntb, NULL, NULL))
		lend_link_mark_dead(link);
	mod_delayed_work(link->wq, &link->work, 0);
}

/* Interrupt context, under the NTB core's ctx_lock. */
static void lend_db_event(void *ctx, int vector)
{
	struct lend_link *link = ctx;
	u64 bits = ntb_db_read(link->ntb) & LEND_ALL_DB;

	if (!bits)
		return;
	ntb_db_clear(link->ntb, bits);
	atomic64_inc(&link->counters.db_received);
	if (bits & BIT_ULL(LEND_DB_REQUEST))
		lend_channel_kick(link);
	if (bits & BIT_ULL(LEND_DB_MAILBOX))
		lend_mailbox_kick(link);
	if (bits & BIT_ULL(LEND_DB_RELAY))
		lend_relay_kick(link->relay);
	if (bits & BIT_ULL(LEND_DB_HELLO))
		mod_delayed_work(link->wq, &link->work, 0);
}

static const struct ntb_ctx_ops lend_ctx_ops = {
	.link_event = lend_link_event,
	.db_event = lend_db_event,
};

/* All DMA goes through the NTB function: no address beyond the window. */
static int lend_link_limit_dma(struct lend_link *link)
{
	resource_size_t size = link->win[link->dma_win].size;
	int bits = min(ilog2(size), 64);
	int ret;

	link->dma_mask = dma_get_mask(&link->pdev->dev);
	ret = dma_set_mask_and_coherent(&link->pdev->dev, DMA_BIT_MASK(bits));
	if (ret)
		dev_err(&link->ntb->dev,
			"the window of %llu KiB is too small for DMA: make it larger in the firmware or the bridge's driver\n",
			(u64)size >> 10);
	return ret;
}

/* Without IOMMU the window shows the lowest memory, and perhaps not all. */
static int lend_link_make_pool(struct lend_link *link)
{
	resource_size_t size = link->win[link->dma_win].size;
	struct device *dev = &link->pdev->dev;

	link->translated = lend_is_translated(dev);
	link->plain = lend_is_plain(dev);
	if (link->translated || dma_get_required_mask(dev) < size)
		return 0;
	link->pool = lend_pool_create();
	return link->pool ? 0 : -ENOMEM;
}

/* Process context. Nobody finds the link on the list afterwards. */
static void lend_link_unlist(struct lend_link *link)
{
	mutex_lock(&lend_links_lock);
	list_del_rcu(&link->node);
	mutex_unlock(&lend_links_lock);
	synchronize_rcu();
}

static int lend_link_probe(struct ntb_client *client, struct ntb_dev *ntb)
{
	struct lend_link *link;
	int ret;

	ret = lend_bridge_check(ntb);
	if (ret)
		return ret;
	if (ntb_peer_port_count(ntb) > 1)
		dev_warn(&ntb->dev, "%d peer ports, only the first is used\n",
			 ntb_peer_port_count(ntb));

	link = kzalloc(sizeof(*link), GFP_KERNEL);
	if (!link)
		return -ENOMEM;
	kref_init(&link->ref);
	mutex_init(&link->lock);
	mutex_init(&link->lease_lock);
	INIT_DELAYED_WORK(&link->work, lend_link_work);
	INIT_DELAYED_WORK(&link->hb_work, lend_link_heartbeat);
	lend_mailbox_init(link);
	link->ntb = ntb;
	link->pdev = pci_dev_get(ntb->pdev);
	link->bridge = ntb->pdev->driver->driver.owner;
	link->pidx = NTB_DEF_PEER_IDX;
	link->message = "the bridge reports the link as down";
	lend_link_new_epoch(link);

	ret = ida_alloc(&lend_link_ids, GFP_KERNEL);
	if (ret < 0)
		goto free;
	link->id = ret;

	link->relay = lend_relay_alloc();
	if (!link->relay) {
		ret = -ENOMEM;
		goto put;
	}
	ret = lend_windows_probe(link);
	if (ret)
		goto put;
	ret = lend_link_limit_dma(link);
	if (ret)
		goto put;
	ret = lend_link_make_pool(link);
	if (ret)
		goto unlimit;
	link->chan = dma_alloc_coherent(&link->pdev->dev, sizeof(*link->chan),
					&link->chan_dma, GFP_KERNEL);
	ret = link->chan ? 0 : -ENOMEM;
	if (ret) {
		dev_err(&ntb->dev, "nothing free below %llu MiB, and the window shows no more: make it larger\n",
			(u64)link->win[link->dma_win].size >> 20);
		goto unlimit;
	}
	lend_channel_reset(link);
	link->wq = alloc_ordered_workqueue("ntb_lend_link%u", WQ_HIGHPRI, link->id);
	if (!link->wq) {
		ret = -ENOMEM;
		goto free_chan;
	}
	ret = lend_channel_start(link);
	if (ret)
		goto free_wq;

	mutex_lock(&lend_links_lock);
	list_add_tail_rcu(&link->node, &lend_links);
	mutex_unlock(&lend_links_lock);

	ntb_db_set_mask(ntb, ntb_db_valid_mask(ntb));
	ret = ntb_set_ctx(ntb, link, &lend_ctx_ops);
	if (ret)
		goto unlist;
	/* Bits that an earlier client left behind are not for us. */
	ntb_db_clear(ntb, ntb_db_valid_mask(ntb));
	ntb_db_clear_mask(ntb, LEND_ALL_DB);
	ret = lend_bridge_enable_link(ntb);
	if (ret)
		goto clear_ctx;
	queue_delayed_work(link->wq, &link->work, 0);
	dev_info(&ntb->dev, "link %u: window %d for DMA and interrupts, %s%d for BARs\n",
		 link->id, link->dma_win, link->bar_win == link->dma_win ? "also " : "",
		 link->bar_win);
	return 0;

clear_ctx:
	ntb_db_set_mask(ntb, ntb_db_valid_mask(ntb));
	ntb_clear_ctx(ntb);
	cancel_delayed_work_sync(&link->work);
unlist:
	lend_link_unlist(link);
	lend_channel_stop(link);
free_wq:
	destroy_workqueue(link->wq);
free_chan:
	dma_free_coherent(&link->pdev->dev, sizeof(*link->chan), link->chan, link->chan_dma);
unlimit:
	dma_set_mask_and_coherent(&link->pdev->dev, link->dma_mask);
put:
	lend_link_put(link);
	return ret;
free:
	pci_dev_put(link->pdev);
	kfree(link);
	return ret;
}

static void lend_link_remove(struct ntb_client *client, struct ntb_dev *ntb)
{
	struct lend_link *link = ntb->ctx;

	lend_link_unlist(link);
	ntb_db_set_mask(ntb, ntb_db_valid_mask(ntb));
	ntb_clear_ctx(ntb);

	lend_link_mark_dead(link);
	lend_borrowed_link_dead(link);
	mutex_lock(&link->lock);
	link->removed = true;
	lend_link_end_session(link, "ntb_lend is being unloaded");
	if (ntb_link_is_up(ntb, NULL, NULL))
		lend_link_publish(link, LEND_HELLO_NONE);
	mutex_unlock(&link->lock);

	cancel_delayed_work_sync(&link->work);
	destroy_workqueue(link->wq);
	lend_channel_stop(link);
	lend_relay_stop(link->relay);
	ntb_link_disable(ntb);
	dma_free_coherent(&link->pdev->dev, sizeof(*link->chan), link->chan, link->chan_dma);
	dma_set_mask_and_coherent(&link->pdev->dev, link->dma_mask);
	lend_link_put(link);
}

static struct ntb_client lend_client = {
	.ops = {
		.probe = lend_link_probe,
		.remove = lend_link_remove,
	},
};

/**
 * lend_link_register() - become the client of every NTB device
 *
 * Context: process.
 * Return: 0 or a negative errno.
 */
int lend_link_register(void)
{
	return ntb_register_client(&lend_client);
}

/**
 * lend_link_unregister() - let go of every NTB device
 *
 * Context: process; ends all sessions.
 */
void lend_link_unregister(void)
{
	ntb_unregister_client(&lend_client);
}
