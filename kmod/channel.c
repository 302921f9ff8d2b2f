// SPDX-License-Identifier: GPL-2.0-only
/*
 * Channel: requests are posted writes into the peer's memory, answers are
 * posted writes back; each side polls its own memory only.
 */

#include <linux/io.h>
#include <linux/kthread.h>
#include <linux/moduleparam.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/timekeeping.h>

#include "channel.h"
#include "link.h"
#include "serve.h"
#include "trace.h"

static unsigned int request_timeout_ms = 1000;
module_param(request_timeout_ms, uint, 0644);
MODULE_PARM_DESC(request_timeout_ms,
		 "Hard limit of one request to the peer's kernel, in ms (default 1000)");

static unsigned int server_poll_us = 50;
module_param(server_poll_us, uint, 0644);
MODULE_PARM_DESC(server_poll_us,
		 "How long to poll for the next request before sleeping, in us (default 50)");

/* First repetition of a request's doorbell; doubles each time. */
#define LEND_RERING_NS	(2 * NSEC_PER_MSEC)

/* How long a server that should be polling may take before its doorbell is rung. */
#define LEND_QUIET_NS	(20 * NSEC_PER_USEC)

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
	default:
		return -EPROTO;
	}
}

/*
 * A slot whose request has timed out stays in use until its answer comes after
 * all: the server might still be reading the request, so it is not overwritten.
 */
static void lend_slots_reclaim(struct lend_link *link)
{
	unsigned long stuck = READ_ONCE(link->slots_stuck);
	unsigned long slot;

	for_each_set_bit(slot, &stuck, LEND_SLOTS) {
		u32 seq = le32_to_cpu(READ_ONCE(link->chan->resp[slot].seq));

		if (seq == READ_ONCE(link->slot_seq[slot]) &&
		    test_and_clear_bit(slot, &link->slots_stuck))
			clear_bit_unlock(slot, &link->slots_busy);
	}
}

/*
 * Any context. Answers the request in @slot, if there is a new one; without
 * @wait, only if that can be done now.
 */
static bool lend_serve_slot(struct lend_link *link, int slot, bool wait)
{
	struct lend_request *from = &link->chan->req[slot];
	struct lend_response __iomem *to = &link->peer_chan->resp[slot];
	struct lend_response resp = {};
	struct lend_request req;
	u32 seq = le32_to_cpu(READ_ONCE(from->seq)), served = READ_ONCE(link->served_seq[slot]);

	if (!seq || seq == served)
		return false;
	/* Sequence number before body. */
	dma_rmb();
	/* The peer may go on writing: look at each field once, in the copy. */
	memcpy(&req, from, sizeof(req));
	barrier();
	if (!wait && req.op != LEND_OP_CONFIG_READ)
		return false;
	/* Another processor may be at it, or done with it: then the copy may be of two requests. */
	if (cmpxchg(&link->served_seq[slot], served, seq) != served)
		return false;

	if (le64_to_cpu(req.session) != link->peer_epoch)
		resp.status = cpu_to_le32(LEND_ERR_STALE);
	else
		resp.status = cpu_to_le32(lend_serve(link, &req, &resp));
	if (resp.status)
		atomic64_inc(&link->counters.rejected);
	else
		atomic64_inc(&link->counters.served);

	memcpy_toio(&to->status, &resp.status,
		    sizeof(resp) - offsetof(struct lend_response, status));
	/* Body before sequence number. */
	wmb();
	writel(seq, &to->seq);
	/* Out of the write-combining buffer now: the peer's CPU spins. */
	wmb();
	return true;
}

/* Context as lend_serve_slot(). */
static bool lend_serve_all(struct lend_link *link, bool wait)
{
	bool any = false;
	int slot;

	for (slot = 0; slot < LEND_SLOTS; slot++) {
		if (!lend_link_enter(link))
			return false;
		any |= lend_serve_slot(link, slot, wait);
		lend_link_leave(link);
	}
	return any;
}

static void lend_serve_all_now(struct lend_link *link)
{
	lend_serve_all(link, false);
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
	if (!IS_ENABLED(CONFIG_PCI_LOCKLESS_CONFIG))
		return;
	/* A request that is taken here is not left lying. */
	preempt_disable();
	lend_link_visit_all(lend_serve_all_now);
	preempt_enable();
}

/* Any context. Returns a slot, or -EBUSY when none comes free by @deadline. */
static int lend_slot_get(struct lend_link *link, u64 deadline)
{
	unsigned long slot;

	for (;;) {
		lend_slots_reclaim(link);
		slot = find_first_zero_bit(&link->slots_busy, LEND_SLOTS);
		if (slot < LEND_SLOTS) {
			if (!test_and_set_bit_lock(slot, &link->slots_busy))
				return slot;
			continue;
		}
		if (READ_ONCE(link->dead) || ktime_get_mono_fast_ns() > deadline)
			return -EBUSY;
		lend_serve_while_waiting();
		cpu_relax();
	}
}

