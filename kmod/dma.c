// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA of borrowed devices: every mapping is made through the NTB function,
 * whose DMA address space is what the owner's windows show, and becomes an
 * address in one of these, see view.h. Where that mapping would be the address
 * and nothing else, the address is taken: going through the DMA layer a second
 * time takes as long as all the rest.
 */

#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/jiffies.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>

#include "compat.h"
#include "dma.h"
#include "pool.h"

/* How long a detach waits for mappings that the driver has left behind. */
#define LEND_DRAIN_TIMEOUT	(5 * HZ)

/**
 * lend_dma_refuse() - a mapping that has begun cannot be made
 * @b: the borrowed device
 * @dev: the same
 * @size: octets
 * @why: in words
 *
 * Context: any.
 */
void lend_dma_refuse(struct lend_borrowed *b, struct device *dev, size_t size, const char *why)
{
	this_cpu_inc(b->dma_stats->errors);
	dev_warn_ratelimited(dev, "no DMA mapping of %zu octets: %s\n", size, why);
	percpu_ref_put(&b->dma_ref);
}

/* Any context. A copy that a window shows. */
static dma_addr_t lend_map_bounced(struct lend_borrowed *b, u64 mask, phys_addr_t phys, size_t size,
				   unsigned long attrs)
{
	phys_addr_t addr;

	if (!b->link->pool)
		return DMA_MAPPING_ERROR;
	addr = lend_bounce_map(b->link->pool, lend_dma_windows(b, mask), phys, size, attrs);
	if (addr == LEND_POOL_NONE)
		return DMA_MAPPING_ERROR;
	this_cpu_add(b->dma_stats->bounced, size);
	return addr;
}

static void lend_unmap(struct lend_borrowed *b, dma_addr_t addr, size_t size,
		       enum dma_data_direction dir, unsigned long attrs)
{
	if (b->link->pool && lend_is_bounced(b->link->pool, addr))
		lend_bounce_unmap(b->link->pool, addr, size, dir, attrs);
	else if (!b->link->plain)
		dma_unmap_page_attrs(lend_dma_ntb(b), addr, size, dir, attrs);
}

static dma_addr_t lend_map_page(struct device *dev, struct page *page, unsigned long offset,
				size_t size, enum dma_data_direction dir, unsigned long attrs)
{
	phys_addr_t phys = page_to_phys(page) + offset;
	struct lend_borrowed *b = lend_dma_of(dev);
	struct device *ntb = lend_dma_ntb(b);
	u64 mask = dma_get_mask(dev);
	dma_addr_t addr;
	bool shown;

	if (!lend_dma_enter(b))
		return DMA_MAPPING_ERROR;
	shown = lend_views_show(&b->views, mask, phys, size);
	if (b->link->plain && shown)
		return lend_dma_made(b, phys, size, dir);
	if (b->link->translated || shown)
		addr = dma_map_page_attrs(ntb, page, offset, size, dir, attrs);
	else
		addr = lend_map_bounced(b, mask, phys, size, attrs);
	if (dma_mapping_error(ntb, addr)) {
		lend_dma_refuse(b, dev, size, lend_dma_windows(b, mask) ?
				"no space left" : "the device does not reach the window");
		return DMA_MAPPING_ERROR;
	}
	if (unlikely(!lend_views_show(&b->views, mask, addr, size))) {
		lend_unmap(b, addr, size, dir, attrs | DMA_ATTR_SKIP_CPU_SYNC);
		lend_dma_refuse(b, dev, size, "the device does not reach the window");
		return DMA_MAPPING_ERROR;
	}
	return lend_dma_made(b, addr, size, dir);
}

static void lend_unmap_page(struct device *dev, dma_addr_t addr, size_t size,
			    enum dma_data_direction dir, unsigned long attrs)
{
	struct lend_borrowed *b = lend_dma_of(dev);

	lend_unmap(b, lend_views_to_ours(&b->views, addr), size, dir, attrs);
	lend_dma_ended(b, addr, size, dir);
}

/* Registers of another device: the window shows them, or an IOMMU makes it so. */
static dma_addr_t lend_map_resource(struct device *dev, phys_addr_t phys, size_t size,
				    enum dma_data_direction dir, unsigned long attrs)
{
	struct lend_borrowed *b = lend_dma_of(dev);
	struct device *ntb = lend_dma_ntb(b);
	dma_addr_t addr;

	if (!lend_dma_enter(b))
		return DMA_MAPPING_ERROR;
	addr = dma_map_resource(ntb, phys, size, dir, attrs);
	if (!dma_mapping_error(ntb, addr) &&
	    lend_views_show(&b->views, dma_get_mask(dev), addr, size))
		return lend_dma_made(b, addr, size, dir);
	if (!dma_mapping_error(ntb, addr))
		dma_unmap_resource(ntb, addr, size, dir, attrs);
	lend_dma_refuse(b, dev, size, "the window does not show this resource");
	return DMA_MAPPING_ERROR;
}

