// SPDX-License-Identifier: GPL-2.0-only
/*
 * Channel: requests are posted writes into the peer's memory, answers are
 * posted writes back; each side polls its own memory only. Transport alone: what
 * a request means is known to who asks and to @serve. Used by ntb_client.c, link.c,
 * mailbox.c, relay.c and whoever asks the peer.
 *
 * Locks: lend_channels_lock for the list of channels, which is read under RCU.
 * None on the way of a request.
 */

#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/io.h>
#include <linux/kthread.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/ntb.h>
#include <linux/random.h>
#include <linux/rculist.h>
#include <linux/sched.h>
#include <linux/timekeeping.h>

#include "channel.h"
#include "param.h"
#include "trace.h"

static unsigned int request_timeout_ms = 50;
LEND_PARAM_UINT(request_timeout_ms, 1, 10000,
		"Hard limit of one access to a register of a borrowed device, in ms, from 1 to 10000 (default 50)");

static unsigned int server_poll_us = 50;
LEND_PARAM_UINT(server_poll_us, 0, 1000,
		"How long to poll for the next request before sleeping, in us, up to 1000 (default 50)");

/* What makes the owner set something up may take it a while; nobody spins for that. */
#define LEND_SETUP_NS	(2 * NSEC_PER_SEC)

/* But for so long, in which a server that polls answers. */
#define LEND_SPIN_NS	(100 * NSEC_PER_USEC)

/* First repetition of a request and its doorbell; the interval doubles each time. */
#define LEND_REPEAT_NS	(2 * NSEC_PER_MSEC)

/*
 * What one peer may have served at real-time priority. A driver that is bound asks
 * for some hundred registers; above this rate nobody who matters waits.
 */
#define LEND_SERVED_PER_S	20000
#define LEND_SERVED_AT_ONCE	5000

/*
 * And how long that may take: one half of all time, and at once what as many requests
 * may have at that rate. A device that answers slowly costs more than one that does not.
 */
#define LEND_BUSY_SHARE		2
#define LEND_BUSY_AT_ONCE	(LEND_SERVED_AT_ONCE * (NSEC_PER_SEC / LEND_SERVED_PER_S))

/* After so long others come first, whatever is still to be served. */
#define LEND_TURN_NS	NSEC_PER_MSEC

/* How long a server that should be polling may take before its doorbell is rung. */
#define LEND_QUIET_NS	(20 * NSEC_PER_USEC)

static LIST_HEAD(lend_channels);
static DEFINE_MUTEX(lend_channels_lock);

static int lend_status_to_errno(u32 status)
{
	switch (status) {
	case LEND_OK:
		return 0;
	case LEND_ERR_STALE:
		return -ESTALE;
	case LEND_ERR_DENIED:
		return -EPERM;
	case LEND_ERR_DEVICE:
		return -EIO;
	case LEND_ERR_BUSY:
		return -EBUSY;
	case LEND_ERR_SPACE:
		return -ENOSPC;
	default:
		return -EPROTO;
	}
}

/**
 * lend_channel_ring() - ring a doorbell of the peer
 * @channel: the channel
 * @db: which
 *
 * Context: any.
 */
void lend_channel_ring(struct lend_channel *channel, enum lend_doorbell db)
{
	ntb_peer_db_set(channel->ntb, BIT_ULL(db));
	atomic64_inc(&channel->counters.db_sent);
}

/**
 * lend_channel_enter() - begin to use the peer's memory
 * @channel: the channel
 *
 * Context: any.
 * Return: false when the link is not ready. Else lend_channel_leave() must follow.
 */
bool lend_channel_enter(struct lend_channel *channel)
{
	atomic_inc(&channel->users);
	/* Either the session's end sees us, or we see that it is dead. */
	smp_mb__after_atomic();
	if (lend_channel_is_ready(channel))
		return true;
	atomic_dec(&channel->users);
	return false;
}

/**
 * lend_channel_leave() - done with the peer's memory
 * @channel: the channel
 *
 * Context: any.
 */
void lend_channel_leave(struct lend_channel *channel)
{
	/* The last use of the peer's memory is over before we are gone. */
	smp_mb__before_atomic();
	atomic_dec(&channel->users);
}

/**
 * lend_channel_flush() - let what is on its way to the peer arrive
 * @channel: the channel
 *
 * The completion of a read pushes the writes before it, in both directions. Does
 * nothing where there is no peer any more.
 *
 * Context: process.
 */
