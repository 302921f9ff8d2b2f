// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA of borrowed devices: every mapping is made through the NTB function,
 * whose DMA address space is what the owner's windows show, and becomes an
 * address in one of these, see view.h. Where that mapping would be the address
 * and nothing else, the address is taken: going through the DMA layer a second
 * time takes as long as all the rest.
 *
 * Coherent memory is made of single pages, so that what a process has still mapped
 * when the device goes lives on until its last mapping goes, and is freed then:
 * the page's own count sees to that.
 *
 * Called by drivers of borrowed devices through struct dma_map_ops, in any context
 * and without a lock, and by borrower.c for the device's life.
 */

#include <linux/delay.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/gfp.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "borrowed.h"
#include "compat.h"
#include "dma.h"
#include "dma_count.h"
#include "dma_plain.h"
#include "link.h"
#include "pool.h"
#include "trace.h"

/* How long a detach waits for mappings that the driver has left behind. */
#define LEND_DRAIN_TIMEOUT	(5 * HZ)
/* Milliseconds between two looks. */
#define LEND_DRAIN_EVERY	10

/* Bits of the windows in which memory may lie anywhere for a device with this mask. */
static inline unsigned int lend_dma_windows(const struct borrowed_device *b, u64 mask)
{
	unsigned int reached = lend_views_reached(&b->views, mask);

	return b->link->pool ? reached & b->views.whole : reached;
}

/* Any context. Count a mapping at an address of ours; the device's address. */
static dma_addr_t lend_mapped(struct borrowed_device *b, dma_addr_t addr, size_t size,
			      enum dma_data_direction dir)
{
	dma_addr_t bus = lend_views_to_device(&b->views, addr);

	lend_dma_made(b, 1, size);
	trace_lend_map(b->object.id, bus, size, dir, true);
	return bus;
}

/* Any context. Nothing of a mapping at an address of the device's is left. */
static void lend_unmapped(struct borrowed_device *b, dma_addr_t bus, size_t size,
			  enum dma_data_direction dir)
{
	trace_lend_map(b->object.id, bus, size, dir, false);
	lend_dma_ended(b, 1, size);
}

/* Any context. A copy that a window shows. */
static dma_addr_t lend_map_bounced(struct borrowed_device *b, u64 mask, phys_addr_t phys,
				   size_t size, unsigned long attrs)
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

static void lend_unmap(struct borrowed_device *b, dma_addr_t addr, size_t size,
		       enum dma_data_direction dir, unsigned long attrs)
{
	if (b->link->pool && lend_is_bounced(b->link->pool, addr))
		lend_bounce_unmap(b->link->pool, addr, size, dir, attrs);
	else if (!b->link->windows.plain)
		dma_unmap_page_attrs(lend_dma_ntb(b), addr, size, dir, attrs);
}

static dma_addr_t lend_map_phys(struct device *dev, phys_addr_t phys, size_t size,
				enum dma_data_direction dir, unsigned long attrs)
{
	struct borrowed_device *b = lend_dma_of(dev);
	struct device *ntb = lend_dma_ntb(b);
	u64 mask = dma_get_mask(dev);
	dma_addr_t addr;
	bool shown;

	if (!lend_dma_enter(b))
		return DMA_MAPPING_ERROR;
	shown = lend_views_show(&b->views, mask, phys, size);
	if (b->link->windows.plain && shown)
		return lend_mapped(b, phys, size, dir);
	if (b->link->windows.translated || shown)
		addr = dma_map_page_attrs(ntb, pfn_to_page(PHYS_PFN(phys)), offset_in_page(phys),
					  size, dir, attrs);
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
	return lend_mapped(b, addr, size, dir);
}

static void lend_unmap_phys(struct device *dev, dma_addr_t addr, size_t size,
			    enum dma_data_direction dir, unsigned long attrs)
{
	struct borrowed_device *b = lend_dma_of(dev);

	lend_unmap(b, lend_views_to_ours(&b->views, addr), size, dir, attrs);
	lend_unmapped(b, addr, size, dir);
}

/* Registers of another device: the window shows them, or an IOMMU makes it so. */
static dma_addr_t lend_map_resource(struct device *dev, phys_addr_t phys, size_t size,
				    enum dma_data_direction dir, unsigned long attrs)
{
	struct borrowed_device *b = lend_dma_of(dev);
	struct device *ntb = lend_dma_ntb(b);
	dma_addr_t addr;

