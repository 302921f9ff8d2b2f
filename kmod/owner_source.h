/* SPDX-License-Identifier: GPL-2.0-only */
/* Owner side: what of a lent device's interrupts is raised at the borrower. */
#ifndef LEND_OWNER_SOURCE_H
#define LEND_OWNER_SOURCE_H

#include <linux/list.h>

#include "relay.h"

struct owner_irq;
struct owner_source;

struct owner_source *owner_source_open(struct owner_irq *irq,
				       void (*handled)(struct lend_source *source, u32 count));
void owner_source_close(struct owner_source *s, struct list_head *closed);
void owner_source_release(struct list_head *closed);
bool owner_source_floods(struct lend_source *source);
void owner_source_hold(struct owner_irq *irq);
unsigned int owner_source_limit(void);

#endif
