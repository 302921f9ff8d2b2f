// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bounce pool of a link whose DMA window does not show all memory, on a host
 * without IOMMU. It is made of chunks in the regions that windows show, grows
 * when little is left, and gives idle chunks back. At the end: the copies that are
 * made in it of memory that no window shows.
 *
 * Used by ntb_client.c and link.c for its life, by dma.c and by borrower.c. Locks:
 * lend_pool.lock to grow and shrink, in process context; lend_chunk.lock, innermost,
 * in any.
 */

#include <linux/dma-mapping.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "chunk.h"
#include "compat.h"
#include "pool.h"

static unsigned int bounce_max_mib = 128;
module_param(bounce_max_mib, uint, 0644);
MODULE_PARM_DESC(bounce_max_mib,
		 "Most memory of a link's bounce pool, in MiB (default 128)");

/* Chunks that each borrowed device keeps in the pool. */
#define LEND_POOL_RESERVE	2
#define LEND_POOL_IDLE		(10 * HZ)

/* Larger ones would seldom find a place in a fragmented pool. */
#define LEND_BOUNCE_MAX	SZ_256K

/* How far a CPU's count may be from what is shared, in octets. */
#define LEND_BOUNCE_BATCH	SZ_1M

static unsigned int lend_pool_max(const struct lend_pool *pool)
{
	u64 size = 0;
	int i;

	for (i = 0; i < LEND_WINDOWS_MAX; i++)
		size += pool->region[i].size;
	return min((u64)READ_ONCE(bounce_max_mib) << 20, size) >> LEND_CHUNK_SHIFT;
}

static bool lend_pool_is_low(struct lend_pool *pool, unsigned int set)
{
	s64 total = (s64)lend_chunks_count(&pool->chunks, set) * LEND_CHUNK_PAGES;

	return lend_chunks_used(&pool->chunks, set) >= total - total / 4;
}

/**
 * lend_pool_expect() - see to it that something is left
 * @pool: the pool
 * @set: bits of the windows that will do; not none
 *
 * Context: any.
 */
void lend_pool_expect(struct lend_pool *pool, unsigned int set)
{
	if (!lend_pool_is_low(pool, set))
		return;
	set_bit(set, &pool->low);
	queue_work(system_unbound_wq, &pool->grow_work);
}

/* Any context. However much is free, a block has found no place in it. */
static void lend_pool_is_short(struct lend_pool *pool, unsigned int set)
{
	atomic64_inc(&pool->exhausted);
	set_bit(set, &pool->fragmented);
	queue_work(system_unbound_wq, &pool->grow_work);
}

/**
 * lend_pool_owns() - has this page been taken from the pool
 * @pool: the pool
 * @phys: an address of memory that is held
 *
 * Context: any.
 */
bool lend_pool_owns(struct lend_pool *pool, phys_addr_t phys)
{
	struct lend_chunk *chunk;
	bool owns;

	rcu_read_lock();
	chunk = lend_chunks_find(&pool->chunks, phys);
	owns = chunk && !test_bit(PHYS_PFN(phys - chunk->phys), chunk->gone);
	rcu_read_unlock();
	return owns;
}

static bool lend_pool_is_below_4g(const struct lend_pool *pool, unsigned int set)
{
	u64 end = 0;
	int i;

	for (i = 0; i < LEND_WINDOWS_MAX; i++)
		if (set & BIT(i))
			end = max(end, pool->region[i].first + pool->region[i].size);
	return end <= DMA_BIT_MASK(32) + 1;
}

/* Process context. Single pages, LEND_CHUNK_PAGES of them; 0 is no memory of ours. */
static phys_addr_t lend_pool_get_free_block(struct lend_pool *pool, unsigned int set)
{
	gfp_t gfp = GFP_KERNEL | __GFP_NOWARN | __GFP_NORETRY;
	unsigned int order = get_order(LEND_CHUNK_SIZE);
	struct page *page;

	if (lend_pool_is_below_4g(pool, set))
		gfp |= GFP_DMA32;
	page = alloc_pages(gfp, order);
	if (!page)
		return 0;
	if (lend_region_of(pool->region, set, page_to_phys(page), LEND_CHUNK_SIZE) < 0) {
		__free_pages(page, order);
		return 0;
	}
	split_page(page, order);
	return page_to_phys(page);
}