void lend_channel_flush(struct lend_channel *channel)
{
	if (!lend_channel_enter(channel))
		return;
	readl(&channel->peer->mbox_ack_seq);
	lend_channel_leave(channel);
}

/**
 * lend_channel_quiesce() - wait until nobody uses the peer's memory
 * @channel: the channel, dead or not ready
 *
 * Context: process; sleeps.
 */
void lend_channel_quiesce(struct lend_channel *channel)
{
	/* Pairs with lend_channel_enter(). */
	smp_mb();
	while (atomic_read(&channel->users))
		usleep_range(50, 100);
}

/*
 * A slot whose request has timed out stays in use until its answer comes after
 * all: the server might still be reading the request, so it is not overwritten.
 */
static void lend_slots_reclaim(struct lend_channel *channel)
{
	unsigned long stuck = READ_ONCE(channel->slots_stuck);
	unsigned long slot;

	for_each_set_bit(slot, &stuck, LEND_SLOTS) {
		u32 seq = le32_to_cpu(READ_ONCE(channel->own->resp[slot].seq));

		if (seq == READ_ONCE(channel->slot_seq[slot]) &&
		    test_and_clear_bit(slot, &channel->slots_stuck))
			clear_bit_unlock(slot, &channel->slots_busy);
	}
}

/* Any context; who serves @slot. */
static void lend_slot_answer(struct lend_channel *channel, int slot,
			     const struct lend_response *resp)
{
	struct lend_response __iomem *to = &channel->peer->resp[slot];

	memcpy_toio(&to->status, &resp->status,
		    sizeof(*resp) - offsetof(struct lend_response, status));
	/* Body before sequence number. */
	wmb();
	writel(le32_to_cpu(resp->seq), &to->seq);
	/* Out of the write-combining buffer now: the peer's CPU spins. */
	wmb();
}

/* Context as lend_serve_slot(); nobody else serves @slot. */
static bool lend_serve_next(struct lend_channel *channel, int slot, bool wait)
{
	struct lend_request *from = &channel->own->req[slot];
	struct lend_response *resp = &channel->answers[slot];
	u32 seq = le32_to_cpu(READ_ONCE(from->seq));
	struct lend_request req;

	if (!seq)
		return false;
	/* Sequence number before body. */
	dma_rmb();
	/* The peer may go on writing: look at each field once, in the copy. */
	memcpy(&req, from, sizeof(req));
	barrier();
	if (seq == le32_to_cpu(resp->seq)) {
		if (req.attempt == channel->attempts[slot])
			return false;
		/* It has waited for the answer in vain: what was asked is not done twice. */
		channel->attempts[slot] = req.attempt;
		lend_slot_answer(channel, slot, resp);
		return true;
	}
	if (!wait && req.op != LEND_OP_CONFIG_READ)
		return false;

	*resp = (struct lend_response) { .seq = cpu_to_le32(seq) };
	channel->attempts[slot] = req.attempt;
	if (le64_to_cpu(req.session) != channel->peer_epoch)
		resp->status = cpu_to_le32(LEND_ERR_STALE);
	else
		resp->status = cpu_to_le32(channel->serve(channel, &req, resp));
	if (resp->status)
		atomic64_inc(&channel->counters.rejected);
	else
		atomic64_inc(&channel->counters.served);
	lend_slot_answer(channel, slot, resp);
	return true;
}

/*
 * Any context, also while a session ends: a hint, which costs a look at memory. Who
 * polls, or waits, looks at all slots of all links again and again.
 */
static bool lend_slot_is_new(const struct lend_channel *channel, int slot)
{
	const struct lend_request *req = &channel->own->req[slot];
	__le32 seq = READ_ONCE(req->seq);

	return seq && (seq != READ_ONCE(channel->answers[slot].seq) ||
		       READ_ONCE(req->attempt) != READ_ONCE(channel->attempts[slot]));
}

/*
 * Any context. Answers the request in @slot, if there is a new one; without
 * @wait, only if that can be done now.
 */
static bool lend_serve_slot(struct lend_channel *channel, int slot, bool wait)
{
	bool any;

	/* Another processor is at it. */
	if (test_and_set_bit_lock(slot, &channel->slots_served))
		return false;
	any = lend_serve_next(channel, slot, wait);
	clear_bit_unlock(slot, &channel->slots_served);
	return any;
}

