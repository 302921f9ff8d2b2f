// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owner side: what of a lent device's interrupts is raised at the borrower, and how often.
 *
 * A borrower can have a device interrupt as often as it can write a register of it.
 * What is too often is masked in the function until the next tick, by those who call
 * this: none is lost.
 *
 * Called by owner_intx.c, owner_vectors.c and owner_irq.c. Locks: the lent device's lock,
 * held by the caller where the comment says so.
 */

#include <linux/list.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "owner_relayed.h"
#include "owner_source.h"
#include "param.h"

/*
 * How often devices interrupt this host for one peer. Each time costs a hard interrupt
 * and a doorbell, and the peer takes no more doorbells than that (doorbells_per_s): a
 * drive or a card that is faster gains nothing by it.
 */
static unsigned int interrupts_per_s = 200000;
LEND_PARAM_UINT(interrupts_per_s, 100, 10000000,
		"Relayed interrupts above this rate wait for the clock, for each peer, from 100 on (default 200000)");

/**
 * owner_source_limit() - how often devices may interrupt this host for one peer
 *
 * Context: any.
 * Return: times a second.
 */
unsigned int owner_source_limit(void)
{
	return READ_ONCE(interrupts_per_s);
}

/**
 * owner_source_open() - the borrower listens to an interrupt
 * @irq: interrupts of the device
 * @handled: called in interrupt context with what the borrower has handled, or NULL
 *
 * Context: process; caller holds the lent device's lock.
 * Return: what is raised from now on, or an ERR_PTR().
 */
struct owner_source *owner_source_open(struct owner_irq *irq,
				       void (*handled)(struct lend_source *source, u32 count))
{
	struct owner_source *s = kzalloc(sizeof(*s), GFP_KERNEL);
	int ret;

	if (!s)
		return ERR_PTR(-ENOMEM);
	s->owner = irq;
	s->source.relay = irq->relay;
	s->source.tag = irq->tag;
	s->source.handled = handled;
	ret = lend_source_add(&s->source);
	if (ret) {
		kfree(s);
		return ERR_PTR(ret);
	}
	return s;
}

/**
 * owner_source_close() - the borrower listens to it no longer
 * @s: what nothing raises any more
 * @closed: gets it, for owner_source_release()
 *
 * Context: process; caller holds the lent device's lock.
 */
void owner_source_close(struct owner_source *s, struct list_head *closed)
{
	lend_source_hide(&s->source);
	list_add(&s->closed, closed);
}

/**
 * owner_source_release() - free what is closed
 * @closed: a list of it; empty afterwards
 *
 * Waits once, however many there are, until nobody looks at them any more: not under
 * the lent device's lock, which a fence may want.
 *
 * Context: process; caller has a reference to the lent device, and to the link.
 */
void owner_source_release(struct list_head *closed)
{
	struct owner_source *s, *next;

	if (list_empty(closed))
		return;
	synchronize_rcu();
	list_for_each_entry_safe(s, next, closed, closed) {
		lend_source_forget(&s->source);
		kfree(s);
	}
	INIT_LIST_HEAD(closed);
}

/**
 * owner_source_floods() - was an interrupt raised once too often?
 * @source: what was raised
 *
 * Then the device is masked, and owner_source_hold() called after that: a tick may be
 * over at any time.
 *
 * Context: any.
 */
bool owner_source_floods(struct lend_source *source)
{
	return !lend_source_is_within(source, owner_source_limit());
}

/**
 * owner_source_hold() - the device, which is masked, goes on with the next tick
 * @irq: its interrupts
 *
 * Context: any.
 */
void owner_source_hold(struct owner_irq *irq)
{
	queue_delayed_work(system_highpri_wq, &irq->calm, 1);
}
