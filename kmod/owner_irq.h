/* SPDX-License-Identifier: GPL-2.0-only */
/* Owner side: interrupts of lent devices that are taken here and relayed. */
#ifndef LEND_OWNER_IRQ_H
#define LEND_OWNER_IRQ_H

#include <linux/list.h>
#include <linux/types.h>

#include "proto.h"

struct lend_filter;
struct lend_relay;
struct owner_irq;
struct pci_dev;

void owner_irq_init(struct owner_irq *irq, struct pci_dev *pdev, const struct lend_filter *filter);
void owner_irq_exit(struct owner_irq *irq);
void owner_irq_begin(struct owner_irq *irq, struct lend_relay *relay, u64 epoch);
void owner_irq_stop(struct owner_irq *irq, struct list_head *closed);
enum lend_status owner_irq_open(struct owner_irq *irq, u32 arg, struct lend_response *resp,
				struct list_head *closed);
enum lend_status owner_irq_close(struct owner_irq *irq, u32 arg, struct list_head *closed);

#endif