static void lend_unmap_resource(struct device *dev, dma_addr_t addr, size_t size,
				enum dma_data_direction dir, unsigned long attrs)
{
	struct lend_borrowed *b = lend_dma_of(dev);

	dma_unmap_resource(lend_dma_ntb(b), lend_views_to_ours(&b->views, addr), size, dir,
			   attrs);
	lend_dma_ended(b, addr, size, dir);
}

static void lend_unmap_sg(struct device *dev, struct scatterlist *sgl, int nents,
			  enum dma_data_direction dir, unsigned long attrs)
{
	struct scatterlist *sg;
	int i;

	for_each_sg(sgl, sg, nents, i)
		lend_unmap_page(dev, sg_dma_address(sg), sg_dma_len(sg), dir, attrs);
}

static int lend_map_sg(struct device *dev, struct scatterlist *sgl, int nents,
		       enum dma_data_direction dir, unsigned long attrs)
{
	struct scatterlist *sg;
	int i;

	for_each_sg(sgl, sg, nents, i) {
		sg_dma_address(sg) = lend_map_page(dev, sg_page(sg), sg->offset, sg->length,
						   dir, attrs);
		if (sg_dma_address(sg) == DMA_MAPPING_ERROR) {
			lend_unmap_sg(dev, sgl, i, dir, attrs | DMA_ATTR_SKIP_CPU_SYNC);
			return -EIO;
		}
		sg_dma_len(sg) = sg->length;
	}
	return nents;
}

static void lend_sync_for_cpu(struct device *dev, dma_addr_t addr, size_t size,
			      enum dma_data_direction dir)
{
	struct lend_borrowed *b = lend_dma_of(dev);

	addr = lend_views_to_ours(&b->views, addr);
	if (b->link->pool && lend_is_bounced(b->link->pool, addr)) {
		if (dir != DMA_TO_DEVICE)
			lend_bounce_sync(b->link->pool, addr, size, true);
	} else if (!b->link->plain) {
		dma_sync_single_for_cpu(lend_dma_ntb(b), addr, size, dir);
	}
}

static void lend_sync_for_device(struct device *dev, dma_addr_t addr, size_t size,
				 enum dma_data_direction dir)
{
	struct lend_borrowed *b = lend_dma_of(dev);

	addr = lend_views_to_ours(&b->views, addr);
	if (b->link->pool && lend_is_bounced(b->link->pool, addr)) {
		if (dir != DMA_FROM_DEVICE)
			lend_bounce_sync(b->link->pool, addr, size, false);
	} else if (!b->link->plain) {
		dma_sync_single_for_device(lend_dma_ntb(b), addr, size, dir);
	}
}

static void lend_sync_sg_for_cpu(struct device *dev, struct scatterlist *sgl, int nents,
				 enum dma_data_direction dir)
{
	struct scatterlist *sg;
	int i;

	for_each_sg(sgl, sg, nents, i)
		lend_sync_for_cpu(dev, sg_dma_address(sg), sg_dma_len(sg), dir);
}

static void lend_sync_sg_for_device(struct device *dev, struct scatterlist *sgl, int nents,
				    enum dma_data_direction dir)
{
	struct scatterlist *sg;
	int i;

	for_each_sg(sgl, sg, nents, i)
		lend_sync_for_device(dev, sg_dma_address(sg), sg_dma_len(sg), dir);
}

/* A device reaches a whole window or none of it: mappings can be anywhere in it. */
static int lend_dma_supported(struct device *dev, u64 mask)
{
	struct lend_borrowed *b = lend_dma_of(dev);
	unsigned int i, windows = lend_dma_windows(b, mask);
	const struct lend_view *v;

	if (windows) {
		if (b->link->pool)
			lend_pool_expect(b->link->pool, windows);
		return 1;
	}
	for (i = 0; i < b->views.count; i++) {
		v = &b->views.view[i];
		dev_warn(dev,
			 "a DMA mask of %d bits does not reach the owner's window at 0x%llx-0x%llx\n",
			 fls64(mask), v->bus, v->bus + v->size - 1);
	}
	return 0;
}

static u64 lend_get_required_mask(struct device *dev)
{
	struct lend_borrowed *b = lend_dma_of(dev);

	return DMA_BIT_MASK(fls64(lend_views_last(&b->views)));
}

static size_t lend_max_mapping_size(struct device *dev)
{
	struct lend_borrowed *b = lend_dma_of(dev);
	size_t max = dma_max_mapping_size(lend_dma_ntb(b));

	return b->link->pool ? min(max, lend_bounce_max()) : max;
}