	if (!lend_dma_enter(b))
		return DMA_MAPPING_ERROR;
	addr = dma_map_resource(ntb, phys, size, dir, attrs);
	if (!dma_mapping_error(ntb, addr) &&
	    lend_views_show(&b->views, dma_get_mask(dev), addr, size))
		return lend_mapped(b, addr, size, dir);
	if (!dma_mapping_error(ntb, addr))
		dma_unmap_resource(ntb, addr, size, dir, attrs);
	lend_dma_refuse(b, dev, size, "the window does not show this resource");
	return DMA_MAPPING_ERROR;
}

static void lend_unmap_resource(struct device *dev, dma_addr_t addr, size_t size,
				enum dma_data_direction dir, unsigned long attrs)
{
	struct borrowed_device *b = lend_dma_of(dev);

	dma_unmap_resource(lend_dma_ntb(b), lend_views_to_ours(&b->views, addr), size, dir,
			   attrs);
	lend_unmapped(b, addr, size, dir);
}

/*
 * Whether a list is mapped by the NTB function as one: an IOMMU makes few blocks of it,
 * which are none too large for the device. Drivers set its limits before they map.
 */
static bool lend_maps_lists(const struct borrowed_device *b, struct device *dev)
{
	struct device *ntb = lend_dma_ntb(b);

	return b->link->windows.translated &&
	       dma_get_max_seg_size(dev) >= dma_get_max_seg_size(ntb) &&
	       dma_get_seg_boundary(dev) >= dma_get_seg_boundary(ntb);
}

/* Any context. Returns blocks, or a negative errno. */
static int lend_map_list(struct borrowed_device *b, struct device *dev, struct scatterlist *sgl,
			 int nents, enum dma_data_direction dir, unsigned long attrs)
{
	struct device *ntb = lend_dma_ntb(b);
	u64 mask = dma_get_mask(dev);
	struct scatterlist *sg;
	size_t size = 0;
	int i, count;

	count = dma_map_sg_attrs(ntb, sgl, nents, dir, attrs);
	if (!count) {
		lend_dma_refuse(b, dev, sgl->length, "no space left");
		return -ENOMEM;
	}
	for_each_sg(sgl, sg, count, i) {
		if (lend_views_show(&b->views, mask, sg_dma_address(sg), sg_dma_len(sg)))
			continue;
		dma_unmap_sg_attrs(ntb, sgl, nents, dir, attrs | DMA_ATTR_SKIP_CPU_SYNC);
		lend_dma_refuse(b, dev, sg->length, "the device does not reach the window");
		return -EIO;
	}
	for_each_sg(sgl, sg, count, i) {
		sg_dma_address(sg) = lend_views_to_device(&b->views, sg_dma_address(sg));
		size += sg_dma_len(sg);
	}
	lend_dma_made(b, count, size);
	lend_dma_traced(b, sgl, count, dir, true);
	return count;
}

/* Any context. */
static void lend_unmap_list(struct borrowed_device *b, struct scatterlist *sgl, int nents,
			    enum dma_data_direction dir, unsigned long attrs)
{
	struct scatterlist *sg;
	size_t size = 0;
	int i;

	lend_dma_traced(b, sgl, nents, dir, false);
	for_each_sg(sgl, sg, nents, i) {
		if (!sg_dma_len(sg))
			break; /* the blocks are fewer than the entries */
		sg_dma_address(sg) = lend_views_to_ours(&b->views, sg_dma_address(sg));
		size += sg_dma_len(sg);
	}
	dma_unmap_sg_attrs(lend_dma_ntb(b), sgl, nents, dir, attrs);
	lend_dma_ended(b, i, size);
}

static void lend_unmap_sg(struct device *dev, struct scatterlist *sgl, int nents,
			  enum dma_data_direction dir, unsigned long attrs)
{
	struct borrowed_device *b = lend_dma_of(dev);
	struct scatterlist *sg;
	int i;

