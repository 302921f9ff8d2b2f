/* SPDX-License-Identifier: GPL-2.0-only */
/* What dma.c and coherent.c share: how each mapping begins and ends. */
#ifndef LEND_DMA_H
#define LEND_DMA_H

#include <linux/dma-mapping.h>
#include <linux/pci.h>
#include <linux/percpu-refcount.h>

#include "borrowed.h"
#include "link.h"
#include "trace.h"

static inline struct lend_borrowed *lend_dma_of(struct device *dev)
{
	return lend_borrowed_of(to_pci_dev(dev));
}

static inline struct device *lend_dma_ntb(const struct lend_borrowed *b)
{
	return &b->link->pdev->dev;
}

/* Bits of the windows in which memory may lie anywhere for a device with this mask. */
static inline unsigned int lend_dma_windows(const struct lend_borrowed *b, u64 mask)
{
	unsigned int reached = lend_views_reached(&b->views, mask);

	return b->link->pool ? reached & b->views.whole : reached;
}

/*
 * The three that follow are in every map and unmap, which without an IOMMU is
 * little more than calls: so they are none.
 */

/**
 * lend_dma_enter() - begin a mapping
 * @b: the borrowed device
 *
 * Every mapping holds a reference.
 *
 * Context: any.
 * Return: false once the device is going.
 */
static inline bool lend_dma_enter(struct lend_borrowed *b)
{
	if (percpu_ref_tryget_live(&b->dma_ref))
		return true;
	this_cpu_inc(b->dma_stats->errors);
	return false;
}

/**
 * lend_dma_made() - a mapping is made
 * @b: the borrowed device
 * @addr: in the DMA address space of the NTB function
 * @size: octets
 * @dir: who writes to it
 *
 * Context: any.
 * Return: what to tell the device.
 */
static inline dma_addr_t lend_dma_made(struct lend_borrowed *b, dma_addr_t addr, size_t size,
				       enum dma_data_direction dir)
{
	dma_addr_t bus = lend_views_to_device(&b->views, addr);

	this_cpu_inc(b->dma_stats->maps);
	this_cpu_add(b->dma_stats->mapped, size);
	trace_lend_map(b->id, bus, size, dir, true);
	return bus;
}

/**
 * lend_dma_ended() - a mapping is no more
 * @b: the borrowed device
 * @addr: what lend_dma_made() has returned
 * @size: octets
 * @dir: who wrote to it
 *
 * Context: any.
 */
static inline void lend_dma_ended(struct lend_borrowed *b, dma_addr_t addr, size_t size,
				  enum dma_data_direction dir)
{
	this_cpu_inc(b->dma_stats->unmaps);
	this_cpu_add(b->dma_stats->unmapped, size);
	trace_lend_map(b->id, addr, size, dir, false);
	percpu_ref_put(&b->dma_ref);
}

/* dma.c */
void lend_dma_refuse(struct lend_borrowed *b, struct device *dev, size_t size, const char *why);

/* coherent.c */
void *lend_alloc(struct device *dev, size_t size, dma_addr_t *handle, gfp_t gfp,
		 unsigned long attrs);
void lend_free(struct device *dev, size_t size, void *cpu, dma_addr_t handle,
	       unsigned long attrs);
struct page *lend_alloc_pages(struct device *dev, size_t size, dma_addr_t *handle,
			      enum dma_data_direction dir, gfp_t gfp);
void lend_free_pages(struct device *dev, size_t size, struct page *page, dma_addr_t handle,
		     enum dma_data_direction dir);
int lend_mmap(struct device *dev, struct vm_area_struct *vma, void *cpu, dma_addr_t handle,
	      size_t size, unsigned long attrs);
int lend_get_sgtable(struct device *dev, struct sg_table *sgt, void *cpu, dma_addr_t handle,
		     size_t size, unsigned long attrs);

#endif
