// SPDX-License-Identifier: GPL-2.0-only
/*
 * Links: the handshake over scratchpads, heartbeats, and the loss of a link.
 *
 * The handshake: both sides say in scratchpads who they are and where their
 * channel memory is, then each proves that its writes arrive there. The second
 * part matters because a bridge may take a translation and not use it: drivers
 * check what they can, and some of them ignore what the bridge says.
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
 *
 * Called by ntb_client.c for its life; what is above hears of it by struct
 * lend_link_hooks. Locks: see main.c.
 */

#include <linux/io.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/pci.h>
#include <linux/random.h>
#include <linux/slab.h>

#include "channel.h"
#include "hello.h"
#include "link.h"
#include "mailbox.h"
#include "param.h"
#include "pool.h"
#include "relay.h"
#include "trace.h"
#include "window.h"

static unsigned int heartbeat_ms = 250;
LEND_PARAM_UINT(heartbeat_ms, 10, 10000,
		"Interval of heartbeats, in ms, from 10 to 10000 (default 250)");

static unsigned int heartbeat_timeout_ms = 5000;
LEND_PARAM_UINT(heartbeat_timeout_ms, 100, 600000,
		"A peer without a heartbeat for this long is lost, in ms, from 100 to 600000 (default 5000)");

#define LEND_LINK_DOWN		"the bridge reports the link as down"
#define LEND_LINK_BANNED	"this host has banned the peer"
#define LEND_LINK_UNLOADED	"ntb_lend is being unloaded"

/* How often a peer that rings is listened to; else when the state machine looks anyway. */
#define LEND_HELLOS_PER_S	20
#define LEND_HELLOS_AT_ONCE	40

/*
 * How often it is met anew. Each time leases are fenced, windows close and open, and
 * daemons hear of it; a cable that is pulled out and in again is not held up.
 */
#define LEND_SESSIONS_PER_S	1
#define LEND_SESSIONS_AT_ONCE	10

/* How often the state machine looks when nothing rings. */
#define LEND_TICK	(HZ / 4)

/* After so many looks at it a window is not slow any more, but broken. */
#define LEND_PROOFS	12

static void lend_link_release(struct lend_object *object)
{
	struct lend_link *link = container_of(object, struct lend_link, object);

	lend_registry_free(&lend_links, object);
	lend_pool_destroy(link->pool);
	pci_dev_put(link->pdev);
	mutex_destroy(&link->lease_lock);
	mutex_destroy(&link->lock);
	kfree(link->relay);
	kfree(link);
}

struct lend_registry lend_links = LEND_REGISTRY(lend_links, lend_link_release);

/**
 * lend_link_get() - find a link
 * @id: its number
 *
 * Context: process.
 * Return: the link with a reference, or NULL.
 */
struct lend_link *lend_link_get(u32 id)
{
	struct lend_object *object = lend_registry_get(&lend_links, id);

	return object ? container_of(object, struct lend_link, object) : NULL;
}

/**
 * lend_link_hold() - take one more reference
 * @link: the link, of which the caller has one
 *
 * Context: any.
 */
void lend_link_hold(struct lend_link *link)
{
	kref_get(&link->object.ref);
}

/**
 * lend_link_put() - drop a reference
 * @link: the link
 *
 * Context: process.
 */
void lend_link_put(struct lend_link *link)
{
	lend_registry_put(&lend_links, &link->object);
}

/**
 * lend_link_hold_bridge() - have the bridge's driver stay
 * @link: the link
 *
 * Context: process; caller holds @link->lock or its lease lock.
 * Return: the module, with a reference; NULL when the link is not ready.
 */
struct module *lend_link_hold_bridge(struct lend_link *link)
{
	/* Who removes the link marks it dead, and needs both locks before it is through. */
	if (!lend_link_is_ready(link) || !try_module_get(link->bridge))
		return NULL;
	return link->bridge;
}

/* Process context, @link->lock held. @message: why it is not ready, or NULL. */
static void lend_link_set_state(struct lend_link *link, enum ntb_lend_link_state state,
				const char *message)
{
	if (link->state == state && link->message == message)
		return;
	link->message = message;
	WRITE_ONCE(link->state, state);
	WRITE_ONCE(link->channel.ready, state == NTB_LEND_LINK_STATE_READY);
	trace_lend_link_state(link->object.id, state, link->channel.epoch,
			      link->channel.peer_epoch);
	lend_registry_changed(&lend_links, &link->object);
}

