// SPDX-License-Identifier: GPL-2.0-only
/*
 * Coherent memory of borrowed devices. It is made of single pages, so that
 * what a process has still mapped when the device goes lives on until its
 * last mapping goes, and is freed then: the page's own count sees to that.
 */

#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "dma.h"
#include "pool.h"

/* Any context. Memory that is one block, wherever it is. */
static dma_addr_t lend_coherent_map(struct lend_borrowed *b, u64 mask, void *cpu, size_t size,
				    unsigned long attrs)
{
	struct device *ntb = lend_dma_ntb(b);
	phys_addr_t phys = virt_to_phys(cpu);
	dma_addr_t addr;

	if (b->link->plain)
		return phys;
	addr = dma_map_page_attrs(ntb, virt_to_page(cpu), 0, size, DMA_BIDIRECTIONAL,
				  attrs | DMA_ATTR_SKIP_CPU_SYNC);
	if (dma_mapping_error(ntb, addr))
		return DMA_MAPPING_ERROR;
	/* A copy that the core has made would not be coherent. */
	if (lend_views_show(&b->views, mask, addr, size) && (b->link->translated || addr == phys))
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
static void *lend_coherent_from_pages(struct lend_borrowed *b, u64 mask, size_t size,
				      dma_addr_t *addr, gfp_t gfp, unsigned long attrs)
{
	void *cpu;

	cpu = lend_get_pages(dev_to_node(lend_dma_ntb(b)), size,
			     gfp | __GFP_ZERO | __GFP_NOWARN);
	if (!cpu)
		return NULL;
	if (b->link->translated || lend_views_show(&b->views, mask, virt_to_phys(cpu), size)) {
		*addr = lend_coherent_map(b, mask, cpu, size, attrs);
		if (*addr != DMA_MAPPING_ERROR)
			return cpu;
	}
	free_pages_exact(cpu, size);
	return NULL;
}

/* Any context, if @gfp does not allow to block. */
static void *lend_coherent_from_pool(struct lend_borrowed *b, u64 mask, size_t size,
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
static void *lend_coherent_get(struct lend_borrowed *b, u64 mask, size_t size, dma_addr_t *addr,
			       gfp_t gfp, unsigned long attrs)
{
	void *cpu;

	gfp &= ~(__GFP_DMA | __GFP_DMA32 | __GFP_HIGHMEM | __GFP_COMP);
	cpu = lend_coherent_from_pages(b, mask, size, addr, gfp, attrs);
	if (!cpu && b->link->pool)
		cpu = lend_coherent_from_pool(b, mask, size, addr, gfp);
	if (!cpu && b->link->translated && gfpflags_allow_blocking(gfp) &&
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
static void lend_coherent_put(struct lend_borrowed *b, size_t size, void *cpu, dma_addr_t addr,
			      unsigned long attrs)
{
	struct lend_pool *pool = b->link->pool;

	if (is_vmalloc_addr(cpu)) {
		dma_free_attrs(lend_dma_ntb(b), size, cpu, addr, attrs);
	} else if (pool && lend_pool_owns(pool, addr)) {
		lend_pool_give(pool, addr, size);
	} else {
		if (!b->link->plain)
			dma_unmap_page_attrs(lend_dma_ntb(b), addr, size, DMA_BIDIRECTIONAL,
					     attrs | DMA_ATTR_SKIP_CPU_SYNC);
		free_pages_exact(cpu, size);
	}
}

/* Any context, if @gfp does not allow to block. */
static void *lend_coherent_alloc(struct device *dev, size_t size, dma_addr_t *handle, gfp_t gfp,
				 enum dma_data_direction dir, unsigned long attrs)
{
	struct lend_borrowed *b = lend_dma_of(dev);
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
	*handle = lend_dma_made(b, *handle, size, dir);
	return cpu;
}

static void lend_coherent_free(struct device *dev, size_t size, void *cpu, dma_addr_t handle,
			       enum dma_data_direction dir, unsigned long attrs)
{
	struct lend_borrowed *b = lend_dma_of(dev);

	lend_coherent_put(b, PAGE_ALIGN(size), cpu, lend_views_to_ours(&b->views, handle), attrs);
	lend_dma_ended(b, handle, size, dir);
}

/**
 * lend_alloc() - dma_map_ops.alloc
 * @dev: the borrowed device
 * @size: octets
 * @handle: result: what to tell the device
 * @gfp: how to allocate
 * @attrs: DMA_ATTR_*
 *
 * Context: any, if @gfp does not allow to block.
 * Return: zeroed memory, or NULL.
 */
void *lend_alloc(struct device *dev, size_t size, dma_addr_t *handle, gfp_t gfp,
		 unsigned long attrs)
{
	return lend_coherent_alloc(dev, size, handle, gfp, DMA_BIDIRECTIONAL, attrs);
}

/**
 * lend_free() - dma_map_ops.free
 * @dev: the borrowed device
 * @size: as it was allocated
 * @cpu: what lend_alloc() has returned
 * @handle: what it has given
 * @attrs: as it was allocated
 *
 * Context: process, or any if it was allocated without blocking.
 */
void lend_free(struct device *dev, size_t size, void *cpu, dma_addr_t handle,
	       unsigned long attrs)
{
	lend_coherent_free(dev, size, cpu, handle, DMA_BIDIRECTIONAL, attrs);
}

/**
 * lend_alloc_pages() - dma_map_ops.alloc_pages
 * @dev: the borrowed device
 * @size: octets
 * @handle: result: what to tell the device
 * @dir: who writes to it
 * @gfp: how to allocate
 *
 * Context: any, if @gfp does not allow to block.
 * Return: the first page, or NULL.
 */
struct page *lend_alloc_pages(struct device *dev, size_t size, dma_addr_t *handle,
			      enum dma_data_direction dir, gfp_t gfp)
{
	void *cpu = lend_coherent_alloc(dev, size, handle, gfp, dir, DMA_ATTR_FORCE_CONTIGUOUS);

	return cpu ? virt_to_page(cpu) : NULL;
}

/**
 * lend_free_pages() - dma_map_ops.free_pages
 * @dev: the borrowed device
 * @size: as it was allocated
 * @page: what lend_alloc_pages() has returned
 * @handle: what it has given
 * @dir: as it was allocated
 *
 * Context: any.
 */
void lend_free_pages(struct device *dev, size_t size, struct page *page, dma_addr_t handle,
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

/**
 * lend_mmap() - dma_map_ops.mmap
 * @dev: the borrowed device
 * @vma: where; each page of it holds a reference of its own
 * @cpu: what lend_alloc() has returned
 * @handle: what it has given
 * @size: as it was allocated
 * @attrs: as it was allocated
 *
 * Context: process; the mm's lock is held for writing.
 * Return: 0; -ENXIO @vma goes beyond the memory; or what mapping says.
 */
int lend_mmap(struct device *dev, struct vm_area_struct *vma, void *cpu, dma_addr_t handle,
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

/**
 * lend_get_sgtable() - dma_map_ops.get_sgtable
 * @dev: the borrowed device
 * @sgt: result
 * @cpu: what lend_alloc() has returned
 * @handle: what it has given
 * @size: as it was allocated
 * @attrs: as it was allocated
 *
 * Context: process.
 * Return: 0 or -ENOMEM.
 */
int lend_get_sgtable(struct device *dev, struct sg_table *sgt, void *cpu, dma_addr_t handle,
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
