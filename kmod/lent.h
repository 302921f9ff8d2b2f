/* SPDX-License-Identifier: GPL-2.0-only */
/* Owner side: physical functions bound to ntb_lend, and their leases. */
#ifndef LEND_LENT_H
#define LEND_LENT_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pci.h>

#include "filter.h"
#include "lent_irq.h"
#include "proto.h"
#include "region.h"
#include "uapi/ntb_lend.h"

struct lend_containment;
struct lend_link;
struct netlink_ext_ack;

/**
 * struct lend_lent_bar - a memory BAR or the expansion ROM of a lent device
 * @size: octets; 0 when not there or not memory
 * @flags: low bits of the BAR register
 * @bus: bus address that the inbound window must show
 * @offset: where in the borrower's window
 * @window: index of that window
 * @mapped: @bus is a mapping through the NTB function's IOMMU domain
 */
struct lend_lent_bar {
	u64 size;
	u32 flags;
	u64 bus;
	u64 offset;
	int window;
	bool mapped;
};

/**
 * struct lend_lent_window - an outbound window as a lent device finds it
 * @bus: bus address, for the device
 * @size: octets; 0: it does not find it
 * @mapped: @bus is a mapping in its IOMMU domain
 */
struct lend_lent_window {
	u64 bus;
	u64 size;
	bool mapped;
};

/* What a lent device lacks; see lend_lent_limit(). */
enum lend_limit {
	LEND_LIMIT_RESET,	/* there is no way to reset it */
	LEND_LIMIT_IO,		/* it has I/O port BARs, which are hidden */
	LEND_LIMIT_ROM,		/* its expansion ROM is hidden */
	LEND_LIMIT_GROUP,	/* it shares its IOMMU group */
	LEND_LIMITS,
};

/**
 * struct lend_lent - a function bound to ntb_lend
 * @node: on the list of lent devices
 * @open: on the list of those whose registers the peer may read, or empty
 * @ref: the driver's binding and everyone who looks at it
 * @id: handle
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
 * @contained: its IOMMU domain limits it to the windows
 * @limits: bits of enum lend_limit
 * @window: the DMA window and free ones, by index
 * @bar: its memory BARs and its expansion ROM
 * @filter: what of its configuration space the borrower may see and write; does
 *	not change while it is open
 * @saved: configuration at bind time
 * @intx: its INTx, relayed
 * @vectors: its messages, relayed
 * @config_reads: served, in any context
 * @config_writes: served
 * @config_denied: writes of which the filter dropped a bit
 */
struct lend_lent {
	struct list_head node;
	struct list_head open;
	struct kref ref;
	u32 id;
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
	struct lend_lent_window window[LEND_WINDOWS_MAX];
	struct lend_lent_bar bar[LEND_BARS];
	struct lend_filter *filter;
	struct pci_saved_state *saved;
	struct lend_lent_intx intx;
	struct lend_lent_vectors vectors;
	atomic64_t config_reads;
	u64 config_writes;
	u64 config_denied;
};

int lend_lent_register(void);
void lend_lent_unregister(void);

struct lend_lent *lend_lent_get(u32 id);
struct lend_lent *lend_lent_get_by_address(const char *address);
void lend_lent_put(struct lend_lent *lent);
int lend_lent_for_each(u32 start, int (*fn)(struct lend_lent *lent, void *arg), void *arg);

int lend_lent_lend(struct lend_lent *lent, struct lend_link *link, u64 epoch,
		   struct netlink_ext_ack *extack);
int lend_lent_unlend(struct lend_lent *lent, bool force, struct netlink_ext_ack *extack);
void lend_lent_link_lost(struct lend_link *link);
u32 lend_lent_filter_read(void *ctx, u32 where, u32 size);

void lend_lent_open(struct lend_lent *lent);
void lend_lent_close(struct lend_lent *lent);
enum lend_status lend_lent_with_open(struct lend_link *link, u32 id, u64 epoch,
				     enum lend_status (*fn)(struct lend_lent *lent, void *arg),
				     void *arg);

/* lent_reset.c */
void lend_lent_cut_off(struct lend_lent *lent);
bool lend_lent_answers(struct lend_lent *lent);
const char *lend_lent_reset(struct lend_lent *lent);

/* lent_place.c */
const char *lend_lent_limit(enum lend_limit limit);

/**
 * struct lend_in_use - for lend_lent_uses_bar_window()
 * @link: the link
 * @but: a lent device that does not count
 */
struct lend_in_use {
	struct lend_link *link;
	struct lend_lent *but;
};

int lend_lent_uses_bar_window(struct lend_lent *lent, void *arg);
int lend_lent_place(struct lend_lent *lent, struct lend_link *link, bool in_use,
		    const struct lend_containment *containment,
		    struct netlink_ext_ack *extack);
void lend_lent_unplace(struct lend_lent *lent, struct lend_link *link);

#endif