static void lend_link_new_epoch(struct lend_link *link)
{
	u64 epoch;

	do {
		epoch = get_random_u64();
	} while (!lower_32_bits(epoch) || epoch == link->channel.epoch);
	link->channel.epoch = epoch;
}

/* Any context. @why: a literal. */
static void lend_link_mark_dead(struct lend_link *link, const char *why)
{
	if (!READ_ONCE(link->channel.dead))
		WRITE_ONCE(link->lost_because, why);
	WRITE_ONCE(link->channel.dead, true);
	lend_mailbox_wake(&link->mailbox);
}

/* Process context, @link->lock held; physically up. Tells the peer what we are, state last. */
static void lend_link_publish(struct lend_link *link, enum lend_hello hello)
{
	const struct lend_hello_said said = {
		.hello = hello,
		.epoch = link->channel.epoch,
		.echo = link->channel.peer_epoch,
		.chan = link->channel.dma,
		.window = link->windows.dma,
	};
	u32 spad[LEND_SPAD_COUNT];
	int i;

	lend_hello_pack(&said, spad);
	for (i = LEND_SPAD_COUNT - 1; i >= 0; i--)
		ntb_peer_spad_write(link->ntb, link->windows.pidx, i, spad[i]);
	lend_channel_ring(&link->channel, LEND_DB_HELLO);
}

/**
 * lend_link_close_windows() - let the peer reach nothing
 * @link: the link, marked dead: no window opens before its session has ended
 *
 * Context: process; takes the lease lock.
 */
void lend_link_close_windows(struct lend_link *link)
{
	mutex_lock(&link->lease_lock);
	lend_windows_close(&link->windows);
	mutex_unlock(&link->lease_lock);
}

/*
 * Process context, @link->lock held. Ends the session, if there is one: nobody
 * uses the peer's channel memory afterwards, and no borrowed device is left.
 */
static void lend_link_end_session(struct lend_link *link, const char *why)
{
	bool was_ready = link->state == NTB_LEND_LINK_STATE_READY;

	lend_link_mark_dead(link, why);
	/*
	 * What the peer's devices still send ends at this bridge, before anybody gives
	 * memory back that they were told to write to.
	 */
	link->hooks->dead(link);
	lend_link_set_state(link, NTB_LEND_LINK_STATE_DOWN, why);
	if (was_ready)
		dev_warn(&link->ntb->dev, "link %u lost: %s\n", link->object.id, why);

	cancel_delayed_work_sync(&link->heartbeat.work);
	lend_mailbox_stop(&link->mailbox);
	lend_channel_quiesce(&link->channel);
	link->hooks->lost(link);
	lend_windows_unclaim(&link->windows);
	if (link->channel.peer)
		iounmap(link->channel.peer);
	link->channel.peer = NULL;
	link->channel.peer_epoch = 0;
	link->handshake.peer_protocol = 0;
	link->handshake.peer_told = 0;
	link->handshake.proofs = 0;
	if (was_ready)
		lend_link_new_epoch(link);
	lend_channel_reset(&link->channel);
	lend_mailbox_reset(&link->mailbox);
	WRITE_ONCE(link->channel.dead, false);
}

/* Process context, @link->lock held; both sides' writes arrive. */
static void lend_link_become_ready(struct lend_link *link)
{
	link->heartbeat.seen = 0;
	link->heartbeat.changed = jiffies;
	lend_link_set_state(link, NTB_LEND_LINK_STATE_READY, NULL);
	dev_info(&link->ntb->dev, "link %u ready\n", link->object.id);
	queue_delayed_work(system_highpri_wq, &link->heartbeat.work, 0);
	/* Requests may have come before we were ready to answer. */
	lend_channel_kick(&link->channel);
}

/* Process context, @link->lock held. Ends the session, and begins another at once. */
static void lend_link_restart(struct lend_link *link, const char *why)
{
	lend_link_end_session(link, why);
	mod_delayed_work(link->wq, &link->work, 0);
}

