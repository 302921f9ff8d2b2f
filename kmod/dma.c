// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA of borrowed devices: every mapping is made through the NTB function,
 * whose DMA address space is what the owner's window shows, and the window's
 * base on the owner is added.
 */

#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/jiffies.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>

#include "borrowed.h"
#include "compat.h"
#include "link.h"
#include "trace.h"

/* How long a detach waits for mappings that the driver has left behind. */
#define LEND_DRAIN_TIMEOUT	(5 * HZ)

static struct lend_borrowed *lend_dma_of(struct device *dev)
{
	return lend_borrowed_of(to_pci_dev(dev));
}

static struct device *lend_dma_ntb(const struct lend_borrowed *b)
{
	return &b->link->pdev->dev;
}

/* Any context. Every mapping holds a reference; false once the device is going. */
static bool lend_dma_enter(struct lend_borrowed *b)
{
	if (percpu_ref_tryget_live(&b->dma_ref))
		return true;
	this_cpu_inc(b->dma_stats->errors);
	return false;
}

static void lend_dma_refuse(struct lend_borrowed *b)
{
	this_cpu_inc(b->dma_stats->errors);
	percpu_ref_put(&b->dma_ref);
}

static dma_addr_t lend_dma_made(struct lend_borrowed *b, dma_addr_t addr, size_t size,
				enum dma_data_direction dir)
{
	this_cpu_inc(b->dma_stats->maps);
	this_cpu_add(b->dma_stats->mapped, size);
	trace_lend_map(b->id, b->dma_base + addr, size, dir, true);
	return b->dma_base + addr;
}

static void lend_dma_ended(struct lend_borrowed *b, dma_addr_t addr, size_t size,
			   enum dma_data_direction dir)
{
	this_cpu_inc(b->dma_stats->unmaps);
	this_cpu_add(b->dma_stats->unmapped, size);
	trace_lend_map(b->id, addr, size, dir, false);
	percpu_ref_put(&b->dma_ref);
}

static bool lend_dma_fits(const struct lend_borrowed *b, dma_addr_t addr, size_t size)
{
	return size <= b->dma_size && addr <= b->dma_size - size;
}

static dma_addr_t lend_map_page(struct device *dev, struct page *page, unsigned long offset,
				size_t size, enum dma_data_direction dir, unsigned long attrs)
{
	struct lend_borrowed *b = lend_dma_of(dev);
	struct device *ntb = lend_dma_ntb(b);
	dma_addr_t addr;

	if (!lend_dma_enter(b))
		return DMA_MAPPING_ERROR;
	addr = dma_map_page_attrs(ntb, page, offset, size, dir, attrs);
	if (dma_mapping_error(ntb, addr)) {
		lend_dma_refuse(b);
		return DMA_MAPPING_ERROR;
	}
	if (unlikely(!lend_dma_fits(b, addr, size))) {
		dma_unmap_page_attrs(ntb, addr, size, dir, attrs);
		lend_dma_refuse(b);
		return DMA_MAPPING_ERROR;
	}
	return lend_dma_made(b, addr, size, dir);
}

static void lend_unmap_page(struct device *dev, dma_addr_t addr, size_t size,
			    enum dma_data_direction dir, unsigned long attrs)
{
	struct lend_borrowed *b = lend_dma_of(dev);

	dma_unmap_page_attrs(lend_dma_ntb(b), addr - b->dma_base, size, dir, attrs);
	lend_dma_ended(b, addr, size, dir);
}

static dma_addr_t lend_map_resource(struct device *dev, phys_addr_t phys, size_t size,
				    enum dma_data_direction dir, unsigned long attrs)
{
	struct lend_borrowed *b = lend_dma_of(dev);
	struct device *ntb = lend_dma_ntb(b);
	dma_addr_t addr;

	if (!lend_dma_enter(b))
		return DMA_MAPPING_ERROR;
	addr = dma_map_resource(ntb, phys, size, dir, attrs);
	if (dma_mapping_error(ntb, addr)) {
		lend_dma_refuse(b);
		return DMA_MAPPING_ERROR;
	}
	if (unlikely(!lend_dma_fits(b, addr, size))) {
		dma_unmap_resource(ntb, addr, size, dir, attrs);
		lend_dma_refuse(b);
		return DMA_MAPPING_ERROR;
	}
	return lend_dma_made(b, addr, size, dir);
}

static void lend_unmap_resource(struct device *dev, dma_addr_t addr, size_t size,
				enum dma_data_direction dir, unsigned long attrs)
{
	struct lend_borrowed *b = lend_dma_of(dev);

