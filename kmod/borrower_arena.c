// SPDX-License-Identifier: GPL-2.0-only
/*
 * Borrower side: the part of the DMA window in which user space maps its memory for a
 * device. The DMA layer has given it to nobody else, and does not know for what it is
 * used. A device keeps it while it is attached, so that one program after the other
 * finds it at the same place.
 *
 * Called by borrower_iommu.c. Locks: its own.
 */

#include <linux/dma-mapping.h>
#include <linux/iommu.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "borrowed.h"
#include "borrower_arena.h"
#include "link.h"
#include "view.h"
#include "window.h"

/*
 * An arena is half of what is left of the window, or as much less as has to be, but no
 * less than this.
 */
#define BORROWER_ARENA_MIN	SZ_1M

/* borrowed_device.arena, lend_windows.arena and arenas. */
static DEFINE_MUTEX(borrower_arena_lock);

/* Where the arena is, as it is before and after: nobody writes to a BAR through it. */
static phys_addr_t borrower_arena_phys(const struct lend_windows *w)
{
	return w->win[w->dma].base;
}

/* Process context, arena lock held. What is tried first. */
static size_t borrower_arena_most(const struct lend_windows *w)
{
	u64 half = rounddown_pow_of_two(w->win[w->dma].size - w->arenas) / 2;

	return w->arena ? min_t(u64, half, w->arena) : half;
}

/*
 * Process context, arena lock held. The DMA layer gives a range only for something to be
 * mapped there. What was too large where there was no other arena is not tried again:
 * DMA-API debugging of 6.12 takes each mapping that fails for one that stays, and
 * complains of the eighth.
 */
static int borrower_arena_find(struct borrower_arena *arena, const struct borrowed_device *b)
{
	struct device *ntb = &arena->link->pdev->dev;
	struct iommu_domain *domain = iommu_get_domain_for_dev(ntb);
	struct lend_windows *w = &arena->link->windows;
	size_t size;

	for (size = borrower_arena_most(w); size >= BORROWER_ARENA_MIN; size /= 2) {
		arena->first = dma_map_resource(ntb, borrower_arena_phys(w), size,
						DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
		if (dma_mapping_error(ntb, arena->first))
			continue;
		if (domain && lend_views_show(&b->views, U64_MAX, arena->first, size) &&
		    iommu_unmap(domain, arena->first, size) == size) {
			if (!w->arenas)
				w->arena = size;
			w->arenas += size;
			arena->size = size;
			return 0;
		}
		dma_unmap_resource(ntb, arena->first, size, DMA_BIDIRECTIONAL,
				   DMA_ATTR_SKIP_CPU_SYNC);
		break;
	}
	return -ENOSPC;
}

/*
 * Process context, arena lock held; nothing is mapped. The DMA layer takes it back as it
 * gave it.
 */
static void borrower_arena_release(struct kref *ref)
{
	struct borrower_arena *arena = container_of(ref, struct borrower_arena, ref);
	struct device *ntb = &arena->link->pdev->dev;
	struct iommu_domain *domain = iommu_get_domain_for_dev(ntb);
	struct lend_windows *w = &arena->link->windows;

	/* Without one the NTB function has gone, and its addresses with it. */
	if (domain && iommu_map(domain, arena->first, borrower_arena_phys(w), arena->size,
				IOMMU_READ | IOMMU_WRITE, GFP_KERNEL))
		dev_warn(ntb, "%zu KiB of the window are lost until the bridge is bound anew\n",
			 arena->size >> 10);
	else if (domain)
		dma_unmap_resource(ntb, arena->first, arena->size, DMA_BIDIRECTIONAL,
				   DMA_ATTR_SKIP_CPU_SYNC);
	w->arenas -= arena->size;
	lend_link_put(arena->link);
	kfree(arena);
}

/* Process context, arena lock held. */
static struct borrower_arena *borrower_arena_alloc(const struct borrowed_device *b)
{
	struct borrower_arena *arena = kzalloc(sizeof(*arena), GFP_KERNEL);
	int ret;

	if (!arena)
		return ERR_PTR(-ENOMEM);
	kref_init(&arena->ref);
	arena->link = b->link;
	ret = borrower_arena_find(arena, b);
	if (ret) {
		dev_warn(&b->link->ntb->dev,
			 "borrowed device %u: too little is left of the window for user space to map anything\n",
			 b->object.id);
		kfree(arena);
		return ERR_PTR(ret);
	}
	lend_link_hold(arena->link);
	return arena;
}

/**
 * borrower_arena_get() - the arena of a device
 * @b: the device
 *
 * One that a domain has, which may be attached to other devices, is no other domain's.
 *
 * Context: process; takes the arena lock.
 * Return: it, with a reference; or -ENOSPC too little is left of the window; -ENOMEM.
 */
struct borrower_arena *borrower_arena_get(struct borrowed_device *b)
{
	struct borrower_arena *arena;

	mutex_lock(&borrower_arena_lock);
	if (!b->arena || kref_read(&b->arena->ref) > 1) {
		arena = borrower_arena_alloc(b);
		if (IS_ERR(arena))
			goto unlock;
		if (b->arena)
			kref_put(&b->arena->ref, borrower_arena_release);
		b->arena = arena;
	}
	arena = b->arena;
	kref_get(&arena->ref);
unlock:
	mutex_unlock(&borrower_arena_lock);
	return arena;
}

/**
 * borrower_arena_put() - drop a reference
 * @arena: the arena; where this is the last one, nothing is mapped in it
 *
 * Context: process; takes the arena lock.
 */
void borrower_arena_put(struct borrower_arena *arena)
{
	mutex_lock(&borrower_arena_lock);
	kref_put(&arena->ref, borrower_arena_release);
	mutex_unlock(&borrower_arena_lock);
}

/**
 * borrower_arena_forget() - a device goes, and keeps its arena no longer
 * @b: the device
 *
 * Context: process; takes the arena lock.
 */
void borrower_arena_forget(struct borrowed_device *b)
{
	mutex_lock(&borrower_arena_lock);
	if (b->arena)
		kref_put(&b->arena->ref, borrower_arena_release);
	b->arena = NULL;
	mutex_unlock(&borrower_arena_lock);
}
