// SPDX-License-Identifier: GPL-2.0-only
/* KUnit tests of budgets, with clocks of their own. */

#include <kunit/test.h>
#include <linux/prandom.h>

#include "budget.h"

#define RATE	1000
#define BURST	50

static u32 taken(struct lend_budget *budget, u64 from, u64 step, u32 tries)
{
	u32 i, count = 0;

	for (i = 0; i < tries; i++)
		count += lend_budget_take(budget, from + i * step, RATE, BURST);
	return count;
}

static void a_burst_is_allowed_after_a_rest(struct kunit *test)
{
	struct lend_budget budget = {};

	KUNIT_EXPECT_EQ(test, taken(&budget, NSEC_PER_SEC, 0, 1000), BURST);
	KUNIT_EXPECT_EQ(test, taken(&budget, NSEC_PER_SEC, 0, 1000), 0);
	KUNIT_EXPECT_EQ(test, taken(&budget, 2 * NSEC_PER_SEC, 0, 1000), BURST);
	/* A long rest is worth no more than that. */
	KUNIT_EXPECT_EQ(test, taken(&budget, 2000 * NSEC_PER_SEC, 0, 1000), BURST);
}

static void who_asks_what_is_left_takes_nothing(struct kunit *test)
{
	struct lend_budget budget = {};
	u32 i;

	for (i = 0; i < BURST; i++) {
		KUNIT_EXPECT_TRUE(test, lend_budget_has(&budget, NSEC_PER_SEC, RATE, BURST));
		KUNIT_EXPECT_TRUE(test, lend_budget_has(&budget, NSEC_PER_SEC, RATE, BURST));
		KUNIT_EXPECT_EQ(test, taken(&budget, NSEC_PER_SEC, 0, 1), 1);
	}
	KUNIT_EXPECT_FALSE(test, lend_budget_has(&budget, NSEC_PER_SEC, RATE, BURST));
	KUNIT_EXPECT_TRUE(test, lend_budget_has(&budget, NSEC_PER_SEC + NSEC_PER_SEC / RATE, RATE,
						BURST));
}

static void a_flood_gets_the_rate(struct kunit *test)
{
	struct lend_budget budget = {};
	u32 count;

	/* For one second, a try each microsecond. */
	count = taken(&budget, NSEC_PER_SEC, NSEC_PER_USEC, USEC_PER_SEC);
	KUNIT_EXPECT_GE(test, count, RATE + BURST - 1);
	KUNIT_EXPECT_LE(test, count, RATE + BURST);
}

static void who_stays_below_the_rate_is_never_refused(struct kunit *test)
{
	struct lend_budget budget = {};
	struct rnd_state rnd;
	u64 now = NSEC_PER_SEC;
	u32 i, n;

	prandom_seed_state(&rnd, 0x4c454e44);
	for (i = 0; i < 1000; i++) {
		n = 1 + prandom_u32_state(&rnd) % BURST;
		KUNIT_EXPECT_EQ(test, taken(&budget, now, 0, n), n);
		now += (u64)n * NSEC_PER_SEC / RATE;
	}
}

static void who_floods_does_not_rest(struct kunit *test)
{
	struct lend_budget budget = {};
	u64 now = NSEC_PER_SEC;

	KUNIT_EXPECT_TRUE(test, lend_budget_rested(&budget, now));
	taken(&budget, now, NSEC_PER_USEC, USEC_PER_SEC);
	now += NSEC_PER_SEC;
	KUNIT_EXPECT_FALSE(test, lend_budget_rested(&budget, now));
	now += (u64)BURST * NSEC_PER_SEC / RATE;
	KUNIT_EXPECT_TRUE(test, lend_budget_rested(&budget, now));
}

#define SHARE	2
#define LONG	(100 * NSEC_PER_MSEC)

/* For how long somebody who does it again and again is within the budget. */
static u64 within(struct lend_budget *budget, u64 *now, u64 taken, u64 pause, u64 limit)
{
	u64 start = *now;

	do {
		*now += pause + taken;
	} while (lend_budget_spend(budget, *now, taken, SHARE, LONG) && *now - start < limit);
	return *now - start;
}

static void who_takes_all_time_has_the_burst_twice(struct kunit *test)
{
	struct lend_budget budget = {};
	u64 now = NSEC_PER_SEC, lasted;

	/* Half of all time is given back as it goes on. */
	lasted = within(&budget, &now, NSEC_PER_MSEC, 0, NSEC_PER_SEC);
	KUNIT_EXPECT_GE(test, lasted, 2 * LONG - NSEC_PER_MSEC);
	KUNIT_EXPECT_LE(test, lasted, 2 * LONG + NSEC_PER_MSEC);
}

static void who_takes_its_share_goes_on(struct kunit *test)
{
	struct lend_budget budget = {};
	u64 now = NSEC_PER_SEC;

	KUNIT_EXPECT_GE(test, within(&budget, &now, NSEC_PER_MSEC, NSEC_PER_MSEC, NSEC_PER_SEC),
			NSEC_PER_SEC);
}

static void one_that_takes_long_is_over_it_by_itself(struct kunit *test)
{
	struct lend_budget budget = {};
	u64 now = NSEC_PER_SEC;

	KUNIT_EXPECT_FALSE(test, lend_budget_spend(&budget, now, LONG + 1, SHARE, LONG));
	/* However long it took, the rest has an end. */
	KUNIT_EXPECT_FALSE(test, lend_budget_spend(&budget, now, 100 * LONG, SHARE, LONG));
	KUNIT_EXPECT_FALSE(test, lend_budget_rested(&budget, now + SHARE * LONG - 1));
	KUNIT_EXPECT_TRUE(test, lend_budget_rested(&budget, now + SHARE * LONG));
}

static struct kunit_case lend_budget_cases[] = {
	KUNIT_CASE(a_burst_is_allowed_after_a_rest),
	KUNIT_CASE(who_asks_what_is_left_takes_nothing),
	KUNIT_CASE(a_flood_gets_the_rate),
	KUNIT_CASE(who_stays_below_the_rate_is_never_refused),
	KUNIT_CASE(who_floods_does_not_rest),
	KUNIT_CASE(who_takes_all_time_has_the_burst_twice),
	KUNIT_CASE(who_takes_its_share_goes_on),
	KUNIT_CASE(one_that_takes_long_is_over_it_by_itself),
	{ }
};

static struct kunit_suite lend_budget_suite = {
	.name = "ntb_lend_budget",
	.test_cases = lend_budget_cases,
};

kunit_test_suite(lend_budget_suite);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("KUnit tests of ntb_lend's budgets");
