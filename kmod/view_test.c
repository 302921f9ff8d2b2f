// SPDX-License-Identifier: GPL-2.0-only
/* KUnit tests of views. */

#include <kunit/test.h>
#include <linux/limits.h>
#include <linux/sizes.h>

#include "view.h"

#define LOW	0xc0000000ULL	/* bus address of the window of 64 MiB */
#define HIGH	0x4000000000ULL	/* bus address of the DMA window */

static const struct lend_region dma = { .first = 0, .size = SZ_256M };
static const struct lend_region more = { .first = SZ_512M, .size = SZ_64M };

static struct lend_views one_view(struct kunit *test)
{
	struct lend_views views = { };

	KUNIT_ASSERT_EQ(test, lend_views_add(&views, 0, &dma, HIGH, SZ_256M), 0);
	return views;
}

static struct lend_views two_views(struct kunit *test)
{
	struct lend_views views = one_view(test);

	KUNIT_ASSERT_EQ(test, lend_views_add(&views, 3, &more, LOW, SZ_64M), 0);
	return views;
}

static void view_test_translation(struct kunit *test)
{
	const struct lend_views one = one_view(test), two = two_views(test);
	const struct { u64 ours, device; } pairs[] = {
		{ 0, HIGH },
		{ SZ_256M - 1, HIGH + SZ_256M - 1 },
		{ SZ_512M, LOW },
		{ SZ_512M + SZ_64M - 1, LOW + SZ_64M - 1 },
	};
	int i;

	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_EQ(test, lend_views_to_device(&one, pairs[i].ours), pairs[i].device);
		KUNIT_EXPECT_EQ(test, lend_views_to_ours(&one, pairs[i].device), pairs[i].ours);
	}
	for (i = 0; i < ARRAY_SIZE(pairs); i++) {
		KUNIT_EXPECT_EQ(test, lend_views_to_device(&two, pairs[i].ours), pairs[i].device);
		KUNIT_EXPECT_EQ(test, lend_views_to_ours(&two, pairs[i].device), pairs[i].ours);
	}
}

static void view_test_shown_by_one(struct kunit *test)
{
	const struct lend_views views = two_views(test);

	KUNIT_EXPECT_TRUE(test, lend_views_show(&views, U64_MAX, 0, SZ_256M));
	KUNIT_EXPECT_TRUE(test, lend_views_show(&views, U64_MAX, SZ_512M, SZ_64M));
	KUNIT_EXPECT_TRUE(test, lend_views_show(&views, U64_MAX, SZ_512M + SZ_64M - 1, 1));
	KUNIT_EXPECT_FALSE(test, lend_views_show(&views, U64_MAX, SZ_512M + SZ_64M - 1, 2));
	KUNIT_EXPECT_FALSE(test, lend_views_show(&views, U64_MAX, SZ_512M - 1, 2));
	KUNIT_EXPECT_FALSE(test, lend_views_show(&views, U64_MAX, SZ_256M, 1));
	KUNIT_EXPECT_FALSE(test, lend_views_show(&views, U64_MAX, 0, SZ_256M + 1));
	KUNIT_EXPECT_FALSE(test, lend_views_show(&views, U64_MAX, U64_MAX, 2));
	KUNIT_EXPECT_FALSE(test, lend_views_show(&views, U64_MAX, 0, U64_MAX));
}

/* What follows here need not follow there, so no block lies in two views. */
static void view_test_neighbours(struct kunit *test)
{
	const struct lend_region next = { .first = SZ_256M, .size = SZ_64M };
	struct lend_views views = one_view(test);

	KUNIT_ASSERT_EQ(test, lend_views_add(&views, 1, &next, LOW, SZ_64M), 0);
	KUNIT_EXPECT_TRUE(test, lend_views_show(&views, U64_MAX, SZ_256M - SZ_4K, SZ_4K));
	KUNIT_EXPECT_TRUE(test, lend_views_show(&views, U64_MAX, SZ_256M, SZ_4K));
	KUNIT_EXPECT_FALSE(test, lend_views_show(&views, U64_MAX, SZ_256M - SZ_4K, SZ_8K));
}