/* What follows from what the peer says. Process context, @link->lock held. */
static enum lend_hello_step lend_link_listen(struct lend_link *link, struct lend_hello_said *said)
{
	u32 look[2][LEND_SPAD_COUNT];
	int i, j;

	for (i = 0; i < 2; i++)
		for (j = 0; j < LEND_SPAD_COUNT; j++)
			look[i][j] = ntb_spad_read(link->ntb, j);
	return lend_hello_next(link->channel.epoch, link->channel.peer_epoch, look[0], look[1],
			       said);
}

/* Process context, @link->lock held; physically up. */
static int lend_link_check_windows(struct lend_link *link)
{
	int ret;

	mutex_lock(&link->lease_lock);
	ret = lend_windows_check(&link->windows,
				 link->channel.dma + sizeof(*link->channel.own));
	mutex_unlock(&link->lease_lock);
	return ret;
}

/* Process context, lease lock held. What windows show when they are open was chosen. */
static void lend_link_add_regions(struct lend_link *link)
{
	int i;

	for (i = 0; link->pool && i < link->windows.count; i++)
		lend_pool_add_region(link->pool, i, &link->windows.region[i]);
}

/* Process context, @link->lock held; physically up. Until then the peer reaches nothing. */
static int lend_link_open_windows(struct lend_link *link)
{
	int ret;

	mutex_lock(&link->lease_lock);
	ret = link->removed ? -ENODEV : lend_windows_open(&link->windows);
	if (!ret)
		lend_link_add_regions(link);
	mutex_unlock(&link->lease_lock);
	return ret;
}

/**
 * lend_link_use_windows() - have the peer's devices reach this host's memory
 * @link: the link, ready
 *
 * Each call is undone by one of lend_link_unuse_windows().
 *
 * Context: process; caller holds @link->lock; takes the lease lock.
 * Return: 0 or a negative errno.
 */
int lend_link_use_windows(struct lend_link *link)
{
	int ret;

	mutex_lock(&link->lease_lock);
	ret = lend_windows_use(&link->windows);
	if (!ret)
		lend_link_add_regions(link);
	mutex_unlock(&link->lease_lock);
	return ret;
}

/**
 * lend_link_unuse_windows() - undo lend_link_use_windows()
 * @link: the link
 *
 * Context: process; takes the lease lock.
 */
void lend_link_unuse_windows(struct lend_link *link)
{
	mutex_lock(&link->lease_lock);
	lend_windows_unuse(&link->windows);
	mutex_unlock(&link->lease_lock);
}

/* Process context, @link->lock held. */
static int lend_link_map_peer(struct lend_link *link, const struct lend_hello_said *said)
{
	const struct lend_window *win;

	if (said->window >= link->windows.count || !IS_ALIGNED(said->chan, 64))
		return -EPROTO;
	win = &link->windows.win[said->window];
	if (said->chan > win->size || win->size - said->chan < sizeof(struct lend_chan))
		return -EPROTO;
	link->channel.peer = ioremap_wc(win->base + said->chan, sizeof(struct lend_chan));
	return link->channel.peer ? 0 : -ENOMEM;
}

/* Any context; one caller at a time. @seen: the peer's heartbeat has arrived here. */
static void lend_heartbeat_write(struct lend_link *link, bool seen)
{
	writeq(++link->heartbeat.value | (seen ? LEND_HEARTBEAT_SEEN : 0),
	       &link->channel.peer->heartbeat);
}

/*
 * Process context, @link->lock held; the peer knows our epoch, so its channel
 * memory is where it says. True when writes arrive in both directions.
 */
static bool lend_link_prove_window(struct lend_link *link)
{
	u64 heartbeat = le64_to_cpu(READ_ONCE(link->channel.own->heartbeat));
	unsigned int tell = heartbeat ? 2 : 1;

	lend_heartbeat_write(link, heartbeat);
	/* Out of the write-combining buffer, and before the doorbell. */
	wmb();
	if (link->handshake.peer_told != tell)
		lend_channel_ring(&link->channel, LEND_DB_HELLO);
	link->handshake.peer_told = tell;
	if (heartbeat & LEND_HEARTBEAT_SEEN)
		return true;
	if (++link->handshake.proofs > LEND_PROOFS)
		lend_link_set_state(link, NTB_LEND_LINK_STATE_HANDSHAKE, heartbeat ?
				    "writes do not reach the peer: its bridge does not translate" :
				    "the peer's writes do not arrive: this bridge does not translate");
	return false;
}

