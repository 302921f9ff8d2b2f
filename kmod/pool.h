/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory that the window shows, for what lies outside of it. */
#ifndef LEND_POOL_H
#define LEND_POOL_H

#include <linux/atomic.h>
#include <linux/dma-direction.h>
#include <linux/mutex.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#define LEND_POOL_NONE	(~(phys_addr_t)0)

/**
 * struct lend_pool - the bounce pool of a link
 * @limit: first address that the window does not show
 * @chunks: by address >> LEND_CHUNK_SHIFT; looked up under RCU
 * @count: chunks there are
 * @wanted: chunks that are kept though idle
 * @used: pages taken
 * @bounced: octets copied, both ways
 * @exhausted: requests that found no place
 * @lock: serialises growing and shrinking
 * @cursor: where the next chunk is looked for
 * @grow_work: makes one chunk more
 * @shrink_work: gives idle chunks back
 */
struct lend_pool {
	u64 limit;
	struct xarray chunks;
	atomic_t count;
	unsigned int wanted;
	atomic_long_t used;
	atomic64_t bounced;
	atomic64_t exhausted;
	struct mutex lock; /* growing and shrinking */
	phys_addr_t cursor;
	struct work_struct grow_work;
	struct delayed_work shrink_work;
};

/**
 * struct lend_pool_space - what is left of a pool
 * @size: octets of all chunks
 * @free: octets that can be taken
 * @largest: octets of the largest free block
 */
struct lend_pool_space {
	u64 size;
	u64 free;
	u64 largest;
};

struct lend_pool *lend_pool_create(u64 limit);
void lend_pool_destroy(struct lend_pool *pool);
int lend_pool_use(struct lend_pool *pool);
void lend_pool_unuse(struct lend_pool *pool);

phys_addr_t lend_pool_take(struct lend_pool *pool, size_t size, bool aligned, gfp_t gfp);
void lend_pool_give(struct lend_pool *pool, phys_addr_t phys, size_t size);
void lend_pool_space(struct lend_pool *pool, struct lend_pool_space *space);
struct lend_chunk *lend_pool_find(struct lend_pool *pool, phys_addr_t phys);
bool lend_pool_owns(struct lend_pool *pool, phys_addr_t phys);

/* bounce.c */
size_t lend_bounce_max(void);
phys_addr_t lend_bounce_map(struct lend_pool *pool, phys_addr_t orig, size_t size,
			    unsigned long attrs);
void lend_bounce_unmap(struct lend_pool *pool, phys_addr_t addr, size_t size,
		       enum dma_data_direction dir, unsigned long attrs);
bool lend_is_bounced(struct lend_pool *pool, phys_addr_t addr);
void lend_bounce_sync(struct lend_pool *pool, phys_addr_t addr, size_t size, bool for_cpu);

#endif