/* Context as lend_serve_slot(). How many were answered: all, or those of one turn. */
static int lend_serve_turn(struct lend_channel *channel, bool wait)
{
	u64 start = ktime_get_mono_fast_ns();
	int slot, served = 0;

	for (slot = 0; slot < LEND_SLOTS; slot++) {
		if (!lend_slot_is_new(channel, slot))
			continue;
		if (!lend_channel_enter(channel))
			break;
		served += lend_serve_slot(channel, slot, wait);
		lend_channel_leave(channel);
		if (served && ktime_get_mono_fast_ns() - start > LEND_TURN_NS)
			break;
	}
	return served;
}

/*
 * Any context. Who waits with interrupts off may keep the server from this
 * processor, and with it a peer that waits in the same way. Two hosts that read
 * each other's devices, or three in a ring, would wait for each other until their
 * time is over; so who waits serves what others wait for. Where the PCI core takes
 * its lock for each access, the waiting one may hold that lock.
 */
static void lend_serve_while_waiting(void)
{
	struct lend_channel *channel;

	if (!IS_ENABLED(CONFIG_PCI_LOCKLESS_CONFIG))
		return;
	/* A request that is taken here is not left lying. */
	preempt_disable();
	rcu_read_lock();
	list_for_each_entry_rcu(channel, &lend_channels, node)
		lend_serve_turn(channel, false);
	rcu_read_unlock();
	preempt_enable();
}

/* Any context. Is it a register's access, which may be made with interrupts off? */
static bool lend_call_is_access(const struct lend_call *call)
{
	return call->op == LEND_OP_CONFIG_READ || call->op == LEND_OP_CONFIG_WRITE;
}

/* Context as @call. Between two looks, @waited ns after the first. */
static void lend_call_wait(const struct lend_call *call, u64 waited)
{
	if (waited > LEND_SPIN_NS && !lend_call_is_access(call)) {
		usleep_range(50, 100);
		return;
	}
	if (waited > LEND_QUIET_NS)
		lend_serve_while_waiting();
	cpu_relax();
}

/* Context as @call. Returns a slot, or -EBUSY when none comes free by @deadline. */
static int lend_slot_get(struct lend_channel *channel, const struct lend_call *call, u64 start,
			 u64 deadline)
{
	unsigned long slot;
	u64 now;

	for (;;) {
		lend_slots_reclaim(channel);
		slot = find_first_zero_bit(&channel->slots_busy, LEND_SLOTS);
		if (slot < LEND_SLOTS) {
			if (!test_and_set_bit_lock(slot, &channel->slots_busy))
				return slot;
			continue;
		}
		now = ktime_get_mono_fast_ns();
		if (READ_ONCE(channel->dead) || now > deadline)
			return -EBUSY;
		lend_call_wait(call, now - start);
	}
}

/* Any context. @attempt: counts how often; what is written is the same each time. */
static void lend_slot_post(struct lend_channel *channel, int slot, u32 seq, u16 attempt,
			   const struct lend_call *call)
{
	struct lend_request __iomem *to = &channel->peer->req[slot];
	struct lend_request req = {
		.op = call->op,
		.size = call->size,
		.attempt = cpu_to_le16(attempt),
		.session = cpu_to_le64(channel->epoch),
		.epoch = cpu_to_le64(call->epoch),
		.handle = cpu_to_le32(call->handle),
		.arg = cpu_to_le32(call->arg),
		.value = cpu_to_le32(call->value),
	};

	memcpy_toio(&to->op, &req.op, sizeof(req) - offsetof(struct lend_request, op));
	/* Body before sequence number. */
	wmb();
	writel(seq, &to->seq);
	/* Before the doorbell. */
	wmb();
}

/*
 * Any context. A server that has just answered is polling, and sees the next
 * request by itself: the doorbell would cost more than the request. A wrong
 * guess costs LEND_QUIET_NS.
 */
static bool lend_server_polls(const struct lend_channel *channel, u64 now)
{
	return now - READ_ONCE(channel->answered_at) < READ_ONCE(server_poll_us) * NSEC_PER_USEC;
}

/* Any context. True when the answer to request @seq is there; it is put into @call->val. */
static bool lend_slot_answered(struct lend_channel *channel, int slot, u32 seq,
			       struct lend_call *call, int *ret)
{
	struct lend_response *resp = &channel->own->resp[slot];
	int i;

	if (le32_to_cpu(READ_ONCE(resp->seq)) != seq)
		return false;
	/* Sequence number before body; pairs with the peer's order. */
	dma_rmb();
	*ret = lend_status_to_errno(le32_to_cpu(READ_ONCE(resp->status)));
	for (i = 0; i < ARRAY_SIZE(call->val); i++)
		call->val[i] = le64_to_cpu(READ_ONCE(resp->val[i]));
	atomic64_inc(&channel->counters.responses);
	WRITE_ONCE(channel->answered_at, ktime_get_mono_fast_ns());
	return true;
}

