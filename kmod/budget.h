/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How often a peer may have something done here, and how long. Pure logic.
 *
 * A budget is the time until which it is spent: each use moves that on by an
 * interval, or by what it has taken, and it may be ahead of the clock by what is
 * allowed at once.
 */
#ifndef LEND_BUDGET_H
#define LEND_BUDGET_H

#include <linux/minmax.h>
#include <linux/time64.h>
#include <linux/types.h>

/**
 * struct lend_budget - how often something may be done
 * @spent: until when it is spent, in ns
 */
struct lend_budget {
	u64 spent;
};

/**
 * lend_budget_has() - might it be done once more
 * @budget: of who wants it; zeroed at first
 * @now: the time, in ns
 * @rate: how often per second in the long run, not 0
 * @burst: how often at once, after a rest; not 0
 *
 * Context: any.
 */
static inline bool lend_budget_has(const struct lend_budget *budget, u64 now, u32 rate, u32 burst)
{
	return max(budget->spent, now) - now <= (u64)(burst - 1) * (NSEC_PER_SEC / rate);
}

/**
 * lend_budget_take() - may it be done once more
 * @budget: of who wants it; zeroed at first
 * @now: the time, in ns
 * @rate: how often per second in the long run, not 0
 * @burst: how often at once, after a rest
 *
 * Context: any; caller serialises, or does not mind a use more or less.
 * Return: false when it was done too often. That is not counted: who is refused
 * waits for one interval at most, however often it asks.
 */
static inline bool lend_budget_take(struct lend_budget *budget, u64 now, u32 rate, u32 burst)
{
	if (!lend_budget_has(budget, now, rate, burst))
		return false;
	budget->spent = max(budget->spent, now) + NSEC_PER_SEC / rate;
	return true;
}

/**
 * lend_budget_spend() - count what something has taken
 * @budget: of who had it done; zeroed at first
 * @now: the time, in ns, after it was done
 * @taken: how long that took, in ns
 * @share: of which part of all time it may take: one in so many
 * @burst: how long it may go on at once, after a rest, in ns
 *
 * It is done already, so it counts whatever it was. Who is over it is so for
 * @share * @burst at most after the last time.
 *
 * Context: any; caller serialises.
 * Return: false when it has taken too long.
 */
static inline bool lend_budget_spend(struct lend_budget *budget, u64 now, u64 taken, u32 share,
				     u64 burst)
{
	u64 ahead = max(budget->spent, now) - now + taken * share;

	budget->spent = now + min(ahead, burst * share);
	return ahead <= burst * share;
}

/**
 * lend_budget_rested() - was nothing done for long enough to have a burst again
 * @budget: of who did it
 * @now: the time, in ns
 *
 * Context: any; caller serialises.
 */
static inline bool lend_budget_rested(const struct lend_budget *budget, u64 now)
{
	return budget->spent <= now;
}

#endif