	if (lend_maps_lists(b, dev)) {
		lend_unmap_list(b, sgl, nents, dir, attrs);
		return;
	}
	for_each_sg(sgl, sg, nents, i)
		lend_unmap_phys(dev, sg_dma_address(sg), sg_dma_len(sg), dir, attrs);
}

static int lend_map_sg(struct device *dev, struct scatterlist *sgl, int nents,
		       enum dma_data_direction dir, unsigned long attrs)
{
	struct borrowed_device *b = lend_dma_of(dev);
	struct scatterlist *sg;
	int i;

	if (lend_maps_lists(b, dev))
		return lend_dma_enter(b) ? lend_map_list(b, dev, sgl, nents, dir, attrs) : -EIO;
	for_each_sg(sgl, sg, nents, i) {
		sg_dma_address(sg) = lend_map_phys(dev, sg_phys(sg), sg->length, dir, attrs);
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
	struct borrowed_device *b = lend_dma_of(dev);

	addr = lend_views_to_ours(&b->views, addr);
	if (b->link->pool && lend_is_bounced(b->link->pool, addr)) {
		if (dir != DMA_TO_DEVICE)
			lend_bounce_sync(b->link->pool, addr, size, true);
	} else if (!b->link->windows.plain) {
		dma_sync_single_for_cpu(lend_dma_ntb(b), addr, size, dir);
	}
}

static void lend_sync_for_device(struct device *dev, dma_addr_t addr, size_t size,
				 enum dma_data_direction dir)
{
	struct borrowed_device *b = lend_dma_of(dev);

	addr = lend_views_to_ours(&b->views, addr);
	if (b->link->pool && lend_is_bounced(b->link->pool, addr)) {
		if (dir != DMA_FROM_DEVICE)
			lend_bounce_sync(b->link->pool, addr, size, false);
	} else if (!b->link->windows.plain) {
		dma_sync_single_for_device(lend_dma_ntb(b), addr, size, dir);
	}
}

static void lend_sync_sg_for_cpu(struct device *dev, struct scatterlist *sgl, int nents,
				 enum dma_data_direction dir)
{
	struct scatterlist *sg;
	int i;

	for_each_sg(sgl, sg, nents, i) {
		if (!sg_dma_len(sg))
			break; /* of a list that is fewer blocks */
		lend_sync_for_cpu(dev, sg_dma_address(sg), sg_dma_len(sg), dir);
	}
}

static void lend_sync_sg_for_device(struct device *dev, struct scatterlist *sgl, int nents,
				    enum dma_data_direction dir)
{
	struct scatterlist *sg;
	int i;

