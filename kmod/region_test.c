// SPDX-License-Identifier: GPL-2.0-only
/* KUnit tests of regions. */

#include <kunit/test.h>
#include <linux/bits.h>
#include <linux/limits.h>
#include <linux/sizes.h>

#include "region.h"

#define MASK	(BIT_ULL(40) - 1)	/* of a bridge */

/* Memory at 0 to 3 GiB, and from 4 GiB to 6 GiB. */
static u64 memory_with_hole(u64 from)
{
	if (from < 3ULL * SZ_1G)
		return from;
	if (from < 6ULL * SZ_1G)
		return max(from, 4ULL * SZ_1G);
	return U64_MAX;
}

static u64 memory_640(u64 from)
{
	return from < 640ULL * SZ_1M ? from : U64_MAX;
}

static bool choose(struct lend_region *region, u64 from, u64 align, u64 size, u64 mask)
{
	return lend_region_choose(region, from, align, size, mask, memory_with_hole);
}

static void region_test_next_memory(struct kunit *test)
{
	struct lend_region r;

	KUNIT_ASSERT_TRUE(test, choose(&r, SZ_1G, SZ_4K, SZ_1G, MASK));
	KUNIT_EXPECT_EQ(test, r.first, SZ_1G);
	KUNIT_EXPECT_EQ(test, r.size, SZ_1G);
	/* Over the hole. */
	KUNIT_ASSERT_TRUE(test, choose(&r, 3ULL * SZ_1G, SZ_4K, SZ_256M, MASK));
	KUNIT_EXPECT_EQ(test, r.first, 4ULL * SZ_1G);
	/* From the hole on, because the memory above it is in the same place. */
	KUNIT_ASSERT_TRUE(test, choose(&r, SZ_2G, SZ_4K, 4ULL * SZ_1G, MASK));
	KUNIT_EXPECT_EQ(test, r.first, 4ULL * SZ_1G);
}

/* Never below what is shown, though memory be left out. */
static void region_test_alignment(struct kunit *test)
{
	struct lend_region r;

	KUNIT_ASSERT_TRUE(test, choose(&r, SZ_256M - SZ_64K, SZ_4K, SZ_64M, MASK));
	KUNIT_EXPECT_EQ(test, r.first, SZ_256M);
	/* To the size of the BAR that it is a part of. */
	KUNIT_ASSERT_TRUE(test, choose(&r, SZ_64M, SZ_4K, SZ_256M - SZ_64K, MASK));
	KUNIT_EXPECT_EQ(test, r.first, SZ_256M);
	KUNIT_EXPECT_EQ(test, r.size, SZ_256M - SZ_64K);
	/* What the bridge demands may be more. */
	KUNIT_ASSERT_TRUE(test, choose(&r, SZ_64M, SZ_1G, SZ_64M, MASK));
	KUNIT_EXPECT_EQ(test, r.first, SZ_1G);
	KUNIT_EXPECT_FALSE(test, choose(&r, SZ_64M, 3 * SZ_1M, SZ_64M, MASK));
}

static void region_test_none(struct kunit *test)
{
	struct lend_region r;

	KUNIT_EXPECT_FALSE(test, choose(&r, 6ULL * SZ_1G, SZ_4K, SZ_64M, MASK));
	KUNIT_EXPECT_FALSE(test, choose(&r, SZ_1G, SZ_4K, 0, MASK));
	KUNIT_EXPECT_FALSE(test, choose(&r, SZ_1G, 0, SZ_64M, MASK));
	KUNIT_EXPECT_FALSE(test, choose(&r, SZ_1G, SZ_4K, U64_MAX, MASK));
	KUNIT_EXPECT_FALSE(test, choose(&r, SZ_1G, U64_MAX, SZ_64M, MASK));
	KUNIT_EXPECT_FALSE(test, choose(&r, U64_MAX - 1, SZ_4K, SZ_64M, MASK));
	/* The last place in memory is shown already. */
	KUNIT_EXPECT_FALSE(test, choose(&r, 5ULL * SZ_1G, SZ_4K, 2ULL * SZ_1G, MASK));
}