static u64 lend_call_limit(const struct lend_call *call)
{
	u64 limit = (u64)READ_ONCE(request_timeout_ms) * NSEC_PER_MSEC;

	if (lend_call_is_access(call))
		return limit;
	return max_t(u64, limit, LEND_SETUP_NS);
}

/**
 * lend_channel_call() - ask the peer's kernel
 * @channel: the channel
 * @call: the request; its answer is put into @call->val
 *
 * Waits until the answer is there or the limit is over: request_timeout_ms for
 * registers of a device, for which it spins, and serves reads of registers meanwhile;
 * LEND_SETUP_NS for all else, for which it sleeps. Repeats the request, which is
 * served once.
 *
 * Context: any for registers of a device, with interrupts on or off; process for all
 * else. Takes no lock.
 * Return: 0; -ENODEV the link is not ready or was lost; -ETIMEDOUT no answer in
 * time; -ESTALE the lease is over; -EPERM refused by the owner; -EIO the device
 * did not answer; -EBUSY no free slot in time, or attached already; -ENOSPC this host
 * has as many interrupts relayed as it may have.
 */
int lend_channel_call(struct lend_channel *channel, struct lend_call *call)
{
	u64 start = ktime_get_mono_fast_ns(), now = start;
	u64 deadline = start + lend_call_limit(call);
	u64 pause = LEND_REPEAT_NS, next;
	u16 attempt = 0;
	int slot, ret;
	u32 seq;

	might_sleep_if(!lend_call_is_access(call));
	if (!lend_channel_enter(channel))
		return -ENODEV;

	slot = lend_slot_get(channel, call, start, deadline);
	if (slot < 0) {
		ret = slot;
		goto leave;
	}

	seq = ++channel->slot_seq[slot];
	if (!seq)
		seq = ++channel->slot_seq[slot];
	atomic64_inc(&channel->counters.requests);
	lend_slot_post(channel, slot, seq, attempt, call);
	if (lend_server_polls(channel, start)) {
		next = start + LEND_QUIET_NS;
		pause /= 2;
	} else {
		next = start + pause;
		lend_channel_ring(channel, LEND_DB_REQUEST);
	}

	while (!lend_slot_answered(channel, slot, seq, call, &ret)) {
		if (READ_ONCE(channel->dead)) {
			ret = -ENODEV;
			break;
		}
		now = ktime_get_mono_fast_ns();
		if (now > deadline) {
			atomic64_inc(&channel->counters.timeouts);
			set_bit(slot, &channel->slots_stuck);
			ret = -ETIMEDOUT;
			goto trace;
		}
		if (now > next) {
			/* The first time only the doorbell was missing. */
			if (now - start > LEND_REPEAT_NS)
				lend_slot_post(channel, slot, seq, ++attempt, call);
			lend_channel_ring(channel, LEND_DB_REQUEST);
			pause *= 2;
			next = now + pause;
		}
		lend_call_wait(call, now - start);
	}

	clear_bit_unlock(slot, &channel->slots_busy);
trace:
	trace_lend_call(channel->id, call->op, call->handle, call->arg,
			ktime_get_mono_fast_ns() - start, ret);
leave:
	lend_channel_leave(channel);
	return ret;
}

/**
 * lend_channel_is_stuck() - does the peer's kernel leave requests lying
 * @channel: the channel
 *
 * Its heart may beat all the same. Slots are not taken from a server that might
 * still read them: only a new session has them all free again.
 *
 * Context: any.
 * Return: true when half of the slots wait for answers that are overdue.
 */
bool lend_channel_is_stuck(struct lend_channel *channel)
{
	lend_slots_reclaim(channel);
	return hweight_long(READ_ONCE(channel->slots_stuck)) >= LEND_SLOTS / 2;
}

/*
 * The server, after @served requests, which took @taken ns. Another host's processor
 * spins until it has answered, so it comes first; but not for a peer that asks without
 * end, or for what takes long.
 */
