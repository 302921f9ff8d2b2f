// SPDX-License-Identifier: GPL-2.0-only
/* KUnit tests of what a lent device reaches. */

#include <kunit/test.h>
#include <linux/sizes.h>

#include "reach.h"

static int reach_ask(const struct lend_reach *reach, u64 first, u64 size)
{
	const struct lend_region part = { .first = first, .size = size };

	return lend_reach_check(reach, SZ_256M, &part);
}

static void reach_test_window(struct kunit *test)
{
	const struct lend_reach nothing = { .narrow = true };

	KUNIT_EXPECT_EQ(test, reach_ask(&nothing, 0, SZ_256M), 0);
	KUNIT_EXPECT_EQ(test, reach_ask(&nothing, SZ_256M - SZ_4K, SZ_4K), 0);
	KUNIT_EXPECT_EQ(test, reach_ask(&nothing, SZ_4K, SZ_256M), -EINVAL);
	KUNIT_EXPECT_EQ(test, reach_ask(&nothing, SZ_256M, SZ_4K), -EINVAL);
	KUNIT_EXPECT_EQ(test, reach_ask(&nothing, 0, SZ_256M + SZ_4K), -EINVAL);
	KUNIT_EXPECT_EQ(test, reach_ask(&nothing, SZ_4K, 0), -EINVAL);
	/* As large as a request can say, and beyond the end of all addresses. */
	KUNIT_EXPECT_EQ(test, reach_ask(&nothing, 0xffffffffULL << 12, 0xfffffffeULL << 12),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, reach_ask(&nothing, U64_MAX - SZ_4K + 1, SZ_8K), -EINVAL);
}

/* What reaches everything is limited before something is added. */
static void reach_test_all(struct kunit *test)
{
	const struct lend_reach all = {};

	KUNIT_EXPECT_EQ(test, reach_ask(&all, 0, SZ_4K), -EINVAL);
}

static void reach_test_parts(struct kunit *test)
{
	struct lend_reach reach = {
		.narrow = true, .count = 1, .part = { { .first = SZ_64M, .size = SZ_1M } },
	};

	KUNIT_EXPECT_EQ(test, reach_ask(&reach, SZ_64M, SZ_1M), -EINVAL);
	KUNIT_EXPECT_EQ(test, reach_ask(&reach, SZ_64M + SZ_4K, SZ_4K), -EINVAL);
	KUNIT_EXPECT_EQ(test, reach_ask(&reach, SZ_64M - SZ_4K, SZ_8K), -EINVAL);
	KUNIT_EXPECT_EQ(test, reach_ask(&reach, SZ_64M + SZ_1M - SZ_4K, SZ_8K), -EINVAL);
	KUNIT_EXPECT_EQ(test, reach_ask(&reach, 0, SZ_256M), -EINVAL);
	/* Beside it. */
	KUNIT_EXPECT_EQ(test, reach_ask(&reach, SZ_64M - SZ_4K, SZ_4K), 0);
	KUNIT_EXPECT_EQ(test, reach_ask(&reach, SZ_64M + SZ_1M, SZ_4K), 0);

	reach.part[reach.count++] = (struct lend_region) { .first = 0, .size = SZ_4K };
	KUNIT_EXPECT_EQ(test, reach_ask(&reach, 0, SZ_4K), -EINVAL);
	KUNIT_EXPECT_EQ(test, reach_ask(&reach, SZ_128M, SZ_4K), -ENOSPC);
}

static struct kunit_case reach_cases[] = {
	KUNIT_CASE(reach_test_window),
	KUNIT_CASE(reach_test_all),
	KUNIT_CASE(reach_test_parts),
	{ }
};

static struct kunit_suite reach_suite = {
	.name = "ntb_lend-reach",
	.test_cases = reach_cases,
};

kunit_test_suite(reach_suite);
