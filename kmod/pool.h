/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory that windows show, for what lies outside of them. */
#ifndef LEND_POOL_H
#define LEND_POOL_H

#include <linux/atomic.h>
#include <linux/dma-direction.h>
#include <linux/mutex.h>
#include <linux/percpu_counter.h>
#include <linux/workqueue.h>

#include "chunks.h"
#include "region.h"

#define LEND_POOL_NONE	LEND_CHUNKS_NONE

/**
 * struct lend_pool - the bounce pool of a link
 * @region: by window, what windows show when they are open; once there is one
 *	it does not change
 * @cursor: by window, where the next chunk is looked for
 * @chunks: its chunks
 * @wanted: chunks that are kept though idle
 * @bounced: octets copied, both ways
 * @exhausted: requests that found no place
 * @lock: serialises growing and shrinking
 * @low: a bit for each set of windows in which little is left
 * @fragmented: likewise in which a block has found no place
 * @grow_work: makes chunks in the sets of @low and @fragmented
 * @shrink_work: gives idle chunks back
 *
 * Who takes memory says from which windows' regions: a set is their bits.
 */
struct lend_pool {
	struct lend_region region[LEND_WINDOWS_MAX];
	phys_addr_t cursor[LEND_WINDOWS_MAX];
	struct lend_chunks chunks;
	unsigned int wanted;
	struct percpu_counter bounced;
	atomic64_t exhausted;
	struct mutex lock; /* growing and shrinking */
	unsigned long low;
	unsigned long fragmented;
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

struct lend_pool *lend_pool_create(void);
void lend_pool_destroy(struct lend_pool *pool);
void lend_pool_add_region(struct lend_pool *pool, int window, const struct lend_region *region);
int lend_pool_use(struct lend_pool *pool, unsigned int set);
void lend_pool_unuse(struct lend_pool *pool);
void lend_pool_expect(struct lend_pool *pool, unsigned int set);

phys_addr_t lend_pool_take(struct lend_pool *pool, unsigned int set, size_t size, bool aligned,
			   gfp_t gfp);
void lend_pool_give(struct lend_pool *pool, phys_addr_t phys, size_t size);
void lend_pool_space(struct lend_pool *pool, struct lend_pool_space *space);
bool lend_pool_owns(struct lend_pool *pool, phys_addr_t phys);

size_t lend_bounce_max(void);
phys_addr_t lend_bounce_map(struct lend_pool *pool, unsigned int set, phys_addr_t orig,
			    size_t size, unsigned long attrs);
void lend_bounce_unmap(struct lend_pool *pool, phys_addr_t addr, size_t size,
		       enum dma_data_direction dir, unsigned long attrs);
bool lend_is_bounced(struct lend_pool *pool, phys_addr_t addr);
void lend_bounce_sync(struct lend_pool *pool, phys_addr_t addr, size_t size, bool for_cpu);

#endif
