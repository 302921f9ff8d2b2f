/* SPDX-License-Identifier: GPL-2.0-only */
/* Owner side: interrupts of lent devices that are taken here and relayed. */
#ifndef LEND_OWNER_IRQ_H
#define LEND_OWNER_IRQ_H

#include <linux/list.h>
#include <linux/pci.h>
#include <linux/workqueue.h>

#include "owner_intx.h"
#include "owner_vectors.h"
#include "proto.h"
#include "relay.h"

struct lend_filter;

/**
 * struct owner_irq - interrupts of a lent device
 * @pdev: the function
 * @filter: what of its configuration space the borrower may write
 * @relay: of the borrower's link, while leased
 * @tag: of the lease
 * @intx: its INTx, relayed
 * @vectors: its messages, relayed
 * @calm: has it go on when it has interrupted too often
 * @resetting: its borrower has it reset, and it is not restored yet; written under
 *	the lent device's lock and that of @intx, read anywhere
 */
struct owner_irq {
	struct pci_dev *pdev;
	const struct lend_filter *filter;
	struct lend_relay *relay;
	u32 tag;
	struct owner_intx intx;
	struct owner_vectors vectors;
	struct delayed_work calm;
	bool resetting;
};

void owner_irq_init(struct owner_irq *irq, struct pci_dev *pdev, const struct lend_filter *filter);
void owner_irq_exit(struct owner_irq *irq);
void owner_irq_begin(struct owner_irq *irq, struct lend_relay *relay, u64 epoch);
void owner_irq_stop(struct owner_irq *irq, struct list_head *closed);
enum lend_status owner_irq_open(struct owner_irq *irq, u32 arg, struct lend_response *resp,
				struct list_head *closed);
enum lend_status owner_irq_close(struct owner_irq *irq, u32 arg, struct list_head *closed);

#endif