/* Process context, @link->lock held. */
static void lend_link_meet(struct lend_link *link, const struct lend_hello_said *said)
{
	u64 now = ktime_get_mono_fast_ns();
	int ret;

	if (!lend_budget_has(&link->sessions, now, LEND_SESSIONS_PER_S, LEND_SESSIONS_AT_ONCE)) {
		lend_link_set_state(link, NTB_LEND_LINK_STATE_HANDSHAKE,
				    "the peer begins sessions too often, and has to wait");
		return;
	}
	if (lend_link_map_peer(link, said)) {
		lend_link_set_state(link, NTB_LEND_LINK_STATE_INCOMPATIBLE,
				    "the peer's channel memory is outside the window");
		lend_link_publish(link, LEND_HELLO_HERE);
		return;
	}
	ret = lend_link_open_windows(link);
	if (ret) {
		lend_link_set_state(link, NTB_LEND_LINK_STATE_HANDSHAKE, lend_windows_error(ret));
		iounmap(link->channel.peer);
		link->channel.peer = NULL;
		return;
	}
	lend_budget_take(&link->sessions, now, LEND_SESSIONS_PER_S, LEND_SESSIONS_AT_ONCE);
	link->channel.peer_epoch = said->epoch;
	link->handshake.peer_protocol = said->protocol;
	lend_link_set_state(link, NTB_LEND_LINK_STATE_HANDSHAKE, "the peer has not answered yet");
	lend_link_publish(link, LEND_HELLO_READY);
}

/* Process context, @link->lock held; physically up. As far as the peer lets us. */
static void lend_link_shake_hands(struct lend_link *link)
{
	struct lend_hello_said said;

	switch (lend_link_listen(link, &said)) {
	case LEND_STEP_WAIT:
		break;
	case LEND_STEP_CALL:
		lend_link_set_state(link, NTB_LEND_LINK_STATE_HANDSHAKE,
				    said.hello == LEND_HELLO_NONE ?
				    "no ntb_lend on the peer yet" :
				    "the peer has not ended its older session yet");
		lend_link_publish(link, LEND_HELLO_HERE);
		break;
	case LEND_STEP_INCOMPATIBLE:
		link->handshake.peer_protocol = said.protocol;
		lend_link_set_state(link, NTB_LEND_LINK_STATE_INCOMPATIBLE,
				    "the peer speaks another protocol version: load the same ntb_lend on both hosts");
		lend_link_publish(link, LEND_HELLO_HERE);
		break;
	case LEND_STEP_GONE:
		lend_link_restart(link, "ntb_lend was unloaded on the peer");
		break;
	case LEND_STEP_CHANGED:
		lend_link_restart(link, "the peer changed its protocol version");
		break;
	case LEND_STEP_RENEWED:
		lend_link_restart(link, "the peer has started a new session");
		break;
	case LEND_STEP_MEET:
		lend_link_meet(link, &said);
		break;
	case LEND_STEP_ECHO:
		lend_link_publish(link, LEND_HELLO_READY);
		break;
	case LEND_STEP_AGREE:
		if (link->state != NTB_LEND_LINK_STATE_READY && lend_link_prove_window(link))
			lend_link_become_ready(link);
		break;
	}
}

/**
 * lend_link_retire() - have the link begin nothing any more
 * @link: the link
 *
 * Once all windows are closed, none opens any more, and the work is queued by itself
 * alone, for who removes the link to cancel.
 *
 * Context: process; takes the lease lock.
 */
void lend_link_retire(struct lend_link *link)
{
	mutex_lock(&link->lease_lock);
	WRITE_ONCE(link->removed, true);
	mutex_unlock(&link->lease_lock);
}

/* Process context; takes the lease lock. A link that is removed has no queue any more. */
static void lend_link_queue(struct lend_link *link)
{
	mutex_lock(&link->lease_lock);
	if (!link->removed)
		mod_delayed_work(link->wq, &link->work, 0);
	mutex_unlock(&link->lease_lock);
}

/**
 * lend_link_lose() - give the peer up
 * @link: the link
 * @why: a literal
 *
 * All leases to the peer are fenced and all windows closed then; the session ends
 * soon.
 *
 * Context: process; takes the lease lock.
 */
