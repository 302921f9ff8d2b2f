/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupts relayed by doorbell: a source is on the owner, its sink on the
 * borrower; both have the same slot in the tables of the channel memory.
 */
#ifndef LEND_RELAY_H
#define LEND_RELAY_H

#include <linux/atomic.h>
#include <linux/bitmap.h>
#include <linux/irq_work.h>
#include <linux/spinlock.h>

#include "budget.h"
#include "proto.h"

struct lend_channel;
struct lend_relay;

/**
 * struct lend_source - an interrupt that this host raises at the peer
 * @relay: of the borrower's link
 * @slot: in the tables
 * @tag: of the lease
 * @lock: a count is written whole and in order
 * @start: where the count started
 * @count: how often it was raised
 * @handled: what to do when the borrower says that it has handled the interrupt
 *	up to a count; interrupt context; NULL for edge-triggered ones
 */
struct lend_source {
	struct lend_relay *relay;
	u32 slot;
	u32 tag;
	u32 start;
	spinlock_t lock; /* count */
	u32 count;
	void (*handled)(struct lend_source *source, u32 count);
};

/**
 * struct lend_sink - an interrupt that the peer raises here
 * @relay: of the owner's link
 * @slot: in the tables
 * @tag: of the lease
 * @seen: count of the last one delivered
 * @lock: @handled is written whole and in order
 * @handled: last count that was reported to the owner
 * @level: the owner waits for @handled
 * @active: a driver has requested it
 * @deliver: hands it to its driver; interrupt context
 */
struct lend_sink {
	struct lend_relay *relay;
	u32 slot;
	u32 tag;
	u32 seen;
	spinlock_t lock; /* handled */
	u32 handled;
	bool level;
	bool active;
	void (*deliver)(struct lend_sink *sink);
};

/**
 * struct lend_relay - a link's relayed interrupts
 * @channel: whose memory the tables are in
 * @work: looks through the tables, in interrupt context
 * @sources: slots in use as owner
 * @sinks: slots in use as borrower
 * @source: the sources; read under RCU
 * @sink: the sinks; read under RCU
 * @last: where the counter of a slot stood; it only grows within a session
 * @lock: protects @raised
 * @raised: how often all sources together were
 * @vectors: of this host's processors that sources take
 */
struct lend_relay {
	struct lend_channel *channel;
	struct irq_work work;
	DECLARE_BITMAP(sources, LEND_RELAYS);
	DECLARE_BITMAP(sinks, LEND_RELAYS);
	struct lend_source __rcu *source[LEND_RELAYS];
	struct lend_sink __rcu *sink[LEND_RELAYS];
	u32 last[LEND_RELAYS];
	spinlock_t lock; /* raised */
	struct lend_budget raised;
	atomic_t vectors;
};

struct lend_relay *lend_relay_alloc(struct lend_channel *channel);
void lend_relay_stop(struct lend_relay *relay);
void lend_relay_kick(struct lend_relay *relay);
void lend_relay_repeat(struct lend_relay *relay);

int lend_source_add(struct lend_source *source);
void lend_source_hide(struct lend_source *source);
void lend_source_forget(struct lend_source *source);
void lend_source_raise(struct lend_source *source);
bool lend_source_is_within(struct lend_source *source, u32 rate);

int lend_sink_add(struct lend_sink *sink);
void lend_sink_remove(struct lend_sink *sink);
void lend_sink_handled(struct lend_sink *sink);

#endif