	for_each_sg(sgl, sg, nents, i) {
		if (!sg_dma_len(sg))
			break; /* of a list that is fewer blocks */
		lend_sync_for_device(dev, sg_dma_address(sg), sg_dma_len(sg), dir);
	}
}

/* A device reaches a whole window or none of it: mappings can be anywhere in it. */
static int lend_dma_supported(struct device *dev, u64 mask)
{
	struct borrowed_device *b = lend_dma_of(dev);
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
	struct borrowed_device *b = lend_dma_of(dev);

	return DMA_BIT_MASK(fls64(lend_views_last(&b->views)));
}

static size_t lend_max_mapping_size(struct device *dev)
{
	struct borrowed_device *b = lend_dma_of(dev);
	size_t max = dma_max_mapping_size(lend_dma_ntb(b));

	return b->link->pool ? min(max, lend_bounce_max()) : max;
}

/* Any context. Memory that is one block, wherever it is. */
static dma_addr_t lend_coherent_map(struct borrowed_device *b, u64 mask, void *cpu, size_t size,
				    unsigned long attrs)
{
	struct device *ntb = lend_dma_ntb(b);
	phys_addr_t phys = virt_to_phys(cpu);
	dma_addr_t addr;

	if (b->link->windows.plain)
		return phys;
	addr = dma_map_page_attrs(ntb, virt_to_page(cpu), 0, size, DMA_BIDIRECTIONAL,
				  attrs | DMA_ATTR_SKIP_CPU_SYNC);
	if (dma_mapping_error(ntb, addr))
		return DMA_MAPPING_ERROR;
	/* A copy that the core has made would not be coherent. */
	if (lend_views_show(&b->views, mask, addr, size) &&
	    (b->link->windows.translated || addr == phys))
		return addr;
	dma_unmap_page_attrs(ntb, addr, size, DMA_BIDIRECTIONAL, attrs | DMA_ATTR_SKIP_CPU_SYNC);
	return DMA_MAPPING_ERROR;
}

/* Any context, if @gfp does not allow to block. Single pages, one after the other. */
static void *lend_get_pages(int node, size_t size, gfp_t gfp)
{
	unsigned int i, order = get_order(size), count = size >> PAGE_SHIFT;
	struct page *page = alloc_pages_node(node, gfp, order);

	if (!page)
		return NULL;
	split_page(page, order);
	for (i = count; i < 1U << order; i++)
		__free_page(page + i);
	return page_address(page);
}

/* Any context, if @gfp does not allow to block. Without IOMMU luck decides. */
static void *lend_coherent_from_pages(struct borrowed_device *b, u64 mask, size_t size,
				      dma_addr_t *addr, gfp_t gfp, unsigned long attrs)
{
	void *cpu;

	cpu = lend_get_pages(dev_to_node(lend_dma_ntb(b)), size,
			     gfp | __GFP_ZERO | __GFP_NOWARN);
	if (!cpu)
		return NULL;
	if (b->link->windows.translated ||
	    lend_views_show(&b->views, mask, virt_to_phys(cpu), size)) {
		*addr = lend_coherent_map(b, mask, cpu, size, attrs);
		if (*addr != DMA_MAPPING_ERROR)
			return cpu;
	}
	free_pages_exact(cpu, size);
	return NULL;
}

/* Any context, if @gfp does not allow to block. */
static void *lend_coherent_from_pool(struct borrowed_device *b, u64 mask, size_t size,
				     dma_addr_t *addr, gfp_t gfp)
{
	phys_addr_t phys;

	phys = lend_pool_take(b->link->pool, lend_dma_windows(b, mask), size, true, gfp);
	if (phys == LEND_POOL_NONE)
		return NULL;
	memset(phys_to_virt(phys), 0, size);
	*addr = phys;
	return phys_to_virt(phys);
}

/* Any context, if @gfp does not allow to block. @size is in whole pages. */
static void *lend_coherent_get(struct borrowed_device *b, u64 mask, size_t size, dma_addr_t *addr,
			       gfp_t gfp, unsigned long attrs)
{
	void *cpu;

	gfp &= ~(__GFP_DMA | __GFP_DMA32 | __GFP_HIGHMEM | __GFP_COMP);
	cpu = lend_coherent_from_pages(b, mask, size, addr, gfp, attrs);
	if (!cpu && b->link->pool)
		cpu = lend_coherent_from_pool(b, mask, size, addr, gfp);
	if (!cpu && b->link->windows.translated && gfpflags_allow_blocking(gfp) &&
	    !(attrs & DMA_ATTR_FORCE_CONTIGUOUS)) {
		/* The IOMMU makes one block of many small ones, of single pages, too. */
		cpu = dma_alloc_attrs(lend_dma_ntb(b), size, addr, gfp, attrs);
		if (cpu && !lend_views_show(&b->views, mask, *addr, size)) {
			dma_free_attrs(lend_dma_ntb(b), size, cpu, *addr, attrs);
			cpu = NULL;
		}
	}
	return cpu;
}

/* Process context if it came from dma_alloc_attrs(), else any. */
static void lend_coherent_put(struct borrowed_device *b, size_t size, void *cpu, dma_addr_t addr,
			      unsigned long attrs)
{
	struct lend_pool *pool = b->link->pool;

	if (is_vmalloc_addr(cpu)) {
		dma_free_attrs(lend_dma_ntb(b), size, cpu, addr, attrs);
	} else if (pool && lend_pool_owns(pool, addr)) {
		lend_pool_give(pool, addr, size);
	} else {
		if (!b->link->windows.plain)
			dma_unmap_page_attrs(lend_dma_ntb(b), addr, size, DMA_BIDIRECTIONAL,
					     attrs | DMA_ATTR_SKIP_CPU_SYNC);
		free_pages_exact(cpu, size);
	}
}

/* Any context, if @gfp does not allow to block. */
static void *lend_coherent_alloc(struct device *dev, size_t size, dma_addr_t *handle, gfp_t gfp,
				 enum dma_data_direction dir, unsigned long attrs)
{
	struct borrowed_device *b = lend_dma_of(dev);
	u64 mask = dev->coherent_dma_mask;
	size_t whole = PAGE_ALIGN(size);
	void *cpu;

