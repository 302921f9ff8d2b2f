/* SPDX-License-Identifier: GPL-2.0-only */
/* Owner side: interrupts of lent devices that are taken here and relayed; command register. */
#ifndef LEND_OWNER_IRQ_H
#define LEND_OWNER_IRQ_H

#include <linux/list.h>
#include <linux/pci.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "proto.h"
#include "relay.h"
#include "sequence.h"

struct lend_filter;
struct owner_source;

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

void owner_irq_init(struct owner_irq *irq, struct pci_dev *pdev, const struct lend_filter *filter);
void owner_irq_exit(struct owner_irq *irq);
void owner_irq_begin(struct owner_irq *irq, struct lend_relay *relay, u64 epoch);
void owner_irq_stop(struct owner_irq *irq, struct list_head *closed);
enum lend_status owner_irq_open(struct owner_irq *irq, u32 arg, struct lend_response *resp,
				struct list_head *closed);
enum lend_status owner_irq_close(struct owner_irq *irq, u32 arg, struct list_head *closed);
void owner_irq_release(struct list_head *closed);

u8 owner_intx_pin(const struct owner_irq *irq);
u32 owner_command_shown(const struct owner_irq *irq, u32 where, u32 size, u32 raw);
int owner_command_write(struct owner_irq *irq, u32 where, u32 size, u32 value);
void owner_command_stop(struct owner_irq *irq);
void owner_command_reset(struct owner_irq *irq);
void owner_command_restored(struct owner_irq *irq);

#endif
