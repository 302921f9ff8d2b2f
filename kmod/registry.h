/* SPDX-License-Identifier: GPL-2.0-only */
/* Registry: finds links, lent and borrowed devices by their numbers. */
#ifndef LEND_REGISTRY_H
#define LEND_REGISTRY_H

#include <linux/kref.h>
#include <linux/types.h>
#include <linux/xarray.h>

/**
 * struct lend_object - what every registered structure has
 * @ref: the registry's and everybody's who looks at it
 * @id: number on this host, kept until the last reference is gone
 */
struct lend_object {
	struct kref ref;
	u32 id;
};

/**
 * struct lend_registry - objects of one kind
 * @objects: by number
 * @release: frees one, and gives its number back by lend_registry_free()
 * @changed: tells listeners of a change; NULL without any
 */
struct lend_registry {
	struct xarray objects;
	void (*release)(struct lend_object *object);
	void (*changed)(struct lend_object *object);
};

#define LEND_REGISTRY(name, release_fn) {				\
	.objects = XARRAY_INIT(name.objects, XA_FLAGS_ALLOC),		\
	.release = release_fn,						\
}

int lend_registry_alloc(struct lend_registry *registry, struct lend_object *object, u32 max);
void lend_registry_free(struct lend_registry *registry, struct lend_object *object);
void lend_registry_add(struct lend_registry *registry, struct lend_object *object);
void lend_registry_remove(struct lend_registry *registry, struct lend_object *object);
void lend_registry_put(struct lend_registry *registry, struct lend_object *object);
struct lend_object *lend_registry_get(struct lend_registry *registry, u32 id);
int lend_registry_for_each(struct lend_registry *registry, u32 start,
			   int (*fn)(struct lend_object *object, void *arg), void *arg);
void lend_registry_changed(struct lend_registry *registry, struct lend_object *object);

#endif