static void lend_slot_post(struct lend_link *link, int slot, u32 seq,
			   const struct lend_call *call)
{
	struct lend_request __iomem *to = &link->peer_chan->req[slot];
	struct lend_request req = {
		.op = call->op,
		.size = call->size,
		.session = cpu_to_le64(link->epoch),
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
static bool lend_server_polls(const struct lend_link *link, u64 now)
{
	return now - READ_ONCE(link->answered_at) < READ_ONCE(server_poll_us) * NSEC_PER_USEC;
}

/**
 * lend_channel_call() - ask the peer's kernel
 * @link: the link
 * @call: the request; its answer is put into @call->val
 *
 * Spins until the answer is there or request_timeout_ms are over, and serves reads
 * of registers meanwhile.
 *
 * Context: any, with interrupts on or off. Takes no lock.
 * Return: 0; -ENODEV the link is not ready or was lost; -ETIMEDOUT no answer in
 * time; -ESTALE the lease is over; -EPERM refused by the owner; -EIO the device
 * did not answer; -EBUSY no free slot in time, or attached already.
 */
int lend_channel_call(struct lend_link *link, struct lend_call *call)
{
	u64 start = ktime_get_mono_fast_ns(), now = start;
	u64 deadline = start + (u64)READ_ONCE(request_timeout_ms) * NSEC_PER_MSEC;
	u64 rering = LEND_RERING_NS, next_ring;
	struct lend_response *resp;
	int slot, i, ret;
	u32 seq;

	if (!lend_link_enter(link))
		return -ENODEV;

	slot = lend_slot_get(link, deadline);
	if (slot < 0) {
		ret = slot;
		goto leave;
	}

	resp = &link->chan->resp[slot];
	seq = ++link->slot_seq[slot];
	if (!seq)
		seq = ++link->slot_seq[slot];
	atomic64_inc(&link->counters.requests);
	lend_slot_post(link, slot, seq, call);
	if (lend_server_polls(link, start)) {
		next_ring = start + LEND_QUIET_NS;
		rering /= 2;
	} else {
		next_ring = start + rering;
		lend_link_ring(link, LEND_DB_REQUEST);
	}

	for (;;) {
		if (le32_to_cpu(READ_ONCE(resp->seq)) == seq) {
			/* Sequence number before body; pairs with the peer's order. */
			dma_rmb();
			ret = lend_status_to_errno(le32_to_cpu(READ_ONCE(resp->status)));
			for (i = 0; i < ARRAY_SIZE(call->val); i++)
				call->val[i] = le64_to_cpu(READ_ONCE(resp->val[i]));
			atomic64_inc(&link->counters.responses);
			WRITE_ONCE(link->answered_at, ktime_get_mono_fast_ns());
			break;
		}
		if (READ_ONCE(link->dead)) {
			ret = -ENODEV;
			break;
		}
		now = ktime_get_mono_fast_ns();
		if (now > deadline) {
			atomic64_inc(&link->counters.timeouts);
			set_bit(slot, &link->slots_stuck);
			ret = -ETIMEDOUT;
			goto trace;
		}
		if (now > next_ring) {
			lend_link_ring(link, LEND_DB_REQUEST);
			rering *= 2;
			next_ring = now + rering;
		}
		if (now - start > LEND_QUIET_NS)
			lend_serve_while_waiting();
		cpu_relax();
	}

	clear_bit_unlock(slot, &link->slots_busy);
trace:
	trace_lend_call(link->id, call->op, call->handle, call->arg,
			ktime_get_mono_fast_ns() - start, ret);
leave:
	lend_link_leave(link);
	return ret;
}

/* Hybrid: polls for a while after each request, then sleeps. */
static int lend_server(void *data)
{
	struct lend_link *link = data;
	u64 idle_since = ktime_get_mono_fast_ns();

	while (!kthread_should_stop()) {
		atomic_set(&link->server_kick, 0);
		/* The kick is cleared before the slots are looked at. */
		smp_mb();
		if (lend_serve_all(link, true)) {
			idle_since = ktime_get_mono_fast_ns();
			continue;
		}
		if (lend_link_is_ready(link) &&
		    ktime_get_mono_fast_ns() - idle_since < server_poll_us * NSEC_PER_USEC) {
			cond_resched();
			cpu_relax();
			continue;
		}
		wait_event_interruptible(link->server_wait,
					 kthread_should_stop() ||
					 atomic_read(&link->server_kick));
		idle_since = ktime_get_mono_fast_ns();
	}
	return 0;
}

/**
 * lend_channel_kick() - a request may be there
 * @link: the link
 *
 * Context: any; called from the doorbell's interrupt.
 */
void lend_channel_kick(struct lend_link *link)
{
	atomic_set(&link->server_kick, 1);
	wake_up(&link->server_wait);
}

/**
 * lend_channel_reset() - forget the last session's requests and answers
 * @link: the link, not ready
 *
 * Context: process; caller holds @link->lock and no one uses the channel.
 */
void lend_channel_reset(struct lend_link *link)
{
	memset(link->chan, 0, sizeof(*link->chan));
	memset(link->served_seq, 0, sizeof(link->served_seq));
	link->slots_busy = 0;
	link->slots_stuck = 0;
	get_random_bytes(link->slot_seq, sizeof(link->slot_seq));
}

/**
 * lend_channel_start() - start the server
 * @link: the link
 *
 * Context: process.
 * Return: 0 or a negative errno.
 */
int lend_channel_start(struct lend_link *link)
{
	struct task_struct *task;

	init_waitqueue_head(&link->server_wait);
	atomic_set(&link->server_kick, 0);
	task = kthread_run(lend_server, link, "ntb_lend/%u", link->id);
	if (IS_ERR(task))
		return PTR_ERR(task);
	/* Another host's CPU spins until this thread has answered. */
	sched_set_fifo_low(task);
	link->server = task;
	return 0;
}

/**
 * lend_channel_stop() - stop the server
 * @link: the link
 *
 * Context: process.
 */
void lend_channel_stop(struct lend_link *link)
{
	if (link->server)
		kthread_stop(link->server);
	link->server = NULL;
}
