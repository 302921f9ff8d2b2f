// SPDX-License-Identifier: GPL-2.0-only
/* Which pages of a chunk are taken. Knows nothing of where chunks come from. */

#include "chunk.h"

/**
 * lend_chunk_init() - a chunk with all pages free
 * @chunk: the chunk, zeroed
 * @phys: where it is
 * @window: index of the window that shows it
 *
 * Context: any.
 */
void lend_chunk_init(struct lend_chunk *chunk, phys_addr_t phys, unsigned int window)
{
	spin_lock_init(&chunk->lock);
	chunk->phys = phys;
	chunk->window = window;
	chunk->cpu = LEND_CHUNK_NO_CPU;
	chunk->free = LEND_CHUNK_PAGES;
	chunk->room = LEND_CHUNK_PAGES;
}

/**
 * lend_chunk_take() - take pages that follow each other
 * @chunk: the chunk
 * @pages: how many; at least 1
 * @align: the first is a multiple of this power of two
 *
 * Context: any; takes the chunk's lock.
 * Return: index of the first, or -ENOSPC.
 */
int lend_chunk_take(struct lend_chunk *chunk, unsigned int pages, unsigned int align)
{
	unsigned long first, flags;
	int ret = -ENOSPC;

	/* Hints that save the lock of a full chunk, and looking through one full of holes. */
	if (READ_ONCE(chunk->free) < pages || READ_ONCE(chunk->room) < pages)
		return ret;
	spin_lock_irqsave(&chunk->lock, flags);
	if (!chunk->closed && chunk->free >= pages) {
		first = bitmap_find_next_zero_area(chunk->used, LEND_CHUNK_PAGES, 0, pages,
						   align - 1);
		if (first < LEND_CHUNK_PAGES) {
			bitmap_set(chunk->used, first, pages);
			WRITE_ONCE(chunk->free, chunk->free - pages);
			ret = first;
		} else if (align == 1 && pages <= chunk->room) {
			WRITE_ONCE(chunk->room, pages - 1);
		}
	}
	spin_unlock_irqrestore(&chunk->lock, flags);
	return ret;
}

/* How many free pages follow each other around some that are free. Chunk lock held. */
static unsigned int lend_chunk_run(const struct lend_chunk *chunk, unsigned int first,
				   unsigned int pages)
{
	unsigned long before = find_last_bit(chunk->used, first);
	unsigned long after = find_next_bit(chunk->used, LEND_CHUNK_PAGES, first + pages);

	/* Without a bit it is what it was told to look through. */
	return after - (before < first ? before + 1 : 0);
}

/**
 * lend_chunk_give() - give pages back
 * @chunk: the chunk
 * @first: index of the first
 * @pages: how many; those that are gone stay so
 *
 * Context: any; takes the chunk's lock.
 */
void lend_chunk_give(struct lend_chunk *chunk, unsigned int first, unsigned int pages)
{
	unsigned long flags;
	unsigned int i;

	spin_lock_irqsave(&chunk->lock, flags);
	for (i = first; i < first + pages; i++) {
		if (test_bit(i, chunk->gone))
			continue;
		__clear_bit(i, chunk->used);
		WRITE_ONCE(chunk->free, chunk->free + 1);
	}
	/* With pages that are gone in between it is less. */
	WRITE_ONCE(chunk->room, max(chunk->room, lend_chunk_run(chunk, first, pages)));
	spin_unlock_irqrestore(&chunk->lock, flags);
}

/**
 * lend_chunk_forget() - a page belongs to someone else now
 * @chunk: the chunk
 * @page: its index; taken by the caller
 *
 * Context: any; takes the chunk's lock.
 */
void lend_chunk_forget(struct lend_chunk *chunk, unsigned int page)
{
	unsigned long flags;

	spin_lock_irqsave(&chunk->lock, flags);
	__set_bit(page, chunk->gone);
	spin_unlock_irqrestore(&chunk->lock, flags);
}

/**
 * lend_chunk_close() - give out no more pages, if none is taken
 * @chunk: the chunk
 *
 * Context: any; takes the chunk's lock.
 * Return: false when pages are taken; then nothing has changed.
 */
bool lend_chunk_close(struct lend_chunk *chunk)
{
	unsigned long flags;
	bool idle;

	spin_lock_irqsave(&chunk->lock, flags);
	idle = bitmap_equal(chunk->used, chunk->gone, LEND_CHUNK_PAGES);
	if (idle)
		chunk->closed = true;
	spin_unlock_irqrestore(&chunk->lock, flags);
	return idle;
}

/**
 * lend_chunk_largest() - how many free pages follow each other at the most
 * @chunk: the chunk
 *
 * Context: any; takes the chunk's lock.
 */
unsigned int lend_chunk_largest(struct lend_chunk *chunk)
{
	unsigned long start, end, flags;
	unsigned int largest = 0;

	spin_lock_irqsave(&chunk->lock, flags);
	for_each_clear_bitrange(start, end, chunk->used, LEND_CHUNK_PAGES)
		largest = max_t(unsigned int, largest, end - start);
	spin_unlock_irqrestore(&chunk->lock, flags);
	return largest;
}