	dma_unmap_resource(lend_dma_ntb(b), addr - b->dma_base, size, dir, attrs);
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

static void *lend_alloc(struct device *dev, size_t size, dma_addr_t *handle, gfp_t gfp,
			unsigned long attrs)
{
	struct lend_borrowed *b = lend_dma_of(dev);
	struct device *ntb = lend_dma_ntb(b);
	void *cpu;

	if (!lend_dma_enter(b))
		return NULL;
	cpu = dma_alloc_attrs(ntb, size, handle, gfp, attrs);
	if (!cpu) {
		lend_dma_refuse(b);
		return NULL;
	}
	if (unlikely(!lend_dma_fits(b, *handle, size))) {
		dma_free_attrs(ntb, size, cpu, *handle, attrs);
		lend_dma_refuse(b);
		return NULL;
	}
	*handle = lend_dma_made(b, *handle, size, DMA_BIDIRECTIONAL);
	return cpu;
}

static void lend_free(struct device *dev, size_t size, void *cpu, dma_addr_t handle,
		      unsigned long attrs)
{
	struct lend_borrowed *b = lend_dma_of(dev);

	dma_free_attrs(lend_dma_ntb(b), size, cpu, handle - b->dma_base, attrs);
	lend_dma_ended(b, handle, size, DMA_BIDIRECTIONAL);
}

static struct page *lend_alloc_pages(struct device *dev, size_t size, dma_addr_t *handle,
				     enum dma_data_direction dir, gfp_t gfp)
{
	struct lend_borrowed *b = lend_dma_of(dev);
	struct device *ntb = lend_dma_ntb(b);
	struct page *page;

	if (!lend_dma_enter(b))
		return NULL;
	page = dma_alloc_pages(ntb, size, handle, dir, gfp);
	if (!page) {
		lend_dma_refuse(b);
		return NULL;
	}
	if (unlikely(!lend_dma_fits(b, *handle, size))) {
		dma_free_pages(ntb, size, page, *handle, dir);
		lend_dma_refuse(b);
		return NULL;
	}
	*handle = lend_dma_made(b, *handle, size, dir);
	return page;
}

static void lend_free_pages(struct device *dev, size_t size, struct page *page,
			    dma_addr_t handle, enum dma_data_direction dir)
{
	struct lend_borrowed *b = lend_dma_of(dev);

	dma_free_pages(lend_dma_ntb(b), size, page, handle - b->dma_base, dir);
	lend_dma_ended(b, handle, size, dir);
}

static int lend_mmap(struct device *dev, struct vm_area_struct *vma, void *cpu,
		     dma_addr_t handle, size_t size, unsigned long attrs)
{
	struct lend_borrowed *b = lend_dma_of(dev);

	return dma_mmap_attrs(lend_dma_ntb(b), vma, cpu, handle - b->dma_base, size, attrs);
}

static int lend_get_sgtable(struct device *dev, struct sg_table *sgt, void *cpu,
			    dma_addr_t handle, size_t size, unsigned long attrs)
{
	struct lend_borrowed *b = lend_dma_of(dev);

	return dma_get_sgtable_attrs(lend_dma_ntb(b), sgt, cpu, handle - b->dma_base, size,
				     attrs);
}

static void lend_sync_for_cpu(struct device *dev, dma_addr_t addr, size_t size,
			      enum dma_data_direction dir)
{
	struct lend_borrowed *b = lend_dma_of(dev);

	dma_sync_single_for_cpu(lend_dma_ntb(b), addr - b->dma_base, size, dir);
}

static void lend_sync_for_device(struct device *dev, dma_addr_t addr, size_t size,
				 enum dma_data_direction dir)
{
	struct lend_borrowed *b = lend_dma_of(dev);

	dma_sync_single_for_device(lend_dma_ntb(b), addr - b->dma_base, size, dir);
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

/* A device reaches the whole window or none of it: mappings can be anywhere. */
static int lend_dma_supported(struct device *dev, u64 mask)
{
	struct lend_borrowed *b = lend_dma_of(dev);

	return b->dma_base + b->dma_size - 1 <= mask;
}

static u64 lend_get_required_mask(struct device *dev)
{
	struct lend_borrowed *b = lend_dma_of(dev);

	return DMA_BIT_MASK(fls64(b->dma_base + b->dma_size - 1));
}

static size_t lend_max_mapping_size(struct device *dev)
{
	return dma_max_mapping_size(lend_dma_ntb(lend_dma_of(dev)));
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
		sum->errors += READ_ONCE(s->errors);
	}
}
