// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of how relayed interrupts are counted: a made-up device, owner
 * and borrower, between whom doorbells get lost and come twice.
 */

#include <kunit/test.h>
#include <linux/prandom.h>

#include "sequence.h"

#define TAG	0x5eed
#define EVENTS	10000

/**
 * struct rig - both ends
 * @level: owner's state
 * @raised: owner's count
 * @raised_word: what the owner has written into the borrower's memory
 * @handled_word: what the borrower has written into the owner's memory
 * @seen: borrower's count
 * @todo: work in the device that its driver has not fetched
 * @runs: how often the driver's handler ran
 */
struct rig {
	struct lend_level level;
	u32 raised;
	u64 raised_word;
	u64 handled_word;
	u32 seen;
	u32 todo;
	u32 runs;
};

/* What the owner's handler does, as long as the device asserts the interrupt. */
static void rig_owner_irq(struct rig *rig)
{
	if (!lend_level_open(&rig->level) || !rig->todo)
		return;
	rig->level.waiting = true;
	rig->raised_word = lend_relay_word(TAG, ++rig->raised);
}

static void rig_owner_looks(struct rig *rig)
{
	u32 handled;

	if (lend_relay_count(rig->handled_word, TAG, &handled) &&
	    lend_level_handled(&rig->level, rig->raised, handled))
		rig_owner_irq(rig);
}

static void rig_borrower_looks(struct rig *rig)
{
	u32 count;

	if (!lend_relay_count(rig->raised_word, TAG, &count) || count == rig->seen)
		return;
	rig->seen = count;
	rig->runs++;
	rig->todo = 0;
	rig->handled_word = lend_relay_word(TAG, rig->seen);
}

static void rig_init(struct rig *rig, u32 start)
{
	*rig = (struct rig) {
		.level = { .active = true, .waiting = true },
		.raised = start,
		.raised_word = lend_relay_word(TAG, start),
		.seen = start,
		.handled_word = lend_relay_word(TAG, start),
	};
	rig_owner_looks(rig);
}

static void no_interrupt_is_lost_or_stuck(struct kunit *test)
{
	struct rnd_state rnd;
	struct rig rig;
	u32 i;

	prandom_seed_state(&rnd, 3);
	/* Over the end of the counter. */
	rig_init(&rig, ~0U - EVENTS / 4);
	for (i = 0; i < EVENTS; i++) {
		rig.todo++;
		rig_owner_irq(&rig);
		/* Each side's doorbell comes 0, 1 or 2 times. */
		switch (prandom_u32_state(&rnd) % 4) {
		case 0:
			break;
		case 1:
			rig_borrower_looks(&rig);
			fallthrough;
		default:
			rig_borrower_looks(&rig);
			if (prandom_u32_state(&rnd) % 2)
				rig_owner_looks(&rig);
			if (prandom_u32_state(&rnd) % 2)
				rig_owner_looks(&rig);
		}
	}
	/* Two heartbeats of either side. */
	for (i = 0; i < 2; i++) {
		rig_borrower_looks(&rig);
		rig_owner_looks(&rig);
	}
	KUNIT_EXPECT_EQ(test, rig.todo, 0);
	KUNIT_EXPECT_TRUE(test, lend_level_open(&rig.level));
	KUNIT_EXPECT_EQ(test, rig.seen, rig.raised);
	KUNIT_EXPECT_GT(test, rig.runs, EVENTS / 10);
	KUNIT_EXPECT_LE(test, rig.runs, EVENTS);
}

static void words_of_other_leases_count_for_nothing(struct kunit *test)
{
	u32 count;

	KUNIT_EXPECT_FALSE(test, lend_relay_count(0, lend_relay_tag(0), &count));
	KUNIT_EXPECT_FALSE(test, lend_relay_count(0, lend_relay_tag(1ULL << 32), &count));
	KUNIT_EXPECT_FALSE(test, lend_relay_count(lend_relay_word(lend_relay_tag(6), 1),
						  lend_relay_tag(7), &count));
	KUNIT_ASSERT_TRUE(test, lend_relay_count(lend_relay_word(lend_relay_tag(7), ~0U),
						 lend_relay_tag(7), &count));
	KUNIT_EXPECT_EQ(test, count, ~0U);
}

static void only_the_last_count_opens(struct kunit *test)
{
	struct lend_level level = { .active = true, .waiting = true };

	KUNIT_EXPECT_FALSE(test, lend_level_handled(&level, 5, 4));
	KUNIT_EXPECT_FALSE(test, lend_level_handled(&level, 5, 6));
	KUNIT_EXPECT_TRUE(test, lend_level_handled(&level, 5, 5));
	/* The same once more: nothing to do. */
	KUNIT_EXPECT_FALSE(test, lend_level_handled(&level, 5, 5));
}

static void an_interrupt_switched_off_stays_shut(struct kunit *test)
{
	struct lend_level level = { .active = true, .off = true, .waiting = true };

	KUNIT_EXPECT_FALSE(test, lend_level_handled(&level, 1, 1));
	KUNIT_EXPECT_FALSE(test, lend_level_open(&level));
	level.off = false;
	KUNIT_EXPECT_TRUE(test, lend_level_open(&level));
	level.active = false;
	KUNIT_EXPECT_FALSE(test, lend_level_open(&level));
}

static void what_is_raised_too_often_waits_for_both_clock_and_borrower(struct kunit *test)
{
	struct lend_level level = { .active = true, .waiting = true, .held = true };

	/* The borrower is the last. */
	KUNIT_EXPECT_FALSE(test, lend_level_rested(&level));
	KUNIT_EXPECT_TRUE(test, lend_level_handled(&level, 1, 1));
	/* The clock is. */
	level.waiting = true;
	level.held = true;
	KUNIT_EXPECT_FALSE(test, lend_level_handled(&level, 2, 2));
	KUNIT_EXPECT_FALSE(test, lend_level_open(&level));
	KUNIT_EXPECT_TRUE(test, lend_level_rested(&level));
	/* It was not held: nothing to do. */
	KUNIT_EXPECT_FALSE(test, lend_level_rested(&level));
	/* Nor does it open what nobody listens to any more. */
	level.held = true;
	level.active = false;
	KUNIT_EXPECT_FALSE(test, lend_level_rested(&level));
	KUNIT_EXPECT_FALSE(test, level.held);
}

static struct kunit_case lend_sequence_cases[] = {
	KUNIT_CASE(no_interrupt_is_lost_or_stuck),
	KUNIT_CASE(words_of_other_leases_count_for_nothing),
	KUNIT_CASE(only_the_last_count_opens),
	KUNIT_CASE(an_interrupt_switched_off_stays_shut),
	KUNIT_CASE(what_is_raised_too_often_waits_for_both_clock_and_borrower),
	{ }
};

static struct kunit_suite lend_sequence_suite = {
	.name = "ntb_lend_sequence",
	.test_cases = lend_sequence_cases,
};

kunit_test_suite(lend_sequence_suite);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("KUnit tests of ntb_lend's relayed interrupts");
