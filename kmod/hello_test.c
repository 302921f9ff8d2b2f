// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of the handshake's decisions: two made-up sides, of which any may
 * go on by one access to a scratchpad at any moment.
 */

#include <kunit/test.h>
#include <linux/prandom.h>

#include "hello.h"

#define RUNS		2000
/* Accesses: while sides come and go; and after that, until all must be well. */
#define ROUGH		300
#define QUIET		1000

/**
 * struct side - one end of the bridge
 * @epoch: its own
 * @peer_epoch: the peer's, if it knows it
 * @ready: the session has begun
 * @heartbeat: what the peer has written into its memory
 * @heard: what @heartbeat says is seen
 * @spad: what the peer has written into its scratchpads
 * @look: what it has read of them, twice
 * @writes: what it is about to write into the peer's
 * @at: which access is next: reads from 0 on, then writes
 */
struct side {
	u64 epoch;
	u64 peer_epoch;
	bool ready;
	bool heartbeat;
	bool heard;
	u32 spad[LEND_SPAD_COUNT];
	u32 look[2][LEND_SPAD_COUNT];
	u32 writes[LEND_SPAD_COUNT];
	unsigned int at;
};

#define READS	(2 * LEND_SPAD_COUNT)
#define WRITES	LEND_SPAD_COUNT

struct pair {
	struct side side[2];
	u64 epochs;
	unsigned int early; /* let in a peer that was still in an older session */
};

static void side_end(struct pair *pair, struct side *me)
{
	if (me->ready)
		me->epoch = ++pair->epochs;
	me->peer_epoch = 0;
	me->ready = false;
	me->heartbeat = false;
	me->heard = false;
}

static void side_say(struct side *me, enum lend_hello hello)
{
	const struct lend_hello_said said = {
		.hello = hello,
		.epoch = me->epoch,
		.echo = me->peer_epoch,
	};

	lend_hello_pack(&said, me->writes);
	me->at = READS;
}

/* The same as lend_link_shake_hands(). */
static void side_decide(struct pair *pair, struct side *me, struct side *peer)
{
	struct lend_hello_said said;

	me->at = 0;
	switch (lend_hello_next(me->epoch, me->peer_epoch, me->look[0], me->look[1], &said)) {
	case LEND_STEP_WAIT:
		break;
	case LEND_STEP_CALL:
	case LEND_STEP_INCOMPATIBLE:
		side_say(me, LEND_HELLO_HERE);
		break;
	case LEND_STEP_GONE:
	case LEND_STEP_CHANGED:
	case LEND_STEP_RENEWED:
		side_end(pair, me);
		break;
	case LEND_STEP_MEET:
		pair->early += peer->ready && peer->epoch == said.epoch &&
			       peer->peer_epoch != me->epoch;
		me->peer_epoch = said.epoch;
		side_say(me, LEND_HELLO_READY);
		break;
	case LEND_STEP_ECHO:
		side_say(me, LEND_HELLO_READY);
		break;
	case LEND_STEP_AGREE:
		peer->heard |= me->heartbeat;
		peer->heartbeat = true;
		me->ready |= me->heard;
		break;
	}
}

static void side_step(struct pair *pair, unsigned int which)
{
	struct side *me = &pair->side[which], *peer = &pair->side[!which];
	unsigned int at = me->at++;

	if (at < READS) {
		me->look[at / LEND_SPAD_COUNT][at % LEND_SPAD_COUNT] =
			me->spad[at % LEND_SPAD_COUNT];
		if (me->at == READS)
			side_decide(pair, me, peer);
		return;
	}
	at = WRITES - 1 - (at - READS);
	peer->spad[at] = me->writes[at];
	if (!at)
		me->at = 0;
}

/* The module is unloaded, which says so, and loaded again. */
static void side_reload(struct pair *pair, unsigned int which)
{
	struct side *me = &pair->side[which], *peer = &pair->side[!which];

	me->ready = true;
	side_end(pair, me);
	side_say(me, LEND_HELLO_NONE);
	memcpy(peer->spad, me->writes, sizeof(peer->spad));
	me->epoch = ++pair->epochs;
	me->at = 0;
}

/* The peer's heartbeat has stopped for a while. */
static void side_lose(struct pair *pair, unsigned int which)
{
	if (!pair->side[which].ready)
		return;
	side_end(pair, &pair->side[which]);
	pair->side[which].at = 0;
}

static bool pair_is_ready(const struct pair *pair)
{
	return pair->side[0].ready && pair->side[1].ready &&
	       pair->side[0].peer_epoch == pair->side[1].epoch &&
	       pair->side[1].peer_epoch == pair->side[0].epoch;
}

static void any_two_sides_get_ready(struct kunit *test)
{
	unsigned int run, i, ready = 0, early = 0;
	struct rnd_state rnd;
	struct pair *pair;

	pair = kunit_kzalloc(test, sizeof(*pair), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pair);
	prandom_seed_state(&rnd, 7);
	for (run = 0; run < RUNS; run++) {
		*pair = (struct pair){ .epochs = 2, .side = { { .epoch = 1 }, { .epoch = 2 } } };
		for (i = 0; i < ROUGH; i++) {
			if (prandom_u32_state(&rnd) % 100 == 0)
				side_reload(pair, prandom_u32_state(&rnd) % 2);
			if (prandom_u32_state(&rnd) % 100 == 0)
				side_lose(pair, prandom_u32_state(&rnd) % 2);
			side_step(pair, prandom_u32_state(&rnd) % 2);
		}
		for (i = 0; i < QUIET; i++)
			side_step(pair, prandom_u32_state(&rnd) % 2);
		ready += pair_is_ready(pair);
		early += pair->early;
	}
	KUNIT_EXPECT_EQ(test, ready, RUNS);
	KUNIT_EXPECT_EQ(test, early, 0);
}

