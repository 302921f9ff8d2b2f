/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a borrowed device is: for borrower.c, which makes it, and for dma.c and
 * irq.c, which serve its driver.
 */
#ifndef LEND_BORROWED_H
#define LEND_BORROWED_H

#include <linux/completion.h>
#include <linux/msi.h>
#include <linux/pci.h>
#include <linux/percpu-refcount.h>
#include <linux/xarray.h>
#include <asm/pci.h>

#include "proto.h"
#include "registry.h"
#include "relay.h"
#include "view.h"
#include "uapi/ntb_lend.h"

struct lend_link;

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
 * struct borrowed_bar - a BAR or the expansion ROM of a borrowed device
 * @size: octets; 0 when not there
 * @flags: low bits of the BAR register
 * @window: index of the window
 * @offset: where in that window
 */
struct borrowed_bar {
	u64 size;
	u32 flags;
	int window;
	u64 offset;
};

/**
 * struct borrowed_device - a borrowed device
 * @sysdata: what x86 wants behind pci_bus.sysdata; must be first
 * @object: its number; referenced by its host bridge too
 * @link: the link; holds a reference
 * @bridge: its bridge driver's module, held; or NULL
 * @remote_id: handle on the owner
 * @epoch: of the lease
 * @remote_address: PCI address on the owner: domain << 16 | bus << 8 | devfn
 * @state: see the netlink spec
 * @opened: the owner counts this as the attachment
 * @mute: the owner has not answered for it in time: it is asked for no register any
 *	more; set in any context, never cleared
 * @gone: accesses return all-ones: nothing that its driver gives back is reached any
 *	more; set in any context, never cleared
 * @over: hears that the owner has fenced the device, or else that it does not answer
 *	for it; any context
 * @gone_because: why its lease is over; a literal
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
 * @narrows: its owner can limit what it reaches to what user space may have; it
 *	has an IOMMU group of its own then
 * @narrowed: its owner was asked to; its IOMMU group's mutex
 * @arena: where user space maps memory for it, or NULL; see borrower_arena.c
 * @domain: what user space has mapped for it, see borrower_iommu.c, or NULL; its
 *	IOMMU group's mutex
 * @pool_used: the pool keeps something for it
 * @windows_used: the windows show this host's memory because of it
 * @dma_over: no mapping is made any more
 * @dma_stats: per CPU
 * @msi_domain: parent of its interrupts
 * @msi_info: what that needs, or NULL
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
struct borrowed_device {
	struct pci_sysdata sysdata;
	struct lend_object object;
	struct lend_link *link;
	struct module *bridge;
	u32 remote_id;
	u64 epoch;
	u32 remote_address;
	enum ntb_lend_borrowed_state state;
	bool opened;
	bool mute;
	bool gone;
	void (*over)(struct borrowed_device *b, bool fenced);
	const char *gone_because;
	struct work_struct gone_work;
	struct pci_bus *bus;

	struct borrowed_bar bar[LEND_BARS];
	u32 bar_value[PCI_STD_NUM_BARS];
	u32 rom_value;
	u16 command;
	u8 pm_ctrl;
	u8 pm_cap;
	u8 int_line;
	u32 ids[4];
	u32 cfg_size;

	struct lend_views views;
	bool narrows;
	bool narrowed;
	struct borrower_arena *arena;
	struct borrower_domain *domain;
	bool pool_used;
	bool windows_used;
	bool dma_over;
	struct lend_dma_stats __percpu *dma_stats;

	struct irq_domain *msi_domain;
	void *msi_info;
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

/**
 * lend_borrowed_of() - the borrowed device behind a PCI device
 * @pdev: a function on one of our root buses
 *
 * Context: any.
 */
static inline struct borrowed_device *lend_borrowed_of(const struct pci_dev *pdev)
{
	return container_of(pdev->bus->sysdata, struct borrowed_device, sysdata);
}

#endif
