// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts relayed by doorbell. The owner counts in the borrower's memory
 * and rings; the borrower answers level-triggered ones the same way. Doorbells
 * only say "look": what counts is in the tables, and heartbeats look too. Used by
 * link.c and ntb_client.c for its life, by owner_irq.c (sources) and irq.c (sinks).
 *
 * Locks: lend_source.lock, lend_sink.lock and lend_relay.lock, innermost, in any
 * context.
 */

#include <linux/io.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>

#include "channel.h"
#include "relay.h"
#include "sequence.h"

/* Any context. Puts a count into the peer's memory. */
static bool lend_relay_post(struct lend_channel *channel, bool handled, u32 slot, u64 word)
{
	struct lend_chan __iomem *to = channel->peer;

	if (!lend_channel_enter(channel))
		return false;
	writeq(word, handled ? &to->handled[slot] : &to->raised[slot]);
	/* Before the doorbell. */
	wmb();
	lend_channel_leave(channel);
	return true;
}

/* Any context. */
static bool lend_source_post(struct lend_source *source, bool next)
{
	unsigned long flags;
	bool posted;

	spin_lock_irqsave(&source->lock, flags);
	if (next)
		source->count++;
	posted = lend_relay_post(source->relay->channel, false, source->slot,
				 lend_relay_word(source->tag, source->count));
	spin_unlock_irqrestore(&source->lock, flags);
	return posted;
}

/* Any context. */
static bool lend_sink_post(struct lend_sink *sink, bool next)
{
	unsigned long flags;
	bool posted;

	spin_lock_irqsave(&sink->lock, flags);
	if (next)
		sink->handled = READ_ONCE(sink->seen);
	posted = lend_relay_post(sink->relay->channel, true, sink->slot,
				 lend_relay_word(sink->tag, sink->handled));
	spin_unlock_irqrestore(&sink->lock, flags);
	return posted;
}

/* Interrupt context, under RCU. */
static void lend_source_look(struct lend_source *source)
{
	const struct lend_chan *chan = source->relay->channel->own;
	u32 count;

	if (source->handled &&
	    lend_relay_count(le64_to_cpu(READ_ONCE(chan->handled[source->slot])), source->tag,
			     &count))
		source->handled(source, count);
}

/* Interrupt context, under RCU; possibly on several CPUs at once. */
static void lend_sink_look(struct lend_sink *sink)
{
	const struct lend_chan *chan = sink->relay->channel->own;
	u32 seen = READ_ONCE(sink->seen), count;

	/* First what was seen, then what is there: the latter is never older. */
	smp_rmb();
	if (!lend_relay_count(le64_to_cpu(READ_ONCE(chan->raised[sink->slot])), sink->tag,
			      &count) || count == seen)
		return;
	if (cmpxchg(&sink->seen, seen, count) == seen)
		sink->deliver(sink);
}

static void lend_relay_look(struct irq_work *work)
{
	struct lend_relay *relay = container_of(work, struct lend_relay, work);
	struct lend_source *source;
	struct lend_sink *sink;
	unsigned long slot;

	rcu_read_lock();
	for_each_set_bit(slot, relay->sources, LEND_RELAYS) {
		source = rcu_dereference(relay->source[slot]);
		if (source)
			lend_source_look(source);
	}
	for_each_set_bit(slot, relay->sinks, LEND_RELAYS) {
		sink = rcu_dereference(relay->sink[slot]);
		if (sink)
			lend_sink_look(sink);
	}
	rcu_read_unlock();
}

/**
 * lend_relay_kick() - look through the tables soon
 * @relay: the link's relayed interrupts
 *
 * Drivers' handlers run in an interrupt of their own, not in the doorbell's,
 * where the NTB core holds a lock.
 *
 * Context: any.
 */
void lend_relay_kick(struct lend_relay *relay)
{
	irq_work_queue(&relay->work);
}

/**
 * lend_relay_repeat() - say again what the peer may have missed, and look
 * @relay: the link's relayed interrupts
 *
 * Context: process.
 */
void lend_relay_repeat(struct lend_relay *relay)
{
	struct lend_source *source;
	struct lend_sink *sink;
	unsigned long slot;

	if (bitmap_empty(relay->sources, LEND_RELAYS) && bitmap_empty(relay->sinks, LEND_RELAYS))
		return;
	rcu_read_lock();
	for_each_set_bit(slot, relay->sources, LEND_RELAYS) {
		source = rcu_dereference(relay->source[slot]);
		if (source)
			lend_source_post(source, false);
	}
	for_each_set_bit(slot, relay->sinks, LEND_RELAYS) {
		sink = rcu_dereference(relay->sink[slot]);
		if (sink && sink->level)
			lend_sink_post(sink, false);
	}
	rcu_read_unlock();
	lend_relay_kick(relay);
}

