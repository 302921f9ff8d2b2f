/* SPDX-License-Identifier: GPL-2.0-only */
/* Owner side: interrupts of lent devices that are taken here and relayed. */
#ifndef LEND_LENT_IRQ_H
#define LEND_LENT_IRQ_H

#include <linux/pci.h>
#include <linux/spinlock.h>
#include <linux/xarray.h>

#include "proto.h"
#include "relay.h"
#include "sequence.h"

struct lend_lent;

/**
 * struct lend_lent_intx - the INTx of a lent device
 * @source: what is raised at the borrower
 * @pdev: the function
 * @lock: protects @level, and the function's INTx disable bit
 * @level: the state
 * @maskable: the function has a working INTx disable bit; else the whole line
 *	is disabled
 * @line_off: the line is disabled
 */
struct lend_lent_intx {
	struct lend_source source;
	struct pci_dev *pdev;
	spinlock_t lock; /* level, INTx disable bit */
	struct lend_level level;
	bool maskable;
	bool line_off;
};

/**
 * struct lend_lent_vectors - MSI or MSI-X of a lent device, taken here
 * @kind: which of the two
 * @count: vectors allocated; 0 when the borrower takes its messages itself
 * @open: sources of those that the borrower listens to, by index
 */
struct lend_lent_vectors {
	enum lend_irq_kind kind;
	int count;
	struct xarray open;
};

void lend_lent_irq_init(struct lend_lent *lent);
void lend_lent_irq_begin(struct lend_lent *lent);
void lend_lent_irq_stop(struct lend_lent *lent);
enum lend_status lend_lent_irq_open(struct lend_lent *lent, u32 arg, struct lend_response *resp);
enum lend_status lend_lent_irq_close(struct lend_lent *lent, u32 arg);

u8 lend_lent_intx_pin(struct lend_lent *lent);
u32 lend_lent_command_shown(struct lend_lent *lent, u32 where, u32 size, u32 raw);
int lend_lent_command_write(struct lend_lent *lent, u32 where, u32 size, u32 value);

#endif
