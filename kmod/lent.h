/* SPDX-License-Identifier: GPL-2.0-only */
/* Lent devices: what the owner's files share. */
#ifndef LEND_LENT_H
#define LEND_LENT_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pci.h>

#include "filter.h"
#include "owner_irq.h"
#include "proto.h"
#include "registry.h"
#include "uapi/ntb_lend.h"
#include "window.h"

struct lend_link;

/**
 * struct lent_bar - a memory BAR or the expansion ROM of a lent device
 * @size: octets; 0 when not there or not memory
 * @flags: low bits of the BAR register
 * @bus: bus address that the inbound window must show
 * @offset: where in the borrower's window
 * @window: index of that window
 * @mapped: @bus is a mapping through the NTB function's IOMMU domain
 */
struct lent_bar {
	u64 size;
	u32 flags;
	u64 bus;
	u64 offset;
	int window;
	bool mapped;
};

/**
 * struct lent_window - an outbound window as a lent device finds it
 * @bus: bus address, for the device
 * @size: octets; 0: it does not find it
 * @mapped: @bus is a mapping in its IOMMU domain
 */
struct lent_window {
	u64 bus;
	u64 size;
	bool mapped;
};

/* What a lent device lacks; owner_limit() says it in words. */
enum lent_limit {
	LEND_LIMIT_RESET,	/* there is no way to reset it */
	LEND_LIMIT_IO,		/* it has I/O port BARs, which are hidden */
	LEND_LIMIT_ROM,		/* its expansion ROM is hidden */
	LEND_LIMITS,
};

/**
 * struct lent_device - a function bound to ntb_lend
 * @object: its handle; referenced by the driver's binding and everyone who looks
 *	at it
 * @open: on the list of those whose registers the peer may read, or empty
 * @pdev: the function
 * @lock: protects all below; held briefly while the peer's requests are
 *	served, never across a reset
 * @gone: the driver is being unbound
 * @state: see the netlink spec
 * @message: why it is quarantined
 * @link: the borrower's link while leased; holds a reference
 * @epoch: of the lease; 0 without
 * @last_epoch: greatest epoch ever given for this binding
 * @ended: the session of the lease is over; requests are refused until unlend
 * @contained: it and its borrower are limited to the windows
 * @limits: bits of enum lent_limit
 * @risks: bits of enum lend_risk
 * @gaps: what else is in the pages of its BARs, taken
 * @window: the DMA window and free ones, by index
 * @bar: its memory BARs and its expansion ROM
 * @filter: what of its configuration space the borrower may see and write; does
 *	not change while it is open
 * @saved: configuration at bind time
 * @irq: its interrupts, relayed
 * @config_reads: served, in any context
 * @config_writes: served
 * @config_denied: writes of which the filter dropped a bit
 */
struct lent_device {
	struct lend_object object;
	struct list_head open;
	struct pci_dev *pdev;

	struct mutex lock; /* all below */
	bool gone;
	enum ntb_lend_lent_state state;
	const char *message;
	struct lend_link *link;
	u64 epoch;
	u64 last_epoch;
	bool ended;
	bool contained;
	unsigned long limits;
	unsigned long risks;
	struct list_head gaps;
	struct lent_window window[LEND_WINDOWS_MAX];
	struct lent_bar bar[LEND_BARS];
	struct lend_filter *filter;
	struct pci_saved_state *saved;
	struct owner_irq irq;
	atomic64_t config_reads;
	u64 config_writes;
	u64 config_denied;
};

#endif