static void region_test_mask(struct kunit *test)
{
	struct lend_region r;

	KUNIT_EXPECT_TRUE(test, choose(&r, SZ_2G, SZ_4K, SZ_2G, U32_MAX));
	KUNIT_EXPECT_FALSE(test, choose(&r, SZ_2G, SZ_4K, SZ_2G, U32_MAX - 1));
	KUNIT_EXPECT_FALSE(test, choose(&r, 3ULL * SZ_1G, SZ_4K, SZ_2M, U32_MAX));
}

/* The largest first, as the windows of the lab's bridge with four are. */
static void region_test_one_after_the_other(struct kunit *test)
{
	struct lend_region r = { .first = 0, .size = SZ_256M - SZ_64K };
	const u64 sizes[] = { SZ_128M, SZ_64M, SZ_64M, SZ_64M };
	const u64 expected[] = { SZ_256M, 384ULL * SZ_1M, 448ULL * SZ_1M, 512ULL * SZ_1M };
	int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		KUNIT_ASSERT_TRUE(test, lend_region_choose(&r, r.first + r.size, SZ_4K, sizes[i],
							   U64_MAX, memory_640));
		KUNIT_EXPECT_EQ(test, r.first, expected[i]);
	}
	KUNIT_EXPECT_TRUE(test, lend_region_choose(&r, r.first + r.size, SZ_4K, SZ_64M, U64_MAX,
						   memory_640));
	KUNIT_EXPECT_FALSE(test, lend_region_choose(&r, r.first + r.size, SZ_4K, SZ_64M, U64_MAX,
						    memory_640));
}

static void region_test_of(struct kunit *test)
{
	const struct lend_region regions[LEND_WINDOWS_MAX] = {
		[1] = { .first = 0, .size = SZ_1G },
		[2] = { .first = SZ_1G, .size = SZ_64M },
	};

	KUNIT_EXPECT_EQ(test, lend_region_of(regions, 0xf, 0, SZ_1G), 1);
	KUNIT_EXPECT_EQ(test, lend_region_of(regions, 0xf, SZ_1G, SZ_64M), 2);
	KUNIT_EXPECT_EQ(test, lend_region_of(regions, 0xf, SZ_1G - SZ_4K, SZ_4K), 1);
	/* Not across a border, although both sides of it are shown. */
	KUNIT_EXPECT_EQ(test, lend_region_of(regions, 0xf, SZ_1G - SZ_4K, SZ_8K), -1);
	KUNIT_EXPECT_EQ(test, lend_region_of(regions, 0xf, SZ_1G + SZ_64M - 1, 2), -1);
	KUNIT_EXPECT_EQ(test, lend_region_of(regions, 0xf, 0, U64_MAX), -1);
	KUNIT_EXPECT_EQ(test, lend_region_of(regions, 0xf, U64_MAX, 2), -1);
	/* Only those that are asked for. */
	KUNIT_EXPECT_EQ(test, lend_region_of(regions, BIT(2), 0, SZ_4K), -1);
	KUNIT_EXPECT_EQ(test, lend_region_of(regions, BIT(2), SZ_1G, SZ_4K), 2);
	KUNIT_EXPECT_EQ(test, lend_region_of(regions, 0, SZ_1G, SZ_4K), -1);
}

static struct kunit_case region_cases[] = {
	KUNIT_CASE(region_test_next_memory),
	KUNIT_CASE(region_test_alignment),
	KUNIT_CASE(region_test_none),
	KUNIT_CASE(region_test_mask),
	KUNIT_CASE(region_test_one_after_the_other),
	KUNIT_CASE(region_test_of),
	{ }
};

static struct kunit_suite region_suite = {
	.name = "ntb_lend-region",
	.test_cases = region_cases,
};

kunit_test_suite(region_suite);