LEND_DEFINE_DMA_MAP_OPS(lend_map_page, lend_unmap_page, lend_map_resource, lend_unmap_resource)

static const struct dma_map_ops lend_dma_ops = {
	.alloc = lend_alloc,
	.free = lend_free,
	LEND_DMA_ALLOC_PAGES_OPS(lend_alloc_pages),
	.free_pages = lend_free_pages,
	.mmap = lend_mmap,
	.get_sgtable = lend_get_sgtable,
	LEND_DMA_MAP_OPS(lend_map_page, lend_unmap_page, lend_map_resource, lend_unmap_resource),
	.map_sg = lend_map_sg,
	.unmap_sg = lend_unmap_sg,
	.sync_single_for_cpu = lend_sync_for_cpu,
	.sync_single_for_device = lend_sync_for_device,
	.sync_sg_for_cpu = lend_sync_sg_for_cpu,
	.sync_sg_for_device = lend_sync_sg_for_device,
	.dma_supported = lend_dma_supported,
	.get_required_mask = lend_get_required_mask,
	.max_mapping_size = lend_max_mapping_size,
};

/**
 * lend_dma_adopt() - give a new PCI device our operations
 * @pdev: a borrowed device that was just added, without a driver
 *
 * Context: process; bus notifier, after the IOMMU's.
 */
void lend_dma_adopt(struct pci_dev *pdev)
{
	/* Set, it would win over the operations. */
	lend_clear_dma_iommu(&pdev->dev);
	set_dma_ops(&pdev->dev, &lend_dma_ops);
}

static void lend_dma_drained(struct percpu_ref *ref)
{
	complete(&container_of(ref, struct lend_borrowed, dma_ref)->dma_drained);
}

/**
 * lend_dma_init() - prepare a borrowed device's mappings
 * @b: the borrowed device
 *
 * Context: process.
 * Return: 0 or a negative errno.
 */
int lend_dma_init(struct lend_borrowed *b)
{
	int ret;

	b->dma_stats = alloc_percpu(struct lend_dma_stats);
	if (!b->dma_stats)
		return -ENOMEM;
	init_completion(&b->dma_drained);
	ret = percpu_ref_init(&b->dma_ref, lend_dma_drained, 0, GFP_KERNEL);
	if (ret) {
		free_percpu(b->dma_stats);
		b->dma_stats = NULL;
	}
	return ret;
}

/**
 * lend_dma_reserve() - have the pool keep something for a device
 * @b: the borrowed device, opened
 *
 * Context: process.
 * Return: 0; -ENOMEM no memory that a window shows could be had.
 */
int lend_dma_reserve(struct lend_borrowed *b)
{
	struct lend_pool *pool = b->link->pool;
	int ret = pool ? lend_pool_use(pool, lend_dma_windows(b, U64_MAX)) : 0;

	b->pool_used = pool && !ret;
	return ret;
}

/**
 * lend_dma_drain() - refuse new mappings and wait for the end of all
 * @b: the borrowed device; its driver is gone
 *
 * Context: process.
 * Return: false when mappings are left after the time limit.
 */
bool lend_dma_drain(struct lend_borrowed *b)
{
	if (!percpu_ref_is_dying(&b->dma_ref))
		percpu_ref_kill(&b->dma_ref);
	return wait_for_completion_timeout(&b->dma_drained, LEND_DRAIN_TIMEOUT);
}

/**
 * lend_dma_exit() - free what lend_dma_init() made
 * @b: the borrowed device, without mappings
 *
 * Context: process.
 */
void lend_dma_exit(struct lend_borrowed *b)
{
	if (!b->dma_stats)
		return;
	if (b->pool_used)
		lend_pool_unuse(b->link->pool);
	percpu_ref_exit(&b->dma_ref);
	free_percpu(b->dma_stats);
	b->dma_stats = NULL;
}

/**
 * lend_dma_stats_sum() - add up the CPUs' counts
 * @b: the borrowed device, perhaps not ready yet
 * @sum: result
 *
 * Context: any.
 */
void lend_dma_stats_sum(struct lend_borrowed *b, struct lend_dma_stats *sum)
{
	const struct lend_dma_stats *s;
	int cpu;

	memset(sum, 0, sizeof(*sum));
	if (!b->dma_stats)
		return;
	for_each_possible_cpu(cpu) {
		s = per_cpu_ptr(b->dma_stats, cpu);
		sum->maps += READ_ONCE(s->maps);
		sum->unmaps += READ_ONCE(s->unmaps);
		sum->mapped += READ_ONCE(s->mapped);
		sum->unmapped += READ_ONCE(s->unmapped);
		sum->bounced += READ_ONCE(s->bounced);
		sum->errors += READ_ONCE(s->errors);
	}
}