/* Process context, pool lock held. As above, moving away what can be moved. */
static phys_addr_t lend_pool_get_contig(struct lend_pool *pool, unsigned int window)
{
	const struct lend_region *region = &pool->region[window];
	unsigned long tries = region->size >> LEND_CHUNK_SHIFT;
	/* Memory at 0 would be taken for none. */
	phys_addr_t start = max_t(u64, round_up(region->first, LEND_CHUNK_SIZE), LEND_CHUNK_SIZE);
	phys_addr_t phys = pool->cursor[window];
	unsigned long pfn;

	if (!lend_region_holds(region, start, LEND_CHUNK_SIZE))
		return 0;
	for (; tries; tries--) {
		phys += LEND_CHUNK_SIZE;
		if (!lend_region_holds(region, phys, LEND_CHUNK_SIZE))
			phys = start;
		pfn = PHYS_PFN(phys);
		if (!pfn_to_online_page(pfn) ||
		    !pfn_to_online_page(pfn + LEND_CHUNK_PAGES - 1) ||
		    lend_chunks_find(&pool->chunks, phys))
			continue;
		if (!lend_alloc_contig_range(pfn, pfn + LEND_CHUNK_PAGES)) {
			pool->cursor[window] = phys;
			return phys;
		}
		cond_resched();
	}
	return 0;
}

static void lend_pool_free_memory(struct lend_chunk *chunk)
{
	struct page *page = pfn_to_page(PHYS_PFN(chunk->phys));
	unsigned int i;

	for (i = 0; i < LEND_CHUNK_PAGES; i++)
		if (!test_bit(i, chunk->gone))
			__free_page(page + i);
}

/* Process context, pool lock held. A chunk in one of the windows' regions. */
static int lend_pool_grow(struct lend_pool *pool, unsigned int set)
{
	struct lend_chunk *chunk;
	phys_addr_t phys;
	unsigned int i;
	int ret;

	if (atomic_read(&pool->chunks.count) >= lend_pool_max(pool))
		return -ENOSPC;
	chunk = kvzalloc(sizeof(*chunk), GFP_KERNEL);
	if (!chunk)
		return -ENOMEM;
	phys = lend_pool_get_free_block(pool, set);
	for (i = 0; i < LEND_WINDOWS_MAX && !phys; i++)
		if (set & BIT(i))
			phys = lend_pool_get_contig(pool, i);
	if (!phys) {
		kvfree(chunk);
		return -ENOMEM;
	}
	lend_chunk_init(chunk, phys, lend_region_of(pool->region, set, phys, LEND_CHUNK_SIZE));
	ret = lend_chunks_add(&pool->chunks, chunk);
	if (ret) {
		lend_pool_free_memory(chunk);
		kvfree(chunk);
	}
	return ret;
}

/* Process context, pool lock held; the chunk is closed. */
static void lend_pool_drop(struct lend_pool *pool, struct lend_chunk *chunk)
{
	lend_chunks_drop(&pool->chunks, chunk);
	lend_pool_free_memory(chunk);
	kvfree_rcu(chunk, rcu);
}

/* Work item; takes the pool's lock. */
static void lend_pool_grow_work(struct work_struct *work)
{
	struct lend_pool *pool = container_of(work, struct lend_pool, grow_work);
	unsigned int set;

	mutex_lock(&pool->lock);
	for (set = 1; set < BIT(LEND_WINDOWS_MAX); set++) {
		if (test_and_clear_bit(set, &pool->fragmented))
			lend_pool_grow(pool, set);
		if (!test_and_clear_bit(set, &pool->low))
			continue;
		while (lend_pool_is_low(pool, set) && !lend_pool_grow(pool, set))
			cond_resched();
	}
	mutex_unlock(&pool->lock);
}