static void lend_server_choose_priority(struct lend_channel *channel, int served, u64 taken)
{
	u64 now = ktime_get_mono_fast_ns();
	bool within;

	if (!channel->realtime && lend_budget_rested(&channel->served, now) &&
	    lend_budget_rested(&channel->busy, now)) {
		sched_set_fifo_low(current);
		channel->realtime = true;
	}
	within = channel->realtime;
	while (served--)
		within &= lend_budget_take(&channel->served, now, LEND_SERVED_PER_S,
					   LEND_SERVED_AT_ONCE);
	within &= lend_budget_spend(&channel->busy, now, taken, LEND_BUSY_SHARE,
				    LEND_BUSY_AT_ONCE);
	if (channel->realtime && !within) {
		sched_set_normal(current, 0);
		pr_info_ratelimited("ntb_lend: link %u: the peer asks more than %u times a second, or for what takes half of all time\n",
				    channel->id, LEND_SERVED_PER_S);
	}
	channel->realtime = within;
}

/* Hybrid: polls for a while after each request, then sleeps. */
static int lend_server(void *data)
{
	struct lend_channel *channel = data;
	u64 idle_since = ktime_get_mono_fast_ns(), start;
	int served;

	while (!kthread_should_stop()) {
		atomic_set(&channel->server_kick, 0);
		/* The kick is cleared before the slots are looked at. */
		smp_mb();
		start = ktime_get_mono_fast_ns();
		served = lend_serve_turn(channel, true);
		if (served) {
			idle_since = ktime_get_mono_fast_ns();
			lend_server_choose_priority(channel, served, idle_since - start);
			cond_resched();
			continue;
		}
		if (lend_channel_is_ready(channel) &&
		    ktime_get_mono_fast_ns() - idle_since < server_poll_us * NSEC_PER_USEC) {
			cond_resched();
			cpu_relax();
			continue;
		}
		wait_event_interruptible(channel->server_wait,
					 kthread_should_stop() ||
					 atomic_read(&channel->server_kick));
		idle_since = ktime_get_mono_fast_ns();
	}
	return 0;
}

/**
 * lend_channel_kick() - a request may be there
 * @channel: the channel
 *
 * Context: any; called from the doorbell's interrupt.
 */
void lend_channel_kick(struct lend_channel *channel)
{
	atomic_set(&channel->server_kick, 1);
	wake_up(&channel->server_wait);
}

/**
 * lend_channel_reset() - forget the last session's requests and answers
 * @channel: the channel, not ready
 *
 * Context: process; caller holds @channel->lock and no one uses the channel.
 */
void lend_channel_reset(struct lend_channel *channel)
{
	memset(channel->own, 0, sizeof(*channel->own));
	memset(channel->answers, 0, sizeof(channel->answers));
	memset(channel->attempts, 0, sizeof(channel->attempts));
	channel->slots_busy = 0;
	channel->slots_stuck = 0;
	get_random_bytes(channel->slot_seq, sizeof(channel->slot_seq));
}

/**
 * lend_channel_alloc() - have memory for the peer to write
 * @channel: the channel
 * @dev: the NTB function
 *
 * Context: process.
 * Return: 0; -ENOMEM none that the DMA window shows.
 */
int lend_channel_alloc(struct lend_channel *channel, struct device *dev)
{
	channel->own = dma_alloc_coherent(dev, sizeof(*channel->own), &channel->dma, GFP_KERNEL);
	if (!channel->own)
		return -ENOMEM;
	lend_channel_reset(channel);
	return 0;
}

/**
 * lend_channel_free() - give it back
 * @channel: the channel, stopped
 * @dev: the NTB function
 *
 * Context: process.
 */
void lend_channel_free(struct lend_channel *channel, struct device *dev)
{
	dma_free_coherent(dev, sizeof(*channel->own), channel->own, channel->dma);
}

/**
 * lend_channel_start() - start the server
 * @channel: the channel
 *
 * Context: process.
 * Return: 0 or a negative errno.
 */
int lend_channel_start(struct lend_channel *channel)
{
	struct task_struct *task;

	init_waitqueue_head(&channel->server_wait);
	atomic_set(&channel->server_kick, 0);
	task = kthread_run(lend_server, channel, "ntb_lend/%u", channel->id);
	if (IS_ERR(task))
		return PTR_ERR(task);
	sched_set_fifo_low(task);
	channel->realtime = true;
	channel->server = task;
	mutex_lock(&lend_channels_lock);
	list_add_tail_rcu(&channel->node, &lend_channels);
	mutex_unlock(&lend_channels_lock);
	return 0;
}

/**
 * lend_channel_stop() - stop the server
 * @channel: the channel, which nobody will answer on any more
 *
 * Context: process.
 */
void lend_channel_stop(struct lend_channel *channel)
{
	mutex_lock(&lend_channels_lock);
	list_del_rcu(&channel->node);
	mutex_unlock(&lend_channels_lock);
	synchronize_rcu();
	kthread_stop(channel->server);
}
