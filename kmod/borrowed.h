/* SPDX-License-Identifier: GPL-2.0-only */
/* Borrower side: virtual functions on root buses of their own. */
#ifndef LEND_BORROWED_H
#define LEND_BORROWED_H

#include <linux/completion.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/msi.h>
#include <linux/pci.h>
#include <linux/percpu-refcount.h>
#include <linux/xarray.h>
#include <asm/pci.h>

#include "proto.h"
#include "relay.h"
#include "view.h"
#include "uapi/ntb_lend.h"

struct lend_link;
struct netlink_ext_ack;

/**
 * struct lend_dma_stats - per CPU, so that mapping touches nothing shared
 * @maps: mappings made
 * @unmaps: mappings ended, on this CPU
 * @mapped: octets mapped
 * @unmapped: octets unmapped, on this CPU
 * @bounced: octets mapped as a copy
 * @errors: mappings refused
 */
struct lend_dma_stats {
	u64 maps;
	u64 unmaps;
	u64 mapped;
	u64 unmapped;
	u64 bounced;
	u64 errors;
};

/**
 * struct lend_borrowed_bar - a BAR or the expansion ROM of a borrowed device
 * @size: octets; 0 when not there
 * @flags: low bits of the BAR register
 * @window: index of the window
 * @offset: where in that window
 */
struct lend_borrowed_bar {
	u64 size;
	u32 flags;
	int window;
	u64 offset;
};

/**
 * struct lend_borrowed - a borrowed device
 * @sysdata: what x86 wants behind pci_bus.sysdata; must be first
 * @node: on the list of borrowed devices
 * @ref: the list, its host bridge, and everyone who looks at it
 * @id: number on this host
 * @link: the link; holds a reference
 * @remote_id: handle on the owner
 * @epoch: of the lease
 * @remote_address: PCI address on the owner: domain << 16 | bus << 8 | devfn
 * @state: see the netlink spec
 * @opened: the owner counts this as the attachment
 * @gone: accesses return all-ones; set in any context, never cleared
 * @gone_work: removes its driver after the owner has ended the lease
 * @bus: its root bus, or NULL
 * @bar: its BARs and its expansion ROM
 * @bar_value: what BAR registers show; a sizing write shows the mask
 * @rom_value: what the ROM's register shows
 * @command: command register bits that are kept here
 * @pm_ctrl: power state bits of PM control, kept here
 * @pm_cap: offset of the power management capability, or 0
 * @int_line: interrupt line register, kept here
 * @ids: registers that never change, read once
 * @cfg_size: 256 or 4096
 * @views: where it finds this host's memory; constant once it has a bus
 * @pool_used: the pool keeps something for it
 * @dma_ref: mappings alive and mapping under way
 * @dma_drained: completed when @dma_ref has reached zero
 * @dma_stats: per CPU
 * @msi_domain: parent of its interrupts
 * @msi_desc: stands for the NTB function, whose requester ID the messages carry
 * @intx_domain: of its INTx, or NULL
 * @intx_irq: its interrupt number
 * @intx: what the owner relays
 * @msi_relayed: the owner takes its messages and relays them
 * @msi_sinks: relayed messages by interrupt number
 * @msi_cap: offset of the MSI capability, or 0
 * @msi_size: octets of it
 * @msix_cap: offset of the MSI-X capability, or 0
 * @msi_flags: of MSI, kept here while the owner has it
 * @msix_flags: of MSI-X, likewise
 * @config_reads: forwarded
 * @config_writes: forwarded
 * @config_errors: failed
 */
struct lend_borrowed {
	struct pci_sysdata sysdata;
	struct list_head node;
	struct kref ref;
	u32 id;
	struct lend_link *link;
	u32 remote_id;
	u64 epoch;
	u32 remote_address;
	enum ntb_lend_borrowed_state state;
	bool opened;
	bool gone;
	struct work_struct gone_work;
	struct pci_bus *bus;

	struct lend_borrowed_bar bar[LEND_BARS];
	u32 bar_value[PCI_STD_NUM_BARS];
	u32 rom_value;
	u16 command;
	u8 pm_ctrl;
	u8 pm_cap;
	u8 int_line;
	u32 ids[4];
	u32 cfg_size;

