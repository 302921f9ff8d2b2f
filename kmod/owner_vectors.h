/* SPDX-License-Identifier: GPL-2.0-only */
/* Owner side: MSI and MSI-X of a lent device, relayed. */
#ifndef LEND_OWNER_VECTORS_H
#define LEND_OWNER_VECTORS_H

#include <linux/list.h>

#include "proto.h"

struct owner_irq;
struct owner_source;
struct owner_vectors;

void owner_vectors_init(struct owner_vectors *vectors);
void owner_vectors_exit(struct owner_vectors *vectors);
int owner_vector_start(struct owner_irq *irq, enum lend_irq_kind kind, u32 index,
		       struct owner_source **out, struct list_head *closed);
void owner_vector_stop(struct owner_irq *irq, u32 index, struct list_head *closed);
void owner_vectors_stop(struct owner_irq *irq, struct list_head *closed);
void owner_vectors_free(struct owner_irq *irq);
bool owner_vectors_resume(struct owner_irq *irq);

#endif