void lend_link_lose(struct lend_link *link, const char *why)
{
	lend_link_mark_dead(link, why);
	link->hooks->dead(link);
	lend_link_queue(link);
}

/* Work item; not under the link's lock, which a driver's probe may hold. */
static void lend_link_heartbeat(struct work_struct *work)
{
	struct lend_link *link = container_of(to_delayed_work(work), struct lend_link,
					      heartbeat.work);
	unsigned long timeout = msecs_to_jiffies(READ_ONCE(heartbeat_timeout_ms));
	u64 seen;

	if (READ_ONCE(link->channel.dead)) {
		/* lend_link_work() may be waiting for the lock that a driver's probe holds. */
		link->hooks->dead(link);
		return;
	}
	if (!lend_channel_enter(&link->channel))
		return;
	lend_heartbeat_write(link, true);
	seen = le64_to_cpu(READ_ONCE(link->channel.own->heartbeat));
	if (seen != link->heartbeat.seen) {
		link->heartbeat.seen = seen;
		link->heartbeat.changed = jiffies;
	} else if (time_after(jiffies, link->heartbeat.changed + timeout)) {
		atomic64_inc(&link->channel.counters.hb_missed);
		lend_link_lose(link, "the peer's heartbeat has stopped");
	}
	if (lend_channel_is_stuck(&link->channel))
		lend_link_lose(link, "the peer's kernel leaves requests unanswered");
	lend_channel_leave(&link->channel);
	lend_relay_repeat(link->relay);
	if (!READ_ONCE(link->channel.dead))
		queue_delayed_work(system_highpri_wq, &link->heartbeat.work,
				   msecs_to_jiffies(READ_ONCE(heartbeat_ms)));
}

/*
 * Process context, @link->lock held; physically up. Keeps the link down. @why: a
 * literal. @ended: a session has just ended.
 */
static void lend_link_refuse(struct lend_link *link, const char *why, bool ended)
{
	if (link->state != NTB_LEND_LINK_STATE_DOWN) {
		lend_link_end_session(link, why);
		ended = true;
	}
	lend_link_set_state(link, NTB_LEND_LINK_STATE_DOWN, why);
	/* The peer need not wait for our heartbeat to stop. */
	if (ended)
		lend_link_publish(link, LEND_HELLO_NONE);
}

