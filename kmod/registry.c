// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registry: links, lent and borrowed devices by their numbers. Used by link.c,
 * owner.c and borrower.c, and by netlink.c for dumps and events; calls none of
 * them but through the functions of a registry.
 *
 * Locks: xa_lock of the registry, held for a few instructions. What is done with
 * an object is done under a reference and none of these locks.
 */

#include "registry.h"

/**
 * lend_registry_alloc() - give a new object its number
 * @registry: the registry
 * @object: the object, which has one reference then
 * @max: greatest number
 *
 * Nobody finds it before lend_registry_add().
 *
 * Context: process.
 * Return: 0; -EBUSY no number is left; -ENOMEM.
 */
int lend_registry_alloc(struct lend_registry *registry, struct lend_object *object, u32 max)
{
	kref_init(&object->ref);
	return xa_alloc(&registry->objects, &object->id, NULL, XA_LIMIT(0, max), GFP_KERNEL);
}

/**
 * lend_registry_free() - give the number of an object back
 * @registry: the registry
 * @object: the object, without references
 *
 * Context: process.
 */
void lend_registry_free(struct lend_registry *registry, struct lend_object *object)
{
	xa_erase(&registry->objects, object->id);
}

/**
 * lend_registry_add() - let an object be found
 * @registry: the registry
 * @object: the object; its first reference is the registry's from now on
 *
 * Context: process.
 */
void lend_registry_add(struct lend_registry *registry, struct lend_object *object)
{
	/* Its place is there since it has a number: this cannot fail. */
	xa_store(&registry->objects, object->id, object, GFP_KERNEL);
}

/**
 * lend_registry_remove() - let an object be found no longer
 * @registry: the registry
 * @object: the object; the caller gets the registry's reference
 *
 * Context: process.
 */
void lend_registry_remove(struct lend_registry *registry, struct lend_object *object)
{
	xa_store(&registry->objects, object->id, XA_ZERO_ENTRY, GFP_KERNEL);
}

/* Process context. The first object from @id on, with a reference, or NULL. */
static struct lend_object *lend_registry_find(struct lend_registry *registry, unsigned long id,
					      unsigned long last)
{
	struct lend_object *object;

	xa_lock(&registry->objects);
	object = xa_find(&registry->objects, &id, last, XA_PRESENT);
	if (object)
		kref_get(&object->ref);
	xa_unlock(&registry->objects);
	return object;
}

/**
 * lend_registry_get() - find an object
 * @registry: the registry
 * @id: its number
 *
 * Context: process.
 * Return: it with a reference, or NULL.
 */
struct lend_object *lend_registry_get(struct lend_registry *registry, u32 id)
{
	return lend_registry_find(registry, id, id);
}

/**
 * lend_registry_put() - drop a reference
 * @registry: the registry
 * @object: the object
 *
 * Context: process.
 */
void lend_registry_put(struct lend_registry *registry, struct lend_object *object)
{
	/* All releases have one type, which is not that of kref_put(). */
	if (refcount_dec_and_test(&object->ref.refcount))
		registry->release(object);
}

/**
 * lend_registry_for_each() - look at the objects in the order of their numbers
 * @registry: the registry
 * @start: first number
 * @fn: called for each with @arg and a reference held, until it returns non-zero;
 *	may sleep
 * @arg: for @fn
 *
 * Objects that come or go meanwhile are seen or not; all others are seen once.
 *
 * Context: process.
 * Return: what the last @fn returned.
 */
int lend_registry_for_each(struct lend_registry *registry, u32 start,
			   int (*fn)(struct lend_object *object, void *arg), void *arg)
{
	struct lend_object *object;
	unsigned long id = start;
	int ret = 0;

	while (!ret && (object = lend_registry_find(registry, id, U32_MAX))) {
		id = (unsigned long)object->id + 1;
		ret = fn(object, arg);
		lend_registry_put(registry, object);
	}
	return ret;
}

/**
 * lend_registry_changed() - tell listeners that an object has changed
 * @registry: the registry
 * @object: the object
 *
 * Context: process; may sleep.
 */
void lend_registry_changed(struct lend_registry *registry, struct lend_object *object)
{
	void (*changed)(struct lend_object *object) = READ_ONCE(registry->changed);

	if (changed)
		changed(object);
}