	if (!lend_dma_enter(b))
		return NULL;
	cpu = lend_coherent_get(b, mask, whole, handle, gfp, attrs);
	if (!cpu) {
		lend_dma_refuse(b, dev, size, lend_dma_windows(b, mask) ?
				"no coherent memory that the window shows" :
				"the device's mask does not reach the window");
		return NULL;
	}
	*handle = lend_mapped(b, *handle, size, dir);
	return cpu;
}

static void lend_coherent_free(struct device *dev, size_t size, void *cpu, dma_addr_t handle,
			       enum dma_data_direction dir, unsigned long attrs)
{
	struct borrowed_device *b = lend_dma_of(dev);

	lend_coherent_put(b, PAGE_ALIGN(size), cpu, lend_views_to_ours(&b->views, handle), attrs);
	lend_unmapped(b, handle, size, dir);
}

/* As alloc of &struct dma_map_ops: dma_map_ops.alloc. */
static void *lend_alloc(struct device *dev, size_t size, dma_addr_t *handle, gfp_t gfp,
			unsigned long attrs)
{
	return lend_coherent_alloc(dev, size, handle, gfp, DMA_BIDIRECTIONAL, attrs);
}

/* As free of &struct dma_map_ops: dma_map_ops.free. */
static void lend_free(struct device *dev, size_t size, void *cpu, dma_addr_t handle,
		      unsigned long attrs)
{
	lend_coherent_free(dev, size, cpu, handle, DMA_BIDIRECTIONAL, attrs);
}

/* As alloc_pages of &struct dma_map_ops: dma_map_ops.alloc_pages. */
static struct page *lend_alloc_pages(struct device *dev, size_t size, dma_addr_t *handle,
				     enum dma_data_direction dir, gfp_t gfp)
{
	void *cpu = lend_coherent_alloc(dev, size, handle, gfp, dir, DMA_ATTR_FORCE_CONTIGUOUS);

	return cpu ? virt_to_page(cpu) : NULL;
}

/* As free_pages of &struct dma_map_ops: dma_map_ops.free_pages. */
static void lend_free_pages(struct device *dev, size_t size, struct page *page, dma_addr_t handle,
			    enum dma_data_direction dir)
{
	lend_coherent_free(dev, size, page_address(page), handle, dir,
			   DMA_ATTR_FORCE_CONTIGUOUS);
}

static struct page *lend_coherent_page(void *cpu)
{
	return is_vmalloc_addr(cpu) ? vmalloc_to_page(cpu) : virt_to_page(cpu);
}

/* Process context. The caller frees the array. */
static struct page **lend_coherent_pages(void *cpu, size_t size, unsigned int *count)
{
	struct page **pages;
	unsigned int i;