/* Work item, ordered; takes @link->lock. */
static void lend_link_work(struct work_struct *work)
{
	struct lend_link *link = container_of(to_delayed_work(work), struct lend_link, work);
	bool up = ntb_link_is_up(link->ntb, NULL, NULL);
	bool ended = false;
	const char *why;
	int ret;

	WRITE_ONCE(link->physical, up);
	if (READ_ONCE(link->channel.dead) || !up) {
		lend_link_mark_dead(link, LEND_LINK_DOWN);
		/* Before the lock: a probe that holds it ends sooner this way. */
		link->hooks->dead(link);
	}

	mutex_lock(&link->lock);
	if (READ_ONCE(link->removed))
		goto unlock;
	if (READ_ONCE(link->channel.dead)) {
		ended = link->state != NTB_LEND_LINK_STATE_DOWN;
		if (ended)
			lend_link_end_session(link, READ_ONCE(link->lost_because));
		WRITE_ONCE(link->channel.dead, false);
	}
	if (!up)
		goto requeue;

	why = READ_ONCE(link->banned) ? LEND_LINK_BANNED : link->hooks->distrust(link);
	if (why) {
		lend_link_refuse(link, why, ended);
		goto requeue;
	}
	if (link->state == NTB_LEND_LINK_STATE_DOWN) {
		ret = lend_link_check_windows(link);
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

/**
 * lend_link_look() - have the state machine look: now, or with its next tick
 * @link: the link
 *
 * Context: any.
 */
void lend_link_look(struct lend_link *link)
{
	if (lend_budget_take(&link->hellos, ktime_get_mono_fast_ns(), LEND_HELLOS_PER_S,
			     LEND_HELLOS_AT_ONCE))
		mod_delayed_work(link->wq, &link->work, 0);
}

/**
 * lend_link_event() - the bridge says that its link has changed
 * @link: the link
 *
 * Context: any.
 */
void lend_link_event(struct lend_link *link)
{
	if (!ntb_link_is_up(link->ntb, NULL, NULL)) {
		lend_link_mark_dead(link, LEND_LINK_DOWN);
		mod_delayed_work(system_highpri_wq, &link->heartbeat.work, 0);
	}
	lend_link_look(link);
}

/**
 * lend_link_ban() - keep a link down, or let it come up again
 * @link: the link, of which the caller has a reference
 * @banned: which of both
 *
 * All leases to the peer are fenced and all windows closed then.
 *
 * Context: process; takes the lease lock.
 */
void lend_link_ban(struct lend_link *link, bool banned)
{
	WRITE_ONCE(link->banned, banned);
	if (banned) {
		lend_link_mark_dead(link, LEND_LINK_BANNED);
		link->hooks->dead(link);
	}
	lend_link_queue(link);
}

/**
 * lend_link_alloc() - a link with its number, without anything of the bridge yet
 * @ntb: the NTB device
 * @hooks: what happens above it
 *
 * Context: process.
 * Return: the link with a reference, or an error.
 */
struct lend_link *lend_link_alloc(struct ntb_dev *ntb, const struct lend_link_hooks *hooks)
{
	struct lend_link *link = kzalloc(sizeof(*link), GFP_KERNEL);
	int ret;

	if (!link)
		return ERR_PTR(-ENOMEM);
	ret = lend_registry_alloc(&lend_links, &link->object, U32_MAX);
	if (ret) {
		kfree(link);
		return ERR_PTR(ret);
	}
	mutex_init(&link->lock);
	mutex_init(&link->lease_lock);
	INIT_LIST_HEAD(&link->leases);
	INIT_DELAYED_WORK(&link->work, lend_link_work);
	INIT_DELAYED_WORK(&link->heartbeat.work, lend_link_heartbeat);
	link->hooks = hooks;
	link->ntb = ntb;
	link->pdev = pci_dev_get(ntb->pdev);
	link->bridge = ntb->pdev->driver->driver.owner;
	link->port = ntb_port_number(ntb);
	link->peer_port = ntb_peer_port_number(ntb, NTB_DEF_PEER_IDX);
	link->message = "the bridge reports the link as down";
	link->windows.ntb = ntb;
	link->windows.pdev = link->pdev;
	link->windows.pidx = NTB_DEF_PEER_IDX;
	link->channel.ntb = ntb;
	link->channel.id = link->object.id;
	link->channel.serve = hooks->serve;
	lend_mailbox_init(&link->mailbox, &link->channel, hooks->deliver);
	lend_link_new_epoch(link);
	link->relay = lend_relay_alloc(&link->channel);
	if (!link->relay) {
		lend_link_put(link);
		return ERR_PTR(-ENOMEM);
	}
	return link;
}

/**
 * lend_link_shut() - tell the peer, and have the link's work do nothing any more
 * @link: the link, whose doorbells nobody hears any more
 *
 * Context: process; takes the link's lock; ends the session.
 */
void lend_link_shut(struct lend_link *link)
{
	lend_link_retire(link);
	lend_link_mark_dead(link, LEND_LINK_UNLOADED);
	link->hooks->dead(link);
	mutex_lock(&link->lock);
	lend_link_end_session(link, LEND_LINK_UNLOADED);
	if (ntb_link_is_up(link->ntb, NULL, NULL))
		lend_link_publish(link, LEND_HELLO_NONE);
	mutex_unlock(&link->lock);
}

/**
 * lend_link_shutdown() - this host is shut down
 * @link: the link
 *
 * Borrowed devices were shut down by their drivers before. What comes after this
 * kernel, by kexec, finds no window open.
 *
 * Context: process; takes the lease lock.
 */
void lend_link_shutdown(struct lend_link *link)
{
	lend_link_retire(link);
	lend_link_mark_dead(link, "this host is shut down");
	link->hooks->dead(link);
	/* A driver's probe may hold it: then the peer misses the heartbeat. */
	if (!mutex_trylock(&link->lock))
		return;
	if (ntb_link_is_up(link->ntb, NULL, NULL))
		lend_link_publish(link, LEND_HELLO_NONE);
	mutex_unlock(&link->lock);
}
