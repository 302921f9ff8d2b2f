// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bridge alone: a function that is used locally, by its own driver, but
 * whose DMA goes into a window, to memory of the other host. What that costs
 * is the bridge's part; no lending is involved.
 *
 * Octets are not what counts: all data goes to the same few pages, so the drive
 * must be one whose content nobody needs.
 */

#include <linux/dma-map-ops.h>
#include <linux/genalloc.h>
#include <linux/io.h>
#include <linux/scatterlist.h>

#include "bench.h"

/**
 * struct bench_redirection - where the DMA of one function goes
 * @dev: the function, with a reference; NULL: none
 * @queues: also what the driver allocates, not only what it maps
 * @divert: what the driver maps goes there; until then its own memory is used
 * @at: the window's part, for the processor
 * @bus: the same, for the function
 * @size: octets; the upper half is for data, the lower for allocations
 * @pool: allocations
 */
static struct bench_redirection {
	struct pci_dev *dev;
	bool queues;
	bool divert;
	void __iomem *at;
	u64 bus;
	u64 size;
	struct gen_pool *pool;
} bench_red;

/* Any context. Keeps the place in the page, and neighbours beside each other. */
static dma_addr_t bench_red_data(struct page *page, unsigned long offset, size_t size)
{
	u64 half = bench_red.size / 2, quarter = half / 2;

	if (!READ_ONCE(bench_red.divert))
		return page_to_phys(page) + offset;
	if (size > quarter)
		return DMA_MAPPING_ERROR;
	return bench_red.bus + half + ((page_to_phys(page) + offset) & (quarter - 1));
}

static dma_addr_t bench_red_map_page(struct device *dev, struct page *page, unsigned long offset,
				     size_t size, enum dma_data_direction dir, unsigned long attrs)
{
	return bench_red_data(page, offset, size);
}

static void bench_red_unmap_page(struct device *dev, dma_addr_t addr, size_t size,
				 enum dma_data_direction dir, unsigned long attrs)
{
}

static int bench_red_map_sg(struct device *dev, struct scatterlist *sgl, int nents,
			    enum dma_data_direction dir, unsigned long attrs)
{
	struct scatterlist *sg;
	int i;

	for_each_sg(sgl, sg, nents, i) {
		sg_dma_address(sg) = bench_red_data(sg_page(sg), sg->offset, sg->length);
		if (sg_dma_address(sg) == DMA_MAPPING_ERROR)
			return -EIO;
		sg_dma_len(sg) = sg->length;
	}
	return nents;
}

static void bench_red_unmap_sg(struct device *dev, struct scatterlist *sgl, int nents,
			       enum dma_data_direction dir, unsigned long attrs)
{
}

static void *bench_red_alloc(struct device *dev, size_t size, dma_addr_t *handle, gfp_t gfp,
			     unsigned long attrs)
{
	struct page *page;
	unsigned long at;

	size = PAGE_ALIGN(size);
	if (!bench_red.queues) {
		page = alloc_pages(gfp | __GFP_ZERO, get_order(size));
		if (!page)
			return NULL;
		*handle = page_to_phys(page);
		return page_address(page);
	}
	at = gen_pool_alloc(bench_red.pool, size);
	if (!at)
		return NULL;
	memset_io((void __iomem *)at, 0, size);
	*handle = bench_red.bus + (at - (unsigned long)bench_red.at);
	/* On x86 the processor may use a window like memory. */
	return (void *)at;
}

static void bench_red_free(struct device *dev, size_t size, void *cpu, dma_addr_t handle,
			   unsigned long attrs)
{
	size = PAGE_ALIGN(size);
	if (bench_red.queues)
		gen_pool_free(bench_red.pool, (unsigned long)cpu, size);
	else
		free_pages((unsigned long)cpu, get_order(size));
}

static int bench_red_supported(struct device *dev, u64 mask)
{
	return mask == DMA_BIT_MASK(64);
}

static const struct dma_map_ops bench_red_ops = {
	.alloc = bench_red_alloc,
	.free = bench_red_free,
	.map_page = bench_red_map_page,
	.unmap_page = bench_red_unmap_page,
	.map_sg = bench_red_map_sg,
	.unmap_sg = bench_red_unmap_sg,
	.dma_supported = bench_red_supported,
};

/* Process context; the caller serialises. */
static int bench_red_prepare(resource_size_t start)
{
	bench_red.at = ioremap(start, bench_red.size);
	if (!bench_red.at)
		return -ENOMEM;
	bench_red.pool = gen_pool_create(PAGE_SHIFT, NUMA_NO_NODE);
	if (!bench_red.pool)
		return -ENOMEM;
	return gen_pool_add(bench_red.pool, (unsigned long)bench_red.at, bench_red.size / 2,
			    NUMA_NO_NODE);
}

/**
 * bench_redirect() - prepare that a function's DMA goes into a window
 * @dev: the function; no driver is bound, no IOMMU translates for it
 * @ntb: the bridge's function
 * @bar: which BAR of it is the window
 * @offset: in the window, of the memory
 * @size: octets of it, a power of two
 * @queues: also what the driver allocates, not only what it maps
 *
 * Context: process; the caller serialises.
 * Return: 0; -EBUSY one is redirected already, or a driver is bound; -EINVAL; -ENOMEM.
 */
int bench_redirect(struct pci_dev *dev, struct pci_dev *ntb, u32 bar, u64 offset, u64 size,
		   bool queues)
{
	int ret;

	if (bench_red.dev || dev->dev.driver)
		return -EBUSY;
	if (get_dma_ops(&dev->dev) || bar >= PCI_STD_NUM_BARS ||
	    !(pci_resource_flags(ntb, bar) & IORESOURCE_MEM) || !is_power_of_2(size) ||
	    size < 16 * PAGE_SIZE || size > pci_resource_len(ntb, bar) ||
	    offset > pci_resource_len(ntb, bar) - size)
		return -EINVAL;
	bench_red.queues = queues;
	bench_red.divert = false;
	bench_red.size = size;
	bench_red.bus = pci_bus_address(ntb, bar) + offset;
	ret = bench_red_prepare(pci_resource_start(ntb, bar) + offset);
	bench_red.dev = pci_dev_get(dev);
	if (ret) {
		bench_restore();
		return ret;
	}
	set_dma_ops(&dev->dev, &bench_red_ops);
	return 0;
}

/**
 * bench_divert() - from now on let data go into the window, too
 *
 * What a driver reads of its device while it starts it has to see; from then on
 * it gets nothing of what it reads.
 *
 * Context: any.
 * Return: 0; -ENODEV no function is redirected.
 */
int bench_divert(void)
{
	if (!bench_red.dev)
		return -ENODEV;
	WRITE_ONCE(bench_red.divert, true);
	return 0;
}

/**
 * bench_restore() - end what bench_redirect() began
 *
 * Context: process; the caller serialises.
 * Return: 0; -EBUSY a driver is bound.
 */
int bench_restore(void)
{
	if (!bench_red.dev)
		return 0;
	if (bench_red.dev->dev.driver)
		return -EBUSY;
	set_dma_ops(&bench_red.dev->dev, NULL);
	pci_dev_put(bench_red.dev);
	bench_red.dev = NULL;
	if (bench_red.pool)
		gen_pool_destroy(bench_red.pool);
	bench_red.pool = NULL;
	if (bench_red.at)
		iounmap(bench_red.at);
	bench_red.at = NULL;
	return 0;
}