static void hello_make(u32 *spad, enum lend_hello hello, u64 epoch, u64 echo)
{
	lend_hello_pack(&(struct lend_hello_said){ .hello = hello, .epoch = epoch, .echo = echo },
			spad);
}

static enum lend_hello_step hello_next(u64 epoch, u64 peer_epoch, const u32 *spad)
{
	struct lend_hello_said said;

	return lend_hello_next(epoch, peer_epoch, spad, spad, &said);
}

static void nothing_follows_from_half_of_it(struct kunit *test)
{
	u32 first[LEND_SPAD_COUNT], becomes[LEND_SPAD_COUNT];
	struct lend_hello_said said;
	int i;

	hello_make(first, LEND_HELLO_HERE, 0x100000002, 0);
	hello_make(becomes, LEND_HELLO_READY, 0x300000004, 0x500000006);
	for (i = 0; i < LEND_SPAD_COUNT; i++) {
		first[i] = becomes[i];
		if (!memcmp(first, becomes, sizeof(first)))
			break;
		KUNIT_EXPECT_EQ(test, lend_hello_next(9, 0x100000002, first, becomes, &said),
				LEND_STEP_WAIT);
	}
	KUNIT_EXPECT_EQ(test, i, LEND_SPAD_COUNT - 1);
}

static void steps_follow_from_what_is_said(struct kunit *test)
{
	u32 spad[LEND_SPAD_COUNT] = {};

	KUNIT_EXPECT_EQ(test, hello_next(1, 0, spad), LEND_STEP_CALL);
	KUNIT_EXPECT_EQ(test, hello_next(1, 2, spad), LEND_STEP_GONE);
	/* A dead bridge reads as all ones. */
	memset(spad, 0xff, sizeof(spad));
	KUNIT_EXPECT_EQ(test, hello_next(1, 0, spad), LEND_STEP_CALL);
	KUNIT_EXPECT_EQ(test, hello_next(1, 2, spad), LEND_STEP_GONE);
	/* 0 stands for no epoch: who says it could be met again and again. */
	hello_make(spad, LEND_HELLO_READY, 0, 1);
	KUNIT_EXPECT_EQ(test, hello_next(1, 0, spad), LEND_STEP_CALL);
	hello_make(spad, LEND_HELLO_NONE, 2, 1);
	KUNIT_EXPECT_EQ(test, hello_next(1, 0, spad), LEND_STEP_CALL);
	KUNIT_EXPECT_EQ(test, hello_next(1, 2, spad), LEND_STEP_GONE);
	hello_make(spad, LEND_HELLO_HERE, 2, 0);
	KUNIT_EXPECT_EQ(test, hello_next(1, 0, spad), LEND_STEP_MEET);
	KUNIT_EXPECT_EQ(test, hello_next(1, 2, spad), LEND_STEP_ECHO);
	KUNIT_EXPECT_EQ(test, hello_next(1, 3, spad), LEND_STEP_RENEWED);
	hello_make(spad, LEND_HELLO_READY, 2, 3);
	KUNIT_EXPECT_EQ(test, hello_next(1, 2, spad), LEND_STEP_ECHO);
	/* A session of its with an older one of ours is not over. */
	KUNIT_EXPECT_EQ(test, hello_next(1, 0, spad), LEND_STEP_CALL);
	hello_make(spad, LEND_HELLO_READY, 2, 1);
	KUNIT_EXPECT_EQ(test, hello_next(1, 0, spad), LEND_STEP_MEET);
	KUNIT_EXPECT_EQ(test, hello_next(1, 2, spad), LEND_STEP_AGREE);
	spad[LEND_SPAD_STATE] += 1 << 8;
	KUNIT_EXPECT_EQ(test, hello_next(1, 0, spad), LEND_STEP_INCOMPATIBLE);
	KUNIT_EXPECT_EQ(test, hello_next(1, 2, spad), LEND_STEP_CHANGED);
}

static void what_is_packed_is_unpacked(struct kunit *test)
{
	const struct lend_hello_said said = {
		.protocol = LEND_PROTOCOL,
		.hello = LEND_HELLO_READY,
		.epoch = 0x8123456789abcdef,
		.echo = 0xfedcba9876543218,
		.chan = 0xf2345678fedcba,
		.window = 0xff,
	};
	struct lend_hello_said back;
	u32 spad[LEND_SPAD_COUNT];

	lend_hello_pack(&said, spad);
	lend_hello_unpack(spad, &back);
	KUNIT_EXPECT_EQ(test, back.protocol, said.protocol);
	KUNIT_EXPECT_EQ(test, back.hello, said.hello);
	KUNIT_EXPECT_EQ(test, back.epoch, said.epoch);
	KUNIT_EXPECT_EQ(test, back.echo, said.echo);
	KUNIT_EXPECT_EQ(test, back.chan, said.chan);
	KUNIT_EXPECT_EQ(test, back.window, said.window);
}

static struct kunit_case lend_hello_cases[] = {
	KUNIT_CASE(any_two_sides_get_ready),
	KUNIT_CASE(nothing_follows_from_half_of_it),
	KUNIT_CASE(steps_follow_from_what_is_said),
	KUNIT_CASE(what_is_packed_is_unpacked),
	{ }
};

static struct kunit_suite lend_hello_suite = {
	.name = "ntb_lend_hello",
	.test_cases = lend_hello_cases,
};

kunit_test_suite(lend_hello_suite);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("KUnit tests of ntb_lend's handshake");