/**
 * lend_source_add() - begin to relay an interrupt to the peer
 * @source: the interrupt; relay, tag and handled are filled in
 *
 * Context: process; the link is ready.
 * Return: 0; -ENOSPC all slots are in use.
 */
int lend_source_add(struct lend_source *source)
{
	struct lend_relay *relay = source->relay;
	u32 slot;

	spin_lock_init(&source->lock);
	do {
		slot = find_first_zero_bit(relay->sources, LEND_RELAYS);
		if (slot >= LEND_RELAYS)
			return -ENOSPC;
	} while (test_and_set_bit(slot, relay->sources));
	source->slot = slot;
	/* A count that was handled by whoever had the slot before is not this one. */
	source->start = relay->last[slot] + 1;
	source->count = source->start;
	lend_source_post(source, false);
	rcu_assign_pointer(relay->source[slot], source);
	return 0;
}

/**
 * lend_source_hide() - let an interrupt be found no longer
 * @source: the interrupt; nothing raises it any more
 *
 * Whoever has found it is through after a grace period: many can be hidden before
 * one such is waited for. lend_source_forget() follows.
 *
 * Context: any.
 */
void lend_source_hide(struct lend_source *source)
{
	RCU_INIT_POINTER(source->relay->source[source->slot], NULL);
}

/**
 * lend_source_forget() - give the slot of an interrupt back
 * @source: the interrupt, hidden a grace period ago
 *
 * Context: any.
 */
void lend_source_forget(struct lend_source *source)
{
	struct lend_relay *relay = source->relay;

	relay->last[source->slot] = source->count;
	/* The count is kept before another may have the slot. */
	smp_mb__before_atomic();
	clear_bit(source->slot, relay->sources);
}

/**
 * lend_source_raise() - raise an interrupt at the peer
 * @source: the interrupt
 *
 * Context: any.
 */
void lend_source_raise(struct lend_source *source)
{
	if (lend_source_post(source, true))
		lend_channel_ring(source->relay->channel, LEND_DB_RELAY);
}

/**
 * lend_source_is_within() - is an interrupt that was raised within what its peer may cost
 * @source: the interrupt
 * @rate: how often per second all those of the peer may be raised
 *
 * Context: any.
 * Return: false when they were raised too often: the caller has it held back.
 */
bool lend_source_is_within(struct lend_source *source, u32 rate)
{
	struct lend_relay *relay = source->relay;
	unsigned long flags;
	bool within;

	spin_lock_irqsave(&relay->lock, flags);
	within = lend_budget_take(&relay->raised, ktime_get_mono_fast_ns(), rate, rate / 10);
	spin_unlock_irqrestore(&relay->lock, flags);
	return within;
}

/**
 * lend_sink_add() - begin to listen to an interrupt of the peer
 * @sink: the interrupt; all but lock and handled are filled in
 *
 * Context: process.
 * Return: 0; -EPROTO the peer names a slot that cannot be.
 */
int lend_sink_add(struct lend_sink *sink)
{
	struct lend_relay *relay = sink->relay;

	if (sink->slot >= LEND_RELAYS || test_and_set_bit(sink->slot, relay->sinks))
		return -EPROTO;
	spin_lock_init(&sink->lock);
	/* Not handled before the driver says so. */
	sink->handled = sink->seen - 1;
	WRITE_ONCE(sink->active, true);
	rcu_assign_pointer(relay->sink[sink->slot], sink);
	return 0;
}

/**
 * lend_sink_remove() - listen no longer
 * @sink: the interrupt
 *
 * Context: process; sleeps until nobody uses it.
 */
void lend_sink_remove(struct lend_sink *sink)
{
	struct lend_relay *relay = sink->relay;

	WRITE_ONCE(sink->active, false);
	RCU_INIT_POINTER(relay->sink[sink->slot], NULL);
	synchronize_rcu();
	clear_bit(sink->slot, relay->sinks);
}

/**
 * lend_sink_handled() - tell the owner that all seen so far is handled
 * @sink: the interrupt
 *
 * Context: any.
 */
void lend_sink_handled(struct lend_sink *sink)
{
	if (lend_sink_post(sink, true))
		lend_channel_ring(sink->relay->channel, LEND_DB_RELAY);
}

/**
 * lend_relay_alloc() - a link's tables
 * @channel: whose memory they are in
 *
 * Context: process.
 * Return: them, to be freed by kfree(), or NULL.
 */
struct lend_relay *lend_relay_alloc(struct lend_channel *channel)
{
	struct lend_relay *relay = kzalloc(sizeof(*relay), GFP_KERNEL);

	if (!relay)
		return NULL;
	relay->channel = channel;
	spin_lock_init(&relay->lock);
	init_irq_work(&relay->work, lend_relay_look);
	return relay;
}

/**
 * lend_relay_stop() - wait until nobody looks any more
 * @relay: without sources and sinks; nothing kicks it
 *
 * Context: process.
 */
void lend_relay_stop(struct lend_relay *relay)
{
	irq_work_sync(&relay->work);
}
