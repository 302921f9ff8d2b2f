/* SPDX-License-Identifier: GPL-2.0-only */
/* Borrower side: the part of the DMA window in which user space maps its memory for a device. */
#ifndef LEND_BORROWER_ARENA_H
#define LEND_BORROWER_ARENA_H

#include <linux/kref.h>
#include <linux/types.h>

struct borrowed_device;
struct lend_link;

/**
 * struct borrower_arena - a range of the NTB function's DMA addresses
 * @ref: of the device that it was made for, and of domains
 * @link: of the NTB function; holds a reference
 * @first: first address
 * @size: octets
 */
struct borrower_arena {
	struct kref ref;
	struct lend_link *link;
	dma_addr_t first;
	size_t size;
};

struct borrower_arena *borrower_arena_get(struct borrowed_device *b);
void borrower_arena_put(struct borrower_arena *arena);
void borrower_arena_forget(struct borrowed_device *b);

#endif