	*count = PAGE_ALIGN(size) >> PAGE_SHIFT;
	pages = kvmalloc_array(*count, sizeof(*pages), GFP_KERNEL);
	if (!pages)
		return NULL;
	for (i = 0; i < *count; i++)
		pages[i] = lend_coherent_page(cpu + i * PAGE_SIZE);
	return pages;
}

/* dma_map_ops.mmap. Process context, the lock of the process's mappings held. */
static int lend_mmap(struct device *dev, struct vm_area_struct *vma, void *cpu, dma_addr_t handle,
		     size_t size, unsigned long attrs)
{
	struct page **pages;
	unsigned int count;
	int ret;

	pages = lend_coherent_pages(cpu, size, &count);
	if (!pages)
		return -ENOMEM;
	ret = vm_map_pages(vma, pages, count);
	kvfree(pages);
	return ret;
}

/* As get_sgtable of &struct dma_map_ops: dma_map_ops.get_sgtable. */
static int lend_get_sgtable(struct device *dev, struct sg_table *sgt, void *cpu, dma_addr_t handle,
			    size_t size, unsigned long attrs)
{
	struct page **pages;
	unsigned int count;
	int ret;

	pages = lend_coherent_pages(cpu, size, &count);
	if (!pages)
		return -ENOMEM;
	ret = sg_alloc_table_from_pages(sgt, pages, count, 0, PAGE_ALIGN(size), GFP_KERNEL);
	kvfree(pages);
	return ret;
}

LEND_DEFINE_DMA_MAP_OPS(lend, lend_map_phys, lend_unmap_phys, lend_map_resource,
			lend_unmap_resource)
LEND_DEFINE_DMA_MAP_OPS(lend_plain, lend_plain_map, lend_plain_unmap, lend_map_resource,
			lend_unmap_resource)

/* What is the same however memory is mapped. */
#define LEND_DMA_COMMON_OPS \
	.alloc = lend_alloc, \
	.free = lend_free, \
	LEND_DMA_ALLOC_PAGES_OPS(lend_alloc_pages), \
	.free_pages = lend_free_pages, \
	.mmap = lend_mmap, \
	.get_sgtable = lend_get_sgtable, \
	.dma_supported = lend_dma_supported, \
	.get_required_mask = lend_get_required_mask, \
	.max_mapping_size = lend_max_mapping_size

static const struct dma_map_ops lend_dma_ops = {
	LEND_DMA_COMMON_OPS,
	LEND_DMA_MAP_OPS(lend),
	.map_sg = lend_map_sg,
	.unmap_sg = lend_unmap_sg,
	.sync_single_for_cpu = lend_sync_for_cpu,
	.sync_single_for_device = lend_sync_for_device,
	.sync_sg_for_cpu = lend_sync_sg_for_cpu,
	.sync_sg_for_device = lend_sync_sg_for_device,
};

/* The same without what there is nothing of: see dma_plain.c. Nothing is kept in step. */
static const struct dma_map_ops lend_plain_dma_ops = {
	LEND_DMA_COMMON_OPS,
	LEND_DMA_MAP_OPS(lend_plain),
	.map_sg = lend_plain_map_sg,
	.unmap_sg = lend_plain_unmap_sg,
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
	set_dma_ops(&pdev->dev, lend_plain_fits(lend_borrowed_of(pdev)) ? &lend_plain_dma_ops :
								   &lend_dma_ops);
}

/**
 * lend_dma_init() - prepare a borrowed device's mappings
 * @b: the borrowed device
 *
 * Context: process.
 * Return: 0 or a negative errno.
 */
int lend_dma_init(struct borrowed_device *b)
{
	b->dma_stats = alloc_percpu(struct lend_dma_stats);
	return b->dma_stats ? 0 : -ENOMEM;
}

/**
 * lend_dma_reserve() - have the pool keep something for a device
 * @b: the borrowed device, opened
 *
 * Context: process.
 * Return: 0; -ENOMEM no memory that a window shows could be had.
 */
int lend_dma_reserve(struct borrowed_device *b)
{
	struct lend_pool *pool = b->link->pool;
	int ret = pool ? lend_pool_use(pool, lend_dma_windows(b, U64_MAX)) : 0;

	b->pool_used = pool && !ret;
	return ret;
}

/* Any context. Mappings made and not ended. */
static u64 lend_dma_alive(struct borrowed_device *b)
{
	struct lend_dma_stats s;

	lend_dma_stats_sum(b, &s);
	return s.maps - s.unmaps;
}

/**
 * lend_dma_drain() - refuse new mappings and wait for the end of all
 * @b: the borrowed device; its driver is gone, and nobody else maps anything
 *
 * Context: process.
 * Return: false when mappings are left after the time limit.
 */
bool lend_dma_drain(struct borrowed_device *b)
{
	unsigned long end = jiffies + LEND_DRAIN_TIMEOUT;

	WRITE_ONCE(b->dma_over, true);
	while (lend_dma_alive(b)) {
		if (time_after(jiffies, end))
			return false;
		msleep(LEND_DRAIN_EVERY);
	}
	return true;
}

/**
 * lend_dma_exit() - free what lend_dma_init() made
 * @b: the borrowed device, without mappings
 *
 * Context: process.
 */
void lend_dma_exit(struct borrowed_device *b)
{
	if (!b->dma_stats)
		return;
	if (b->pool_used)
		lend_pool_unuse(b->link->pool);
	free_percpu(b->dma_stats);
	b->dma_stats = NULL;
}
