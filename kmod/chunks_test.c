// SPDX-License-Identifier: GPL-2.0-only
/* KUnit tests of the choice of chunks. */

#include <kunit/test.h>

#include "chunks.h"

#define MANY	64

static int chunks_init(struct kunit *test)
{
	struct lend_chunks *set = kunit_kzalloc(test, sizeof(*set), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, set);
	test->priv = set;
	return lend_chunks_init(set);
}

static void chunks_exit(struct kunit *test)
{
	struct lend_chunks *set = test->priv;
	struct lend_chunk *chunk;
	unsigned long index;

	xa_for_each(&set->chunks, index, chunk)
		lend_chunks_drop(set, chunk);
	lend_chunks_exit(set);
}

static phys_addr_t chunks_place(unsigned int number)
{
	return (phys_addr_t)(number + 16) * LEND_CHUNK_SIZE;
}

static struct lend_chunk *chunks_add(struct kunit *test, unsigned int number, unsigned int window)
{
	struct lend_chunk *chunk = kunit_kzalloc(test, sizeof(*chunk), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, chunk);
	lend_chunk_init(chunk, chunks_place(number), window);
	KUNIT_ASSERT_EQ(test, lend_chunks_add(test->priv, chunk), 0);
	return chunk;
}

/* What is taken lies together, from the first chunk on. */
static void chunks_test_packs(struct kunit *test)
{
	struct lend_chunks *set = test->priv;
	unsigned int i;

	for (i = 0; i < 3; i++)
		chunks_add(test, i, 0);
	for (i = 0; i < LEND_CHUNK_PAGES; i++)
		KUNIT_ASSERT_EQ(test, lend_chunks_take(set, BIT(0), 1, 1),
				chunks_place(0) + PFN_PHYS(i));
	KUNIT_EXPECT_EQ(test, lend_chunks_take(set, BIT(0), 1, 1), chunks_place(1));
	KUNIT_EXPECT_EQ(test, lend_chunks_count(set, BIT(0)), 3);
}

/* A CPU goes on where it is, although there is room before that. */
static void chunks_test_stays(struct kunit *test)
{
	struct lend_chunks *set = test->priv;
	struct lend_chunk *first = chunks_add(test, 0, 0), *second = chunks_add(test, 1, 0);

	lend_chunks_take(set, BIT(0), LEND_CHUNK_PAGES, 1);
	KUNIT_EXPECT_EQ(test, lend_chunks_take(set, BIT(0), 1, 1), chunks_place(1));
	KUNIT_EXPECT_EQ(test, second->cpu, (int)raw_smp_processor_id());
	KUNIT_EXPECT_EQ(test, first->cpu, LEND_CHUNK_NO_CPU);
	lend_chunks_give(set, first, 0, LEND_CHUNK_PAGES);
	KUNIT_EXPECT_EQ(test, lend_chunks_take(set, BIT(0), 1, 1), chunks_place(1) + PAGE_SIZE);
	/* And goes back when it has no room. */
	KUNIT_EXPECT_EQ(test, lend_chunks_take(set, BIT(0), LEND_CHUNK_PAGES, 1),
			chunks_place(0));
}

/* That of another CPU is the last that is asked. */
static void chunks_test_others(struct kunit *test)
{
	struct lend_chunks *set = test->priv;
	struct lend_chunk *first = chunks_add(test, 0, 0);

	chunks_add(test, 1, 0);
	first->cpu = 1000;
	KUNIT_EXPECT_EQ(test, lend_chunks_take(set, BIT(0), LEND_CHUNK_PAGES, 1),
			chunks_place(1));
	KUNIT_EXPECT_EQ(test, lend_chunks_take(set, BIT(0), 1, 1), chunks_place(0));
}

static void chunks_test_windows(struct kunit *test)
{
	struct lend_chunks *set = test->priv;
	struct lend_chunk *low = chunks_add(test, 0, 2);

	chunks_add(test, 1, 0);
	KUNIT_EXPECT_EQ(test, lend_chunks_take(set, BIT(0), 1, 1), chunks_place(1));
	KUNIT_EXPECT_EQ(test, lend_chunks_take(set, BIT(2), 1, 1), chunks_place(0));
	KUNIT_EXPECT_EQ(test, lend_chunks_take(set, BIT(1), 1, 1), LEND_CHUNKS_NONE);
	KUNIT_EXPECT_EQ(test, lend_chunks_count(set, BIT(0) | BIT(2)), 2);
	lend_chunks_drop(set, low);
	KUNIT_EXPECT_EQ(test, lend_chunks_take(set, BIT(2), 1, 1), LEND_CHUNKS_NONE);
	KUNIT_EXPECT_PTR_EQ(test, lend_chunks_find(set, chunks_place(0)), NULL);
}

/* However many chunks are full of holes, none is looked through a second time. */
static void chunks_test_fragmented(struct kunit *test)
{
	struct lend_chunks *set = test->priv;
	struct lend_chunk *chunk[MANY];
	unsigned int i, page;

	for (i = 0; i < MANY; i++) {
		chunk[i] = chunks_add(test, i, 0);
		for (page = 0; page < LEND_CHUNK_PAGES; page += 33)
			bitmap_set(chunk[i]->used, page, 1);
		chunk[i]->free -= DIV_ROUND_UP(LEND_CHUNK_PAGES, 33);
	}
	KUNIT_EXPECT_EQ(test, lend_chunks_take(set, BIT(0), 33, 1), LEND_CHUNKS_NONE);
	for (i = 0; i < MANY; i++)
		KUNIT_EXPECT_EQ(test, chunk[i]->room, 32);
	KUNIT_EXPECT_EQ(test, lend_chunks_take(set, BIT(0), 32, 1), chunks_place(0) + PAGE_SIZE);
	/* One page less in the way, and there is room. */
	lend_chunks_give(set, chunk[MANY - 1], 33, 1);
	KUNIT_EXPECT_EQ(test, chunk[MANY - 1]->room, 65);
	KUNIT_EXPECT_EQ(test, lend_chunks_take(set, BIT(0), 33, 1),
			chunks_place(MANY - 1) + PAGE_SIZE);
}

static struct kunit_case chunks_cases[] = {
	KUNIT_CASE(chunks_test_packs),
	KUNIT_CASE(chunks_test_stays),
	KUNIT_CASE(chunks_test_others),
	KUNIT_CASE(chunks_test_windows),
	KUNIT_CASE(chunks_test_fragmented),
	{}
};

static struct kunit_suite chunks_suite = {
	.name = "ntb_lend_chunks",
	.init = chunks_init,
	.exit = chunks_exit,
	.test_cases = chunks_cases,
};

kunit_test_suites(&chunks_suite);
