/* SPDX-License-Identifier: GPL-2.0-only */
/* Chunks of memory that a window shows, given out by the page. */
#ifndef LEND_CHUNK_H
#define LEND_CHUNK_H

#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>

#define LEND_CHUNK_SHIFT	21
#define LEND_CHUNK_SIZE		BIT(LEND_CHUNK_SHIFT)
#define LEND_CHUNK_PAGES	(LEND_CHUNK_SIZE >> PAGE_SHIFT)
#define LEND_CHUNK_NO_CPU	(-1)

/**
 * struct lend_chunk - naturally aligned memory, LEND_CHUNK_SIZE octets
 * @rcu: for who looked it up just before it went
 * @phys: where it is
 * @window: index of the window that shows it
 * @cpu: the CPU that begins with it, or LEND_CHUNK_NO_CPU; a hint, without a lock
 * @lock: protects all below but @orig
 * @free: pages that can be taken
 * @room: no more free pages than these follow each other
 * @closed: no more pages are given out: it is about to go
 * @used: pages taken, or gone
 * @gone: pages that belong to someone else now
 * @orig: memory that a page stands for; 0 when for none. Written by who took
 *	the page
 */
struct lend_chunk {
	struct rcu_head rcu;
	phys_addr_t phys;
	unsigned int window;
	int cpu;
	spinlock_t lock; /* all below but @orig */
	unsigned int free;
	unsigned int room;
	bool closed;
	DECLARE_BITMAP(used, LEND_CHUNK_PAGES);
	DECLARE_BITMAP(gone, LEND_CHUNK_PAGES);
	phys_addr_t orig[LEND_CHUNK_PAGES];
};

void lend_chunk_init(struct lend_chunk *chunk, phys_addr_t phys, unsigned int window);
int lend_chunk_take(struct lend_chunk *chunk, unsigned int pages, unsigned int align);
void lend_chunk_give(struct lend_chunk *chunk, unsigned int first, unsigned int pages);
void lend_chunk_forget(struct lend_chunk *chunk, unsigned int page);
bool lend_chunk_close(struct lend_chunk *chunk);
unsigned int lend_chunk_largest(struct lend_chunk *chunk);

#endif
