// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which chunk of a pool pages are taken from: that from which the CPU took the last ones,
 * and, when it has no room, the first by address that has and is no other CPU's. So CPUs
 * seldom meet, what is taken lies together, and whole chunks become free again. Knows
 * nothing of where chunks come from.
 *
 * Called by pool.c. Locks: lend_chunk.lock; the pool's own to add and drop.
 */

#include "chunks.h"

/* How far a CPU's count may be from what is shared, in pages. */
#define LEND_CHUNKS_BATCH	16

/**
 * lend_chunks_init() - none
 * @set: the chunks, zeroed
 *
 * Context: process.
 * Return: 0 or -ENOMEM; lend_chunks_exit() is due in either case.
 */
int lend_chunks_init(struct lend_chunks *set)
{
	int i, ret = 0;

	xa_init(&set->chunks);
	set->current_chunk = alloc_percpu(unsigned long);
	for (i = 0; i < LEND_WINDOWS_MAX && !ret; i++)
		ret = percpu_counter_init(&set->used[i], 0, GFP_KERNEL);
	return set->current_chunk ? ret : -ENOMEM;
}

/**
 * lend_chunks_exit() - undo lend_chunks_init()
 * @set: the chunks, of which none is left
 *
 * Context: process.
 */
void lend_chunks_exit(struct lend_chunks *set)
{
	int i;

	for (i = 0; i < LEND_WINDOWS_MAX; i++)
		percpu_counter_destroy(&set->used[i]);
	free_percpu(set->current_chunk);
	xa_destroy(&set->chunks);
}

/**
 * lend_chunks_find() - the chunk that an address lies in
 * @set: the chunks
 * @phys: the address
 *
 * Context: any; in an RCU read-side section, unless a page of it is held.
 * Return: the chunk, or NULL.
 */
struct lend_chunk *lend_chunks_find(struct lend_chunks *set, phys_addr_t phys)
{
	return xa_load(&set->chunks, phys >> LEND_CHUNK_SHIFT);
}

/**
 * lend_chunks_add() - one more chunk
 * @set: the chunks
 * @chunk: initialised
 *
 * Context: process; caller holds the pool's lock.
 * Return: 0 or -ENOMEM.
 */
int lend_chunks_add(struct lend_chunks *set, struct lend_chunk *chunk)
{
	int ret = xa_err(xa_store(&set->chunks, chunk->phys >> LEND_CHUNK_SHIFT, chunk,
				  GFP_KERNEL));

	if (ret)
		return ret;
	atomic_inc(&set->in_window[chunk->window]);
	atomic_inc(&set->count);
	return 0;
}

/**
 * lend_chunks_drop() - one less
 * @set: the chunks
 * @chunk: closed; an RCU read-side section may still find it
 *
 * Context: process; caller holds the pool's lock.
 */
void lend_chunks_drop(struct lend_chunks *set, struct lend_chunk *chunk)
{
	xa_erase(&set->chunks, chunk->phys >> LEND_CHUNK_SHIFT);
	atomic_dec(&set->in_window[chunk->window]);
	atomic_dec(&set->count);
}

/* Any context; in an RCU read-side section. From now on this CPU begins with @chunk. */
static void lend_chunks_settle(struct lend_chunks *set, struct lend_chunk *old,
			       struct lend_chunk *chunk, int cpu)
{
	if (old == chunk)
		return;
	if (old && READ_ONCE(old->cpu) == cpu)
		WRITE_ONCE(old->cpu, LEND_CHUNK_NO_CPU);
	WRITE_ONCE(chunk->cpu, cpu);
	raw_cpu_write(*set->current_chunk, chunk->phys >> LEND_CHUNK_SHIFT);
}

/* Any context; in an RCU read-side section. The other CPUs' own ones with @others. */
static struct lend_chunk *lend_chunks_search(struct lend_chunks *set, unsigned int windows,
					     unsigned int pages, unsigned int align, int cpu,
					     bool others, int *first)
{
	struct lend_chunk *chunk;
	unsigned long index;
	int owner;

	xa_for_each(&set->chunks, index, chunk) {
		owner = READ_ONCE(chunk->cpu);
		if (!(windows & BIT(chunk->window)) ||
		    (!others && owner != LEND_CHUNK_NO_CPU && owner != cpu))
			continue;
		*first = lend_chunk_take(chunk, pages, align);
		if (*first >= 0)
			return chunk;
	}
	return NULL;
}

/**
 * lend_chunks_take() - take pages that follow each other
 * @set: the chunks
 * @windows: bits of the windows that will do
 * @pages: how many; at least 1
 * @align: the first is a multiple of this power of two
 *
 * Context: any.
 * Return: physical address, or LEND_CHUNKS_NONE.
 */
phys_addr_t lend_chunks_take(struct lend_chunks *set, unsigned int windows, unsigned int pages,
			     unsigned int align)
{
	phys_addr_t phys = LEND_CHUNKS_NONE;
	struct lend_chunk *chunk, *mine;
	int cpu, first = -ENOSPC;

	rcu_read_lock();
	cpu = raw_smp_processor_id();
	mine = xa_load(&set->chunks, raw_cpu_read(*set->current_chunk));
	chunk = mine;
	if (chunk && (windows & BIT(chunk->window)))
		first = lend_chunk_take(chunk, pages, align);
	if (first < 0)
		chunk = lend_chunks_search(set, windows, pages, align, cpu, false, &first);
	if (first < 0)
		chunk = lend_chunks_search(set, windows, pages, align, cpu, true, &first);
	if (first >= 0) {
		phys = chunk->phys + PFN_PHYS(first);
		lend_chunks_settle(set, mine, chunk, cpu);
		percpu_counter_add_batch(&set->used[chunk->window], pages, LEND_CHUNKS_BATCH);
	}
	rcu_read_unlock();
	return phys;
}

/**
 * lend_chunks_give() - give pages back
 * @set: the chunks
 * @chunk: that which they are of
 * @first: index of the first
 * @pages: how many; those that are gone stay so
 *
 * Context: any.
 */
void lend_chunks_give(struct lend_chunks *set, struct lend_chunk *chunk, unsigned int first,
		      unsigned int pages)
{
	percpu_counter_add_batch(&set->used[chunk->window], -(s32)pages, LEND_CHUNKS_BATCH);
	lend_chunk_give(chunk, first, pages);
}

/**
 * lend_chunks_count() - how many chunks there are
 * @set: the chunks
 * @windows: bits of the windows of which they are counted
 *
 * Context: any.
 */
unsigned int lend_chunks_count(struct lend_chunks *set, unsigned int windows)
{
	unsigned int i, count = 0;

	for (i = 0; i < LEND_WINDOWS_MAX; i++)
		if (windows & BIT(i))
			count += atomic_read(&set->in_window[i]);
	return count;
}

/**
 * lend_chunks_used() - about how many pages are taken
 * @set: the chunks
 * @windows: bits of the windows of which they are counted
 *
 * Each CPU may have taken or given some that are not counted yet.
 *
 * Context: any.
 */
s64 lend_chunks_used(struct lend_chunks *set, unsigned int windows)
{
	unsigned int i;
	s64 used = 0;

	for (i = 0; i < LEND_WINDOWS_MAX; i++)
		if (windows & BIT(i))
			used += percpu_counter_read(&set->used[i]);
	return used;
}
