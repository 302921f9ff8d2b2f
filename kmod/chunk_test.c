// SPDX-License-Identifier: GPL-2.0-only
/* KUnit tests of chunks. */

#include <kunit/test.h>
#include <linux/prandom.h>

#include "chunk.h"

static struct lend_chunk *chunk_new(struct kunit *test)
{
	struct lend_chunk *chunk = kunit_kzalloc(test, sizeof(*chunk), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, chunk);
	lend_chunk_init(chunk, 64 * LEND_CHUNK_SIZE, 0);
	return chunk;
}

static void chunk_test_all_pages(struct kunit *test)
{
	struct lend_chunk *chunk = chunk_new(test);

	KUNIT_EXPECT_EQ(test, lend_chunk_take(chunk, LEND_CHUNK_PAGES + 1, 1), -ENOSPC);
	KUNIT_EXPECT_EQ(test, lend_chunk_take(chunk, LEND_CHUNK_PAGES, 1), 0);
	KUNIT_EXPECT_EQ(test, chunk->free, 0);
	KUNIT_EXPECT_EQ(test, lend_chunk_largest(chunk), 0);
	KUNIT_EXPECT_EQ(test, lend_chunk_take(chunk, 1, 1), -ENOSPC);
	lend_chunk_give(chunk, 0, LEND_CHUNK_PAGES);
	KUNIT_EXPECT_EQ(test, chunk->free, LEND_CHUNK_PAGES);
}

static void chunk_test_alignment(struct kunit *test)
{
	struct lend_chunk *chunk = chunk_new(test);

	KUNIT_EXPECT_EQ(test, lend_chunk_take(chunk, 1, 1), 0);
	KUNIT_EXPECT_EQ(test, lend_chunk_take(chunk, 3, 4), 4);
	KUNIT_EXPECT_EQ(test, lend_chunk_take(chunk, 3, 1), 1);
	KUNIT_EXPECT_EQ(test, lend_chunk_take(chunk, 64, 64), 64);
}

/* Free pages that do not follow each other are no block. */
static void chunk_test_fragmentation(struct kunit *test)
{
	struct lend_chunk *chunk = chunk_new(test);
	unsigned int i;

	for (i = 0; i < LEND_CHUNK_PAGES; i++)
		KUNIT_ASSERT_EQ(test, lend_chunk_take(chunk, 1, 1), i);
	for (i = 0; i < LEND_CHUNK_PAGES; i += 2)
		lend_chunk_give(chunk, i, 1);
	KUNIT_EXPECT_EQ(test, chunk->free, LEND_CHUNK_PAGES / 2);
	KUNIT_EXPECT_EQ(test, lend_chunk_largest(chunk), 1);
	KUNIT_EXPECT_EQ(test, lend_chunk_take(chunk, 2, 1), -ENOSPC);
	lend_chunk_give(chunk, 1, 1);
	KUNIT_EXPECT_EQ(test, lend_chunk_largest(chunk), 3);
	KUNIT_EXPECT_EQ(test, lend_chunk_take(chunk, 3, 1), 0);
}

/* A page that a process has still mapped is not ours to give out or to free. */
static void chunk_test_forgotten(struct kunit *test)
{
	struct lend_chunk *chunk = chunk_new(test);

	KUNIT_ASSERT_EQ(test, lend_chunk_take(chunk, 4, 4), 0);
	lend_chunk_forget(chunk, 1);
	lend_chunk_give(chunk, 0, 4);
	KUNIT_EXPECT_EQ(test, chunk->free, LEND_CHUNK_PAGES - 1);
	KUNIT_EXPECT_EQ(test, lend_chunk_take(chunk, 1, 1), 0);
	KUNIT_EXPECT_EQ(test, lend_chunk_take(chunk, 1, 1), 2);
	lend_chunk_give(chunk, 0, 1);
	lend_chunk_give(chunk, 2, 1);
	KUNIT_EXPECT_TRUE(test, lend_chunk_close(chunk));
}

static void chunk_test_close(struct kunit *test)
{
	struct lend_chunk *chunk = chunk_new(test);

	KUNIT_ASSERT_EQ(test, lend_chunk_take(chunk, 1, 1), 0);
	KUNIT_EXPECT_FALSE(test, lend_chunk_close(chunk));
	KUNIT_EXPECT_EQ(test, lend_chunk_take(chunk, 1, 1), 1);
	lend_chunk_give(chunk, 0, 2);
	KUNIT_EXPECT_TRUE(test, lend_chunk_close(chunk));
	KUNIT_EXPECT_EQ(test, lend_chunk_take(chunk, 1, 1), -ENOSPC);
}

/* Whatever is taken and given, nothing is given out twice and nothing is lost. */
static void chunk_test_property(struct kunit *test)
{
	struct lend_chunk *chunk = chunk_new(test);
	struct { int first; unsigned int pages; } held[32] = { };
	unsigned long *seen = bitmap_zalloc(LEND_CHUNK_PAGES, GFP_KERNEL);
	unsigned int i, round, expected = LEND_CHUNK_PAGES;
	struct rnd_state rnd;

	KUNIT_ASSERT_NOT_NULL(test, seen);
	prandom_seed_state(&rnd, 1);
	for (round = 0; round < 20000; round++) {
		i = prandom_u32_state(&rnd) % ARRAY_SIZE(held);
		if (held[i].pages) {
			bitmap_clear(seen, held[i].first, held[i].pages);
			lend_chunk_give(chunk, held[i].first, held[i].pages);
			expected += held[i].pages;
			held[i].pages = 0;
			continue;
		}
		held[i].pages = 1 + prandom_u32_state(&rnd) % 60;
		held[i].first = lend_chunk_take(chunk, held[i].pages,
						1 << prandom_u32_state(&rnd) % 6);
		if (held[i].first < 0) {
			held[i].pages = 0;
			continue;
		}
		if (find_next_bit(seen, held[i].first + held[i].pages, held[i].first) <
		    held[i].first + held[i].pages)
			KUNIT_FAIL(test, "page of %d given out twice", held[i].first);
		bitmap_set(seen, held[i].first, held[i].pages);
		expected -= held[i].pages;
	}
	KUNIT_EXPECT_EQ(test, chunk->free, expected);
	bitmap_free(seen);
}

static struct kunit_case chunk_cases[] = {
	KUNIT_CASE(chunk_test_all_pages),
	KUNIT_CASE(chunk_test_alignment),
	KUNIT_CASE(chunk_test_fragmentation),
	KUNIT_CASE(chunk_test_forgotten),
	KUNIT_CASE(chunk_test_close),
	KUNIT_CASE(chunk_test_property),
	{ }
};

static struct kunit_suite chunk_suite = {
	.name = "ntb_lend-chunk",
	.test_cases = chunk_cases,
};

kunit_test_suite(chunk_suite);