/* Work item; takes the pool's lock. */
static void lend_pool_shrink_work(struct work_struct *work)
{
	struct lend_pool *pool = container_of(to_delayed_work(work), struct lend_pool,
					      shrink_work);
	struct lend_chunk *chunk;
	unsigned long index;

	mutex_lock(&pool->lock);
	xa_for_each(&pool->chunks.chunks, index, chunk) {
		s64 left = ((s64)lend_chunks_count(&pool->chunks, BIT(chunk->window)) - 1) *
			   LEND_CHUNK_PAGES;

		if (atomic_read(&pool->chunks.count) <= pool->wanted)
			break;
		/* The last one may be all that a device with few address bits reaches. */
		if (lend_chunks_used(&pool->chunks, BIT(chunk->window)) > left / 2 ||
		    (!left && pool->wanted))
			continue;
		if (lend_chunk_close(chunk))
			lend_pool_drop(pool, chunk);
	}
	mutex_unlock(&pool->lock);
}

/**
 * lend_pool_take() - take memory that a window shows
 * @pool: the pool
 * @set: bits of the windows that will do
 * @size: octets; at most LEND_CHUNK_SIZE
 * @aligned: naturally aligned, as coherent memory is
 * @gfp: whether the pool may grow now
 *
 * Context: any, if @gfp does not allow to block.
 * Return: physical address of whole pages, or LEND_POOL_NONE.
 */
phys_addr_t lend_pool_take(struct lend_pool *pool, unsigned int set, size_t size, bool aligned,
			   gfp_t gfp)
{
	unsigned int pages = PAGE_ALIGN(size) >> PAGE_SHIFT;
	unsigned int align = aligned ? roundup_pow_of_two(pages) : 1;
	phys_addr_t phys;

	if (!set || !pages || pages > LEND_CHUNK_PAGES)
		return LEND_POOL_NONE;
	phys = lend_chunks_take(&pool->chunks, set, pages, align);
	if (phys == LEND_POOL_NONE && gfpflags_allow_blocking(gfp)) {
		mutex_lock(&pool->lock);
		if (!lend_pool_grow(pool, set))
			phys = lend_chunks_take(&pool->chunks, set, pages, align);
		mutex_unlock(&pool->lock);
	}
	if (phys == LEND_POOL_NONE)
		lend_pool_is_short(pool, set);
	lend_pool_expect(pool, set);
	return phys;
}

/**
 * lend_pool_give() - give memory back
 * @pool: the pool
 * @phys: what lend_pool_take() gave
 * @size: as it was given there
 *
 * Pages that a process has still mapped are forgotten: they live until their
 * last mapping goes.
 *
 * Context: any.
 */
void lend_pool_give(struct lend_pool *pool, phys_addr_t phys, size_t size)
{
	struct lend_chunk *chunk = lend_chunks_find(&pool->chunks, phys);
	unsigned int first = PHYS_PFN(phys - chunk->phys);
	unsigned int i, pages = PAGE_ALIGN(size) >> PAGE_SHIFT;
	struct page *page = pfn_to_page(PHYS_PFN(phys));

	for (i = 0; i < pages; i++) {
		if (page_ref_count(page + i) == 1)
			continue;
		lend_chunk_forget(chunk, first + i);
		__free_page(page + i);
	}
	lend_chunks_give(&pool->chunks, chunk, first, pages);
	if (atomic_read(&pool->chunks.count) > READ_ONCE(pool->wanted))
		queue_delayed_work(system_unbound_wq, &pool->shrink_work, LEND_POOL_IDLE);
}

/**
 * lend_pool_use() - a borrowed device begins to use the pool
 * @pool: the pool
 * @set: bits of the windows that it sees
 *
 * Context: process; takes the pool's lock.
 * Return: 0; -ENOMEM no memory that a window shows could be had.
 */
int lend_pool_use(struct lend_pool *pool, unsigned int set)
{
	int ret = 0;

	mutex_lock(&pool->lock);
	WRITE_ONCE(pool->wanted, pool->wanted + LEND_POOL_RESERVE);
	while (!ret && (atomic_read(&pool->chunks.count) < pool->wanted ||
			!lend_chunks_count(&pool->chunks, set)))
		ret = lend_pool_grow(pool, set);
	/* Fewer chunks will do, none will not. */
	if (lend_chunks_count(&pool->chunks, set))
		ret = 0;
	else
		WRITE_ONCE(pool->wanted, pool->wanted - LEND_POOL_RESERVE);
	mutex_unlock(&pool->lock);
	return ret;
}

