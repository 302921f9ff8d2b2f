/* SPDX-License-Identifier: GPL-2.0-only */
/* Owner side: what a lent device has that is relayed, for the files that relay it. */
#ifndef LEND_OWNER_RELAYED_H
#define LEND_OWNER_RELAYED_H

#include <linux/list.h>
#include <linux/pci.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "proto.h"
#include "relay.h"
#include "sequence.h"

struct lend_filter;
struct owner_irq;

/**
 * struct owner_source - an interrupt that the borrower listens to
 * @owner: interrupts of the device
 * @source: what is raised at the borrower
 * @closed: on a list of those that are to be freed
 */
struct owner_source {
	struct owner_irq *owner;
	struct lend_source source;
	struct list_head closed;
};

/**
 * struct owner_intx - the INTx of a lent device
 * @source: what is raised at the borrower while it listens, or NULL
 * @pdev: the function
 * @line: its interrupt line; 0: none
 * @lock: protects @level, @source, and the function's command register while it may interrupt
 * @level: the state
 * @maskable: the function has a working INTx disable bit; else the whole line
 *	is disabled
 * @line_off: the line is disabled
 * @refused: why this host does not listen to it under this lease, or 0
 */
struct owner_intx {
	struct owner_source *source;
	struct pci_dev *pdev;
	unsigned int line;
	spinlock_t lock; /* level, source, command register */
	struct lend_level level;
	bool maskable;
	bool line_off;
	int refused;
};

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

#endif
