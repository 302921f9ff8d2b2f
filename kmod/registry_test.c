// SPDX-License-Identifier: GPL-2.0-only
/* KUnit tests of registry.c: numbers, references, and who is seen. */

#include <kunit/test.h>
#include <linux/string.h>

#include "registry.h"

struct thing {
	struct lend_object object;
	bool released;
};

static void thing_release(struct lend_object *object);
static struct lend_registry things = LEND_REGISTRY(things, thing_release);

static void thing_release(struct lend_object *object)
{
	container_of(object, struct thing, object)->released = true;
	lend_registry_free(&things, object);
}

/* What lend_registry_for_each() has shown. */
struct seen {
	u32 ids[8];
	unsigned int count;
	unsigned int most;
	struct thing *remove;
};

static int look(struct lend_object *object, void *arg)
{
	struct seen *seen = arg;

	if (seen->count == seen->most)
		return 1;
	seen->ids[seen->count++] = object->id;
	if (seen->remove && &seen->remove->object == object) {
		lend_registry_remove(&things, object);
		lend_registry_put(&things, object);
	}
	return 0;
}

static void add(struct kunit *test, struct thing *thing)
{
	memset(thing, 0, sizeof(*thing));
	KUNIT_ASSERT_EQ(test, lend_registry_alloc(&things, &thing->object, 3), 0);
	lend_registry_add(&things, &thing->object);
}

static void drop(struct thing *thing)
{
	lend_registry_remove(&things, &thing->object);
	lend_registry_put(&things, &thing->object);
}

static void expect_seen(struct kunit *test, u32 start, const u32 *ids, unsigned int count)
{
	struct seen seen = { .most = 8 };

	KUNIT_EXPECT_EQ(test, lend_registry_for_each(&things, start, look, &seen), 0);
	KUNIT_ASSERT_EQ(test, seen.count, count);
	KUNIT_EXPECT_EQ(test, memcmp(seen.ids, ids, count * sizeof(*ids)), 0);
}

/* A number that is used again must not put an object where a dump has been already. */
static void test_seen_in_the_order_of_numbers(struct kunit *test)
{
	struct seen seen = { .most = 2 };
	struct thing a, b, c, again;

	add(test, &a);
	add(test, &b);
	add(test, &c);
	drop(&a);
	add(test, &again);
	KUNIT_EXPECT_EQ(test, again.object.id, 0);
	expect_seen(test, 0, (u32[]) { 0, 1, 2 }, 3);
	/* A dump that was full after two goes on at the third. */
	KUNIT_EXPECT_EQ(test, lend_registry_for_each(&things, 0, look, &seen), 1);
	KUNIT_EXPECT_EQ(test, seen.count, 2);
	expect_seen(test, seen.ids[1] + 1, (u32[]) { 2 }, 1);
	drop(&again);
	drop(&b);
	drop(&c);
	expect_seen(test, 0, NULL, 0);
}

static void test_number_is_kept_until_the_last_reference(struct kunit *test)
{
	struct lend_object *held;
	struct thing a, b;

	add(test, &a);
	held = lend_registry_get(&things, a.object.id);
	KUNIT_ASSERT_PTR_EQ(test, held, &a.object);
	drop(&a);
	KUNIT_EXPECT_FALSE(test, a.released);
	KUNIT_EXPECT_NULL(test, lend_registry_get(&things, a.object.id));
	add(test, &b);
	KUNIT_EXPECT_NE(test, b.object.id, a.object.id);
	lend_registry_put(&things, held);
	KUNIT_EXPECT_TRUE(test, a.released);
	drop(&b);
	KUNIT_EXPECT_TRUE(test, b.released);
}

static void test_no_number_is_left(struct kunit *test)
{
	struct thing thing[4], more;
	int i;

	for (i = 0; i < ARRAY_SIZE(thing); i++)
		add(test, &thing[i]);
	KUNIT_EXPECT_EQ(test, lend_registry_alloc(&things, &more.object, 3), -EBUSY);
	for (i = 0; i < ARRAY_SIZE(thing); i++)
		drop(&thing[i]);
}

static void test_not_seen_before_it_is_added(struct kunit *test)
{
	struct thing a = {};

	KUNIT_ASSERT_EQ(test, lend_registry_alloc(&things, &a.object, 3), 0);
	KUNIT_EXPECT_NULL(test, lend_registry_get(&things, a.object.id));
	expect_seen(test, 0, NULL, 0);
	lend_registry_put(&things, &a.object);
	KUNIT_EXPECT_TRUE(test, a.released);
}

static void test_removed_while_looked_at(struct kunit *test)
{
	struct seen seen = { .most = 8 };
	struct thing a, b;

	add(test, &a);
	add(test, &b);
	seen.remove = &a;
	KUNIT_EXPECT_EQ(test, lend_registry_for_each(&things, 0, look, &seen), 0);
	KUNIT_EXPECT_EQ(test, seen.count, 2);
	KUNIT_EXPECT_TRUE(test, a.released);
	drop(&b);
}

static unsigned int changes;

static void count_changes(struct lend_object *object)
{
	changes++;
}

static void test_changes_are_told(struct kunit *test)
{
	struct thing a;

	changes = 0;
	add(test, &a);
	lend_registry_changed(&things, &a.object);
	things.changed = count_changes;
	lend_registry_changed(&things, &a.object);
	things.changed = NULL;
	KUNIT_EXPECT_EQ(test, changes, 1);
	drop(&a);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(test_seen_in_the_order_of_numbers),
	KUNIT_CASE(test_number_is_kept_until_the_last_reference),
	KUNIT_CASE(test_no_number_is_left),
	KUNIT_CASE(test_not_seen_before_it_is_added),
	KUNIT_CASE(test_removed_while_looked_at),
	KUNIT_CASE(test_changes_are_told),
	{}
};

static struct kunit_suite suite = {
	.name = "ntb_lend_registry",
	.test_cases = cases,
};

kunit_test_suite(suite);

MODULE_LICENSE("GPL");