/**
 * lend_pool_unuse() - a borrowed device that has used the pool is gone
 * @pool: the pool
 *
 * Context: process; takes the pool's lock.
 */
void lend_pool_unuse(struct lend_pool *pool)
{
	mutex_lock(&pool->lock);
	WRITE_ONCE(pool->wanted, pool->wanted - LEND_POOL_RESERVE);
	mutex_unlock(&pool->lock);
	queue_delayed_work(system_unbound_wq, &pool->shrink_work, LEND_POOL_IDLE);
}

/**
 * lend_pool_space() - what is left
 * @pool: the pool
 * @space: result
 *
 * Context: any.
 */
void lend_pool_space(struct lend_pool *pool, struct lend_pool_space *space)
{
	struct lend_chunk *chunk;
	unsigned long index;

	memset(space, 0, sizeof(*space));
	rcu_read_lock();
	xa_for_each(&pool->chunks.chunks, index, chunk) {
		space->size += LEND_CHUNK_SIZE;
		space->free += (u64)READ_ONCE(chunk->free) << PAGE_SHIFT;
		space->largest = max(space->largest,
				     (u64)lend_chunk_largest(chunk) << PAGE_SHIFT);
	}
	rcu_read_unlock();
}

/**
 * lend_pool_add_region() - say what a window shows when it is open
 * @pool: the pool
 * @window: index of the window
 * @region: its region; changes nothing where there is one already
 *
 * Context: process; takes the pool's lock.
 */
void lend_pool_add_region(struct lend_pool *pool, int window, const struct lend_region *region)
{
	mutex_lock(&pool->lock);
	if (!pool->region[window].size)
		pool->region[window] = *region;
	mutex_unlock(&pool->lock);
}

/* Process context. A pool without chunks, perhaps half made. */
static void lend_pool_free(struct lend_pool *pool)
{
	percpu_counter_destroy(&pool->bounced);
	lend_chunks_exit(&pool->chunks);
	kfree(pool);
}

/**
 * lend_pool_create() - a pool without chunks, in no region
 *
 * Context: process.
 * Return: the pool, or NULL.
 */
struct lend_pool *lend_pool_create(void)
{
	struct lend_pool *pool = kzalloc(sizeof(*pool), GFP_KERNEL);

	if (!pool)
		return NULL;
	if (lend_chunks_init(&pool->chunks) ||
	    percpu_counter_init(&pool->bounced, 0, GFP_KERNEL)) {
		lend_pool_free(pool);
		return NULL;
	}
	mutex_init(&pool->lock);
	INIT_WORK(&pool->grow_work, lend_pool_grow_work);
	INIT_DELAYED_WORK(&pool->shrink_work, lend_pool_shrink_work);
	return pool;
}

/**
 * lend_pool_destroy() - free a pool
 * @pool: the pool, of which nothing is taken; or NULL
 *
 * Context: process.
 */
void lend_pool_destroy(struct lend_pool *pool)
{
	struct lend_chunk *chunk;
	unsigned long index;

	if (!pool)
		return;
	cancel_work_sync(&pool->grow_work);
	cancel_delayed_work_sync(&pool->shrink_work);
	mutex_lock(&pool->lock);
	xa_for_each(&pool->chunks.chunks, index, chunk)
		lend_pool_drop(pool, chunk);
	mutex_unlock(&pool->lock);
	mutex_destroy(&pool->lock);
	lend_pool_free(pool);
}

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
	percpu_counter_add_batch(&pool->bounced, size, LEND_BOUNCE_BATCH);
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
	chunk = lend_chunks_find(&pool->chunks, addr);
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
	struct lend_chunk *chunk = lend_chunks_find(&pool->chunks, addr);
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
	chunk = lend_chunks_find(&pool->chunks, addr);
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
	lend_bounce_copy(pool, lend_chunks_find(&pool->chunks, addr), addr, size, for_cpu);
}
