// SPDX-License-Identifier: GPL-2.0-only
/* Copies of memory that no window shows. */

#include <linux/dma-mapping.h>
#include <linux/mm.h>

#include "chunk.h"
#include "pool.h"

/* Larger ones would seldom find a place in a fragmented pool. */
#define LEND_BOUNCE_MAX	SZ_256K

/**
 * lend_bounce_max() - most octets of one mapping, wherever it begins in a page
 *
 * Context: any.
 */
size_t lend_bounce_max(void)
{
	return LEND_BOUNCE_MAX - PAGE_SIZE;
}

/* Copies between a mapping's octets, from @addr on, and what they stand for. */
static void lend_bounce_copy(struct lend_pool *pool, struct lend_chunk *chunk, phys_addr_t addr,
			     size_t size, bool for_cpu)
{
	phys_addr_t orig = chunk->orig[PHYS_PFN(addr - chunk->phys)] + offset_in_page(addr);

	if (for_cpu)
		memcpy(phys_to_virt(orig), phys_to_virt(addr), size);
	else
		memcpy(phys_to_virt(addr), phys_to_virt(orig), size);
	atomic64_add(size, &pool->bounced);
}

/**
 * lend_bounce_map() - make a copy that a window shows
 * @pool: the pool
 * @set: bits of the windows that will do
 * @orig: what it is a copy of: memory that the kernel has mapped
 * @size: octets
 * @attrs: DMA_ATTR_SKIP_CPU_SYNC is respected
 *
 * The offset in the page is kept, for devices that look at it. The copy is
 * filled also where the device will only write: what it does not write must
 * come back as it was.
 *
 * Context: any.
 * Return: address of the copy, or LEND_POOL_NONE.
 */
phys_addr_t lend_bounce_map(struct lend_pool *pool, unsigned int set, phys_addr_t orig,
			    size_t size, unsigned long attrs)
{
	size_t offset = offset_in_page(orig);
	unsigned int i, first, pages = PAGE_ALIGN(offset + size) >> PAGE_SHIFT;
	struct lend_chunk *chunk;
	phys_addr_t addr;

	if (size > lend_bounce_max())
		return LEND_POOL_NONE;
	addr = lend_pool_take(pool, set, offset + size, false, GFP_ATOMIC);
	if (addr == LEND_POOL_NONE)
		return addr;
	chunk = lend_pool_find(pool, addr);
	first = PHYS_PFN(addr - chunk->phys);
	for (i = 0; i < pages; i++)
		WRITE_ONCE(chunk->orig[first + i], orig - offset + PFN_PHYS(i));
	if (!(attrs & DMA_ATTR_SKIP_CPU_SYNC))
		lend_bounce_copy(pool, chunk, addr + offset, size, false);
	return addr + offset;
}

/**
 * lend_bounce_unmap() - end a copy
 * @pool: the pool
 * @addr: what lend_bounce_map() gave
 * @size: as it was given there
 * @dir: whether the device may have written to it
 * @attrs: DMA_ATTR_SKIP_CPU_SYNC is respected
 *
 * Context: any.
 */
void lend_bounce_unmap(struct lend_pool *pool, phys_addr_t addr, size_t size,
		       enum dma_data_direction dir, unsigned long attrs)
{
	struct lend_chunk *chunk = lend_pool_find(pool, addr);
	size_t offset = offset_in_page(addr);
	unsigned int i, first = PHYS_PFN(addr - chunk->phys);

	if (dir != DMA_TO_DEVICE && !(attrs & DMA_ATTR_SKIP_CPU_SYNC))
		lend_bounce_copy(pool, chunk, addr, size, true);
	for (i = 0; i < PAGE_ALIGN(offset + size) >> PAGE_SHIFT; i++)
		WRITE_ONCE(chunk->orig[first + i], 0);
	lend_pool_give(pool, addr - offset, offset + size);
}

/**
 * lend_is_bounced() - is this address one of a copy
 * @pool: the pool
 * @addr: an address that is mapped
 *
 * Context: any.
 */
bool lend_is_bounced(struct lend_pool *pool, phys_addr_t addr)
{
	struct lend_chunk *chunk;
	bool bounced = false;

	rcu_read_lock();
	chunk = lend_pool_find(pool, addr);
	if (chunk)
		bounced = READ_ONCE(chunk->orig[PHYS_PFN(addr - chunk->phys)]);
	rcu_read_unlock();
	return bounced;
}

/**
 * lend_bounce_sync() - copy a part of a mapping
 * @pool: the pool
 * @addr: in a mapping that lend_bounce_map() has made
 * @size: octets
 * @for_cpu: from the copy; else to it
 *
 * Context: any.
 */
void lend_bounce_sync(struct lend_pool *pool, phys_addr_t addr, size_t size, bool for_cpu)
{
	lend_bounce_copy(pool, lend_pool_find(pool, addr), addr, size, for_cpu);
}
