/* SPDX-License-Identifier: GPL-2.0-only */
/* Lent devices: physical functions that are bound to ntb_lend; what a lease is. */
#ifndef LEND_LENT_H
#define LEND_LENT_H

#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/percpu-refcount.h>
#include <linux/rcupdate.h>
#include <linux/workqueue.h>

#include "filter.h"
#include "owner_relayed.h"
#include "proto.h"
#include "reach.h"
#include "registry.h"
#include "uapi/ntb_lend.h"
#include "window.h"

struct lend_link;
struct lent_device;

/* PCIe 6.0, 6.6.2: how long a function need not answer after its reset. */
#define LENT_RESET_MS	100

/* Only forwards, but for ATTACHED, which the borrower leaves for LENT. */
enum lease_state {
	LEASE_BEGINNING,	/* the function is reset and gets its place in the windows */
	LEASE_LENT,		/* the borrower may open it */
	LEASE_ATTACHED,		/* it has */
	LEASE_OVER,		/* fenced; user space takes the device back */
	LEASE_RETURNING,	/* it does: fenced, then reset */
};

/**
 * struct lease_bar - a memory BAR or the expansion ROM of a lent function
 * @size: octets; 0 when not there or not memory
 * @flags: low bits of the BAR register
 * @bus: bus address that the inbound window must show
 * @offset: where in the borrower's window
 * @window: index of that window
 * @mapped: @bus is a mapping through the NTB function's IOMMU domain
 */
struct lease_bar {
	u64 size;
	u32 flags;
	u64 bus;
	u64 offset;
	int window;
	bool mapped;
};

/**
 * struct lease_window - an outbound window as a lent function finds it
 * @bus: bus address, for the function
 * @size: octets; 0: it does not find it
 * @mapped: @bus is a mapping in its IOMMU domain
 */
struct lease_window {
	u64 bus;
	u64 size;
	bool mapped;
};

/**
 * struct lease - that a function is one borrower's, from the lending to its reset
 * @users: reads of its registers that are under way, in any context; killed by
 *	the fence. All other requests are served under lent_device.lock
 * @unused: there is none any more
 * @rcu: frees it
 * @others: in lend_link.leases until the fence, under lend_link.lease_lock
 * @lent: the function
 * @link: to the borrower; holds a reference
 * @bridge: its bridge driver's module, held; or NULL
 * @epoch: the borrower names it in each request
 * @state: written under lent_device.lock, read anywhere
 * @why: why it is over, a literal; or NULL
 * @contained: the function and its borrower are limited to the windows
 * @risks: bits of enum lend_risk
 * @gaps: what else is in the pages of its BARs, taken
 * @dma_window_used: BARs lie in the DMA window, which is wide because of them
 * @narrows: the function can be limited to parts of the DMA window
 * @reach: what it reaches of the windows
 * @window: the DMA window and free ones, by index
 * @bar: its memory BARs and its expansion ROM
 * @config_reads: served, in any context
 * @config_writes: served
 * @config_denied: writes of which the filter dropped a bit
 *
 * lent_device.lock protects what does not say otherwise.
 */
struct lease {
	struct percpu_ref users;
	struct completion unused;
	struct rcu_head rcu;
	struct list_head others;
	struct lent_device *lent;
	struct lend_link *link;
	struct module *bridge;
	u64 epoch;
	enum lease_state state;
	const char *why;
	bool contained;
	unsigned long risks;
	struct list_head gaps;
	bool dma_window_used;
	bool narrows;
	struct lend_reach reach;
	struct lease_window window[LEND_WINDOWS_MAX];
	struct lease_bar bar[LEND_BARS];
	atomic64_t config_reads;
	u64 config_writes;
	u64 config_denied;
};

/**
 * lease_is_open() - does the lease still stand
 * @lease: the lease, or NULL
 *
 * Context: any; what it says lasts under lent_device.lock.
 */
static inline bool lease_is_open(const struct lease *lease)
{
	enum lease_state state;

	if (!lease)
		return false;
	state = READ_ONCE(lease->state);
	return state == LEASE_LENT || state == LEASE_ATTACHED;
}

/* What a lent device lacks; lent_limit_text() says it in words. */
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
 * @pdev: the function
 * @lock: protects all below; held briefly while the peer's requests are
 *	served, never across a reset
 * @gone: the driver is being unbound, or this host shut down: no lease begins
 * @ill: why it is quarantined, a literal; or NULL
 * @last_epoch: greatest epoch ever given for this binding
 * @limits: bits of enum lent_limit
 * @lease: or NULL; comes and goes under the device lock as well
 * @filter: what of its configuration space the borrower may see and write; does
 *	not change under a lease
 * @saved: configuration at bind time
 * @irq: its interrupts, relayed
 * @flr: ends a reset that the borrower has asked for
 * @flr_ready: in jiffies: before that it is not asked whether it answers
 * @news: it has changed, and listeners are to be told; in any context
 */
struct lent_device {
	struct lend_object object;
	struct pci_dev *pdev;

	struct mutex lock; /* all below */
	bool gone;
	const char *ill;
	u64 last_epoch;
	unsigned long limits;
	struct lease *lease;
	struct lend_filter *filter;
	struct pci_saved_state *saved;
	struct owner_irq irq;
	struct delayed_work flr;
	unsigned long flr_ready;
	atomic_t news;
};

extern struct lend_registry lent_devices;

struct lent_device *lent_get(u32 id);
struct lent_device *lent_find(const char *address);
void lent_put(struct lent_device *lent);
void lent_changed(struct lent_device *lent);
void lent_changed_soon(struct lent_device *lent);
void lent_has_changed(struct lent_device *lent);
void lent_tell(void);
void lent_exit(void);

enum ntb_lend_lent_state lent_state(const struct lent_device *lent);
bool lent_answers(struct lent_device *lent);
const char *lent_reset(struct lent_device *lent);
const char *lent_limit_text(enum lent_limit limit);

#endif
