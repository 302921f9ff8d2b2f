/* SPDX-License-Identifier: GPL-2.0-only */
/* The chunks of a pool. */
#ifndef LEND_CHUNKS_H
#define LEND_CHUNKS_H

#include <linux/atomic.h>
#include <linux/percpu_counter.h>
#include <linux/xarray.h>

#include "chunk.h"
#include "region.h"

#define LEND_CHUNKS_NONE	(~(phys_addr_t)0)

/**
 * struct lend_chunks - memory that windows show, in chunks
 * @chunks: by address >> LEND_CHUNK_SHIFT; looked up under RCU
 * @current_chunk: by CPU, the index of the chunk that it takes pages from
 * @count: chunks there are
 * @in_window: of these, by window
 * @used: pages taken, by window; about right, see lend_chunks_used()
 */
struct lend_chunks {
	struct xarray chunks;
	unsigned long __percpu *current_chunk;
	atomic_t count;
	atomic_t in_window[LEND_WINDOWS_MAX];
	struct percpu_counter used[LEND_WINDOWS_MAX];
};

int lend_chunks_init(struct lend_chunks *set);
void lend_chunks_exit(struct lend_chunks *set);
int lend_chunks_add(struct lend_chunks *set, struct lend_chunk *chunk);
void lend_chunks_drop(struct lend_chunks *set, struct lend_chunk *chunk);

phys_addr_t lend_chunks_take(struct lend_chunks *set, unsigned int windows, unsigned int pages,
			     unsigned int align);
void lend_chunks_give(struct lend_chunks *set, struct lend_chunk *chunk, unsigned int first,
		      unsigned int pages);
struct lend_chunk *lend_chunks_find(struct lend_chunks *set, phys_addr_t phys);

unsigned int lend_chunks_count(struct lend_chunks *set, unsigned int windows);
s64 lend_chunks_used(struct lend_chunks *set, unsigned int windows);

#endif