	struct lend_views views;
	bool pool_used;
	struct percpu_ref dma_ref;
	struct completion dma_drained;
	struct lend_dma_stats __percpu *dma_stats;

	struct irq_domain *msi_domain;
	struct msi_desc msi_desc;

	struct irq_domain *intx_domain;
	unsigned int intx_irq;
	struct lend_sink intx;
	bool msi_relayed;
	struct xarray msi_sinks;
	u8 msi_cap;
	u8 msi_size;
	u8 msix_cap;
	u16 msi_flags;
	u16 msix_flags;

	atomic64_t config_reads;
	atomic64_t config_writes;
	atomic64_t config_errors;
};

int lend_borrowed_register(void);
void lend_borrowed_unregister(void);
bool lend_is_borrowed(const struct pci_dev *pdev);

struct lend_borrowed *lend_borrowed_get(u32 id);
void lend_borrowed_put(struct lend_borrowed *b);
int lend_borrowed_for_each(u32 start, int (*fn)(struct lend_borrowed *b, void *arg),
			   void *arg);

int lend_borrowed_attach(struct lend_link *link, u32 remote_id, u64 epoch,
			 struct lend_borrowed **out, struct netlink_ext_ack *extack);
int lend_borrowed_detach(struct lend_borrowed *b, struct netlink_ext_ack *extack);
void lend_borrowed_lease_over(struct lend_borrowed *b);
void lend_borrowed_revoke(struct lend_link *link, u32 remote_id, u64 epoch);
void lend_borrowed_link_dead(struct lend_link *link);
void lend_borrowed_link_lost(struct lend_link *link);
int lend_borrowed_listen(struct lend_borrowed *b, struct lend_sink *sink, u32 irq);
void lend_borrowed_unlisten(struct lend_borrowed *b, struct lend_sink *sink, u32 irq);
u64 lend_borrowed_mapped(const struct lend_link *link);

/* borrowed_place.c */
int lend_borrowed_ask_bars(struct lend_borrowed *b, struct netlink_ext_ack *extack);
void lend_borrowed_place(struct lend_borrowed *b, struct pci_dev *pdev);
bool lend_borrowed_bars_claimed(struct lend_borrowed *b, struct pci_dev *pdev);

/* borrowed_view.c */
int lend_borrowed_ask_views(struct lend_borrowed *b, u64 window, u64 bus, u64 size,
			    struct netlink_ext_ack *extack);

/* config.c */
extern struct pci_ops lend_config_ops;
int lend_config_init(struct lend_borrowed *b);

/* dma.c */
int lend_dma_init(struct lend_borrowed *b);
int lend_dma_reserve(struct lend_borrowed *b);
void lend_dma_adopt(struct pci_dev *pdev);
bool lend_dma_drain(struct lend_borrowed *b);
void lend_dma_exit(struct lend_borrowed *b);
void lend_dma_stats_sum(struct lend_borrowed *b, struct lend_dma_stats *sum);

/* msi.c */
int lend_msi_init(struct lend_borrowed *b);
void lend_msi_exit(struct lend_borrowed *b);
void lend_msi_compose_for(struct lend_borrowed *b, struct irq_data *data, struct msi_msg *msg);
int lend_msi_set_affinity(struct irq_data *data, const struct cpumask *mask, bool force);

/* msi_domain.c or msi_parent.c */
struct irq_domain *lend_msi_domain_create(struct lend_borrowed *b, struct fwnode_handle *fwnode,
					  struct irq_domain *parent);
void lend_msi_domain_remove(struct irq_domain *domain);

/* msi_relay.c */
bool lend_msi_needs_relay(const struct lend_borrowed *b);
bool lend_msi_has_rows(const struct lend_borrowed *b, const struct irq_domain *parent);
void lend_msi_relay_chip(struct irq_chip *chip);

/* intx.c */
void lend_intx_adopt(struct pci_dev *pdev);
void lend_intx_exit(struct lend_borrowed *b);

/**
 * lend_borrowed_of() - the borrowed device behind a PCI device
 * @pdev: a function on one of our root buses
 *
 * Context: any.
 */
static inline struct lend_borrowed *lend_borrowed_of(const struct pci_dev *pdev)
{
	return container_of(pdev->bus->sysdata, struct lend_borrowed, sysdata);
}

#endif