static void view_test_mask(struct kunit *test)
{
	const struct lend_views views = two_views(test);
	u64 all = HIGH + SZ_256M - 1;

	KUNIT_EXPECT_EQ(test, lend_views_last(&views), all);
	KUNIT_EXPECT_EQ(test, lend_views_reached(&views, U64_MAX), 0b1001);
	KUNIT_EXPECT_EQ(test, lend_views_reached(&views, all), 0b1001);
	KUNIT_EXPECT_EQ(test, lend_views_reached(&views, all - 1), 0b1000);
	KUNIT_EXPECT_EQ(test, lend_views_reached(&views, U32_MAX), 0b1000);
	KUNIT_EXPECT_EQ(test, lend_views_reached(&views, LOW + SZ_64M - 2), 0);
	KUNIT_EXPECT_FALSE(test, lend_views_show(&views, U32_MAX, 0, SZ_4K));
	KUNIT_EXPECT_TRUE(test, lend_views_show(&views, U32_MAX, SZ_512M, SZ_4K));
	KUNIT_EXPECT_TRUE(test, lend_views_show(&views, LOW + SZ_4K - 1, SZ_512M, SZ_4K));
	KUNIT_EXPECT_FALSE(test, lend_views_show(&views, LOW + SZ_4K - 2, SZ_512M, SZ_4K));
}

/* Neither end reaches beyond the smaller of both windows. */
static void view_test_smaller_end(struct kunit *test)
{
	struct lend_views views = { };

	KUNIT_ASSERT_EQ(test, lend_views_add(&views, 0, &dma, HIGH, SZ_128M + 5), 0);
	KUNIT_EXPECT_EQ(test, views.view[0].size, SZ_128M);
	KUNIT_EXPECT_EQ(test, views.whole, 0);
	KUNIT_ASSERT_EQ(test, lend_views_add(&views, 2, &more, LOW, SZ_1G), 0);
	KUNIT_EXPECT_EQ(test, views.view[1].size, SZ_64M);
	KUNIT_EXPECT_EQ(test, views.whole, 0b100);
	KUNIT_EXPECT_EQ(test, views.count, 2);
}

/* Whatever the owner says, it is refused or nothing overlaps or wraps around. */
static void view_test_lies(struct kunit *test)
{
	struct lend_views views = one_view(test);

	KUNIT_EXPECT_EQ(test, lend_views_add(&views, 1, &more, LOW, 0), -EPROTO);
	KUNIT_EXPECT_EQ(test, lend_views_add(&views, 1, &more, LOW, SZ_4K - 1), -EPROTO);
	KUNIT_EXPECT_EQ(test, lend_views_add(&views, 1, &more, LOW + 1, SZ_64M), -EPROTO);
	KUNIT_EXPECT_EQ(test, lend_views_add(&views, 1, &more, LOW, U64_MAX), -EPROTO);
	KUNIT_EXPECT_EQ(test, lend_views_add(&views, 1, &more, -(u64)SZ_4K, SZ_4K), -EPROTO);
	KUNIT_EXPECT_EQ(test, lend_views_add(&views, LEND_WINDOWS_MAX, &more, LOW, SZ_64M),
			-EPROTO);
	/* Over, at both ends of, around and inside of another view. */
	KUNIT_EXPECT_EQ(test, lend_views_add(&views, 1, &more, HIGH, SZ_64M), -EPROTO);
	KUNIT_EXPECT_EQ(test, lend_views_add(&views, 1, &more, HIGH - SZ_4K, SZ_64M), -EPROTO);
	KUNIT_EXPECT_EQ(test, lend_views_add(&views, 1, &more, HIGH + SZ_256M - SZ_4K, SZ_64M),
			-EPROTO);
	KUNIT_EXPECT_EQ(test, lend_views_add(&views, 1, &dma, LOW, SZ_64M), -EPROTO);
	KUNIT_EXPECT_EQ(test, views.count, 1);
	KUNIT_EXPECT_EQ(test, views.whole, 1);
	KUNIT_EXPECT_EQ(test, lend_views_add(&views, 1, &more, HIGH + SZ_256M, SZ_64M), 0);
}

static void view_test_no_more_than_windows(struct kunit *test)
{
	struct lend_views views = { };
	struct lend_region region = { .size = SZ_64M };
	unsigned int i;

	for (i = 0; i < LEND_WINDOWS_MAX; i++) {
		region.first = (u64)i * SZ_64M;
		KUNIT_EXPECT_EQ(test, lend_views_add(&views, i, &region, HIGH + 2 * region.first,
						     SZ_64M), 0);
	}
	region.first += SZ_64M;
	KUNIT_EXPECT_EQ(test, lend_views_add(&views, 0, &region, 0, SZ_64M), -EPROTO);
	KUNIT_EXPECT_EQ(test, views.count, LEND_WINDOWS_MAX);
}

static struct kunit_case view_cases[] = {
	KUNIT_CASE(view_test_translation),
	KUNIT_CASE(view_test_shown_by_one),
	KUNIT_CASE(view_test_neighbours),
	KUNIT_CASE(view_test_mask),
	KUNIT_CASE(view_test_smaller_end),
	KUNIT_CASE(view_test_lies),
	KUNIT_CASE(view_test_no_more_than_windows),
	{ }
};

static struct kunit_suite view_suite = {
	.name = "ntb_lend-view",
	.test_cases = view_cases,
};

kunit_test_suite(view_suite);
