// SPDX-License-Identifier: GPL-2.0-only
/*
 * Free windows: those that are neither for DMA nor for BARs show a host without
 * IOMMU more of its memory to borrowed devices than the DMA window does.
 */

#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/nodemask.h>

#include "chunk.h"
#include "link.h"
#include "pool.h"
#include "window.h"

/* First address beyond all memory. */
static u64 lend_memory_end(void)
{
	unsigned long end = 0;
	int node;

	for_each_online_node(node)
		end = max(end, node_end_pfn(node));
	return PFN_PHYS((u64)end);
}

/* Process context. In steps of what the pool takes, so that none of it is missed. */
static u64 lend_memory_from(u64 from)
{
	u64 addr, end = lend_memory_end();

	for (addr = from; addr < end; addr = round_down(addr, LEND_CHUNK_SIZE) + LEND_CHUNK_SIZE) {
		if (pfn_to_online_page(PHYS_PFN(addr)))
			return addr;
		cond_resched();
	}
	return U64_MAX;
}

/* Largest first: aligned to their sizes they leave no gaps then. -1: none is left. */
static int lend_window_next_free(const struct lend_link *link, unsigned long done)
{
	int i, best = -1;

	for (i = 0; i < link->nwin; i++) {
		if (!link->win[i].size || !lend_window_is_free(link, i) || test_bit(i, &done))
			continue;
		if (best < 0 || link->win[i].size > link->win[best].size)
			best = i;
	}
	return best;
}

/*
 * Process context, @link->lease_lock held. The choice is made once: chunks of
 * the pool lie where it says.
 */
static bool lend_window_choose(struct lend_link *link, int i, u64 from)
{
	struct lend_region region;
	u64 align, size;

	if (link->pool->region[i].size)
		return true;
	if (lend_window_get_align(link, i, &align, &size))
		return false;
	link->win[i].inbound_max = size;
	/* A smaller one has no chunk in it, and is one more place to look for the others. */
	if (size < LEND_CHUNK_SIZE ||
	    !lend_region_choose(&region, from, align, size, link->dma_mask, lend_memory_from))
		return false;
	lend_pool_add_region(link->pool, i, &region);
	return true;
}

/**
 * lend_windows_open_free() - show memory that the DMA window does not
 * @link: the link, physically up, its DMA window open
 *
 * Addresses have to be memory's own: only then is it known what such a window
 * shows. A window that stays closed is no error.
 *
 * Context: process; caller holds @link->lease_lock. May sleep: some bridges take
 * a translation as a command.
 */
void lend_windows_open_free(struct lend_link *link)
{
	u64 from = link->win[link->dma_win].inbound_size;
	const struct lend_region *region;
	unsigned long done = 0;
	int i, ret;

	if (!link->pool)
		return;
	lend_pool_add_region(link->pool, link->dma_win, &(struct lend_region) {
		.first = 0, .size = from,
	});
	if (!link->plain)
		return;
	while ((i = lend_window_next_free(link, done)) >= 0) {
		__set_bit(i, &done);
		if (!lend_window_choose(link, i, from))
			continue;
		region = &link->pool->region[i];
		/* Also where the bridge refuses: the next time it might not. */
		from = max(from, region->first + region->size);
		ret = lend_window_set(link, i, region->first, region->size);
		if (ret)
			dev_warn(&link->ntb->dev,
				 "window %d cannot show the memory at 0x%llx: error %d\n",
				 i, region->first, ret);
		else
			dev_info(&link->ntb->dev, "window %d shows the memory at 0x%llx-0x%llx\n",
				 i, region->first, region->first + region->size - 1);
	}
}
