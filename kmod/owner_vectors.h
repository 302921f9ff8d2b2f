/* SPDX-License-Identifier: GPL-2.0-only */
/* Owner side: MSI and MSI-X of a lent device, relayed. */
#ifndef LEND_OWNER_VECTORS_H
#define LEND_OWNER_VECTORS_H

#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/xarray.h>

#include "proto.h"

struct owner_irq;
struct owner_source;

/**
 * struct owner_vectors - MSI or MSI-X of a lent device, taken here
 * @lock: protects @count, @held, and whether the device sends them
 * @kind: which of the two
 * @count: vectors allocated; 0 when the borrower takes its messages itself
 * @held: the device had to keep them since the last tick
 * @open: &struct owner_source of those that the borrower listens to, by index
 */
struct owner_vectors {
	spinlock_t lock; /* count, held, on or off */
	enum lend_irq_kind kind;
	int count;
	bool held;
	struct xarray open;
};

void owner_vectors_init(struct owner_vectors *vectors);
void owner_vectors_exit(struct owner_vectors *vectors);
int owner_vector_start(struct owner_irq *irq, enum lend_irq_kind kind, u32 index,
		       struct owner_source **out, struct list_head *closed);
void owner_vector_stop(struct owner_irq *irq, u32 index, struct list_head *closed);
void owner_vectors_stop(struct owner_irq *irq, struct list_head *closed);
void owner_vectors_free(struct owner_irq *irq);
bool owner_vectors_resume(struct owner_irq *irq);

#endif
