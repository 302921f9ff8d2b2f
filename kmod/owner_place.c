// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owner side: where a lent function's registers lie in the borrower's window, and
 * where the function finds the windows, with which the borrower's memory is reached.
 *
 * Called by lease.c. Locks: lend_link.lease_lock and lent_device.lock, held by it.
 */

#include <linux/dma-mapping.h>
#include <linux/iommu.h>
#include <linux/log2.h>
#include <linux/netlink.h>
#include <linux/pci.h>
#include <linux/string.h>

#include "bridge.h"
#include "compat.h"
#include "filter.h"
#include "lent.h"
#include "link.h"
#include "owner_page.h"
#include "owner_place.h"
#include "owner_reach.h"
#include "trust.h"
#include "window.h"

static_assert(LEND_BAR_ROM == PCI_ROM_RESOURCE);
static_assert(LEND_BARS > PCI_STD_NUM_BARS);

/*
 * Windows and registers are no memory of the processor's: no cache to see to, and
 * nothing that the kernel's debugging of the DMA API could keep apart.
 */
#define OWNER_MAP_ATTRS DMA_ATTR_SKIP_CPU_SYNC

/* What lets a function reach more than its domain holds, or another one reach that. */
#define OWNER_REACHES_MORE (BIT(LEND_RISK_DEVICE) | BIT(LEND_RISK_GROUP) | BIT(LEND_RISK_ATS))

/*
 * Map the window as low in the device's domain as it goes, so that devices with
 * few address bits reach it, too. Some addresses of a domain are reserved: what is
 * as large as all of n bits has to have n + 1. Process context, the device lock held.
 */
static dma_addr_t owner_map_window(struct device *dev, const struct lend_window *win)
{
	dma_addr_t addr;
	int bits;

	for (bits = max(32, ilog2(win->size) + 1); bits <= 64; bits++) {
		if (dma_set_mask_and_coherent(dev, DMA_BIT_MASK(bits)))
			continue;
		addr = dma_map_resource(dev, win->base, win->size, DMA_BIDIRECTIONAL,
					OWNER_MAP_ATTRS);
		if (!dma_mapping_error(dev, addr))
			return addr;
	}
	return DMA_MAPPING_ERROR;
}

/* Process context; lease and lent locks held. False if its domain has no room for it. */
static bool owner_show_window(struct lease *lease, int i, bool translated)
{
	const struct lend_window *win = &lease->link->windows.win[i];
	u64 bus = win->bus;

	if (translated)
		bus = owner_map_window(&lease->lent->pdev->dev, win);
	if (bus == DMA_MAPPING_ERROR)
		return false;
	lease->window[i] = (struct lease_window) {
		.bus = bus, .size = win->size, .mapped = translated,
	};
	return true;
}

/* Process context; lease and lent locks held. One that is left out is not missed. */
static void owner_show_free_windows(struct lease *lease, bool translated)
{
	const struct lend_windows *w = &lease->link->windows;
	int i;

	for (i = 0; i < w->count; i++) {
		if (!w->win[i].size || !lend_window_is_free(w, i))
			continue;
		if (owner_show_window(lease, i, translated))
			pci_info(lease->lent->pdev, "reaches window %d at 0x%llx as well\n", i,
				 lease->window[i].bus);
		else
			pci_info(lease->lent->pdev, "does not reach window %d: no room in its domain\n",
				 i);
	}
}

/*
 * Process context; lease and lent locks held. Lets the device reach the DMA window,
 * and free ones. Returns 0; -ENOSPC no room in its domain.
 */
static int owner_show_windows(struct lease *lease, const struct lend_trust *trust,
			      struct netlink_ext_ack *extack)
{
	const struct lease_window *dma = &lease->window[lease->link->windows.dma];

	if (!owner_show_window(lease, lease->link->windows.dma, trust->translated)) {
		NL_SET_ERR_MSG(extack, "the IOMMU cannot map the window for this device");
		return -ENOSPC;
	}
	lease->risks = trust->risks;
	lease->contained = !trust->risks;
	lease->narrows = !(trust->risks & OWNER_REACHES_MORE) &&
			 lend_trust_is_alone(lease->lent->pdev);
	if (lease->contained)
		pci_info(lease->lent->pdev, "reaches the window at 0x%llx, and nothing else\n",
			 dma->bus);
	else
		pci_warn(lease->lent->pdev, "reaches more than the window at 0x%llx: %s\n",
			 dma->bus, trust->why);
	owner_show_free_windows(lease, trust->translated);
	return 0;
}

/*
 * Process context. What was unmapped is out of reach now: most kernels leave it in the
 * IOMMU's buffers for some milliseconds.
 */
static void owner_forget_mappings(struct device *dev)
{
	if (lend_is_translated(dev))
		iommu_flush_iotlb_all(iommu_get_domain_for_dev(dev));
}

/* Process context, the lent lock held; the device is cut off. */
static void owner_hide_windows(struct lease *lease)
{
	struct lease_window *win;
	int i;

	/* The DMA layer takes back what it gave. */
	if (owner_reach_all(lease))
		pci_warn(lease->lent->pdev, "the windows' addresses are lost to its domain: no memory\n");
	for (i = 0; i < LEND_WINDOWS_MAX; i++) {
		win = &lease->window[i];
		if (win->mapped && !lease->reach.narrow)
			dma_unmap_resource(&lease->lent->pdev->dev, win->bus, win->size,
					   DMA_BIDIRECTIONAL, OWNER_MAP_ATTRS);
	}
	memset(lease->window, 0, sizeof(lease->window));
	owner_forget_mappings(&lease->lent->pdev->dev);
	lease->contained = false;
	lease->narrows = false;
}

static u32 owner_bar_flags(const struct resource *res)
{
	u32 flags = PCI_BASE_ADDRESS_SPACE_MEMORY;

	if (res->flags & IORESOURCE_MEM_64)
		flags |= PCI_BASE_ADDRESS_MEM_TYPE_64;
	if (res->flags & IORESOURCE_PREFETCH)
		flags |= PCI_BASE_ADDRESS_MEM_PREFETCH;
	return flags;
}

/*
 * Process context, lease and lent locks held. Returns 0; -EBUSY something else is in
 * its page; -ENOSPC no room in the bridge's domain.
 */
static int owner_map_bar(struct lease *lease, int i)
{
	struct resource *res = &lease->lent->pdev->resource[i];
	struct lease_bar *bar = &lease->bar[i];
	int ret;

	bar->size = resource_size(res);
	bar->flags = owner_bar_flags(res);
	bar->mapped = false;
	if (!lend_is_translated(&lease->link->pdev->dev)) {
		bar->bus = pci_bus_address(lease->lent->pdev, i);
		return 0;
	}
	ret = owner_page_own(lease->lent->pdev, res, &lease->gaps);
	if (ret) {
		bar->size = 0;
		return ret;
	}
	bar->mapped = true;
	bar->bus = dma_map_resource(&lease->link->pdev->dev, res->start, bar->size,
				    DMA_BIDIRECTIONAL, OWNER_MAP_ATTRS);
	if (dma_mapping_error(&lease->link->pdev->dev, bar->bus)) {
		bar->size = 0;
		bar->mapped = false;
		return -ENOSPC;
	}
	return 0;
}

/* Process context, lease and lent locks held. */
static void owner_unmap_bar(struct lease *lease, int i)
{
	struct lease_bar *bar = &lease->bar[i];

	if (bar->size && bar->mapped)
		dma_unmap_resource(&lease->link->pdev->dev, bar->bus, bar->size,
				   DMA_BIDIRECTIONAL, OWNER_MAP_ATTRS);
	memset(bar, 0, sizeof(*bar));
}

/**
 * owner_holds_bar_window() - has a function its place in the window for BARs
 * @lease: of the function
 *
 * Context: process; caller holds the lease lock.
 */
bool owner_holds_bar_window(const struct lease *lease)
{
	int i;

	for (i = 0; i < LEND_BARS; i++)
		if (lease->bar[i].size && lease->bar[i].window == lease->link->windows.bar)
			return true;
	return false;
}

/**
 * owner_unplace() - take its place in the windows from a function
 * @lease: of the function, which is cut off
 * @in_use: another lease holds the BAR window where it is
 *
 * The borrower reaches no BAR of it then, and it reaches no window.
 *
 * Context: process; caller holds the lease and lent locks.
 */
void owner_unplace(struct lease *lease, bool in_use)
{
	int i;

	for (i = 0; i < LEND_BARS; i++)
		owner_unmap_bar(lease, i);
	owner_forget_mappings(&lease->link->pdev->dev);
	if (!in_use)
		lend_bar_window_close(&lease->link->windows);
	if (lease->dma_window_used)
		lend_windows_unuse(&lease->link->windows);
	lease->dma_window_used = false;
	/* Nothing shows their pages any more. */
	owner_page_disown(&lease->gaps);
	owner_hide_windows(lease);
}

/* Process context, lease lock held. What fits no window, wherever it lies. */
static int owner_check_sizes(struct lease *lease, struct netlink_ext_ack *extack)
{
	const struct lend_windows *w = &lease->link->windows;
	u64 most = max(w->win[w->dma].inbound_max, w->win[w->bar].inbound_max);
	int i;

	for (i = 0; i < PCI_STD_NUM_BARS; i++) {
		struct resource *res = &lease->lent->pdev->resource[i];

		if (!(res->flags & IORESOURCE_MEM) || resource_size(res) <= most)
			continue;
		/* Newer kernels cut messages with values at 80 octets. */
		NL_SET_ERR_MSG_FMT(extack,
				   "BAR %d of %llu MiB is larger than the windows, of %llu MiB at most",
				   i, (u64)resource_size(res) >> 20, most >> 20);
		pci_warn(lease->lent->pdev,
			 "cannot be lent: BAR %d of %llu MiB is larger than the windows, of %llu MiB at most\n",
			 i, (u64)resource_size(res) >> 20, most >> 20);
		return -ENOSPC;
	}
	return 0;
}

/* Process context, lease and lent locks held. Bus addresses for all BARs. */
static int owner_map_bars(struct lease *lease, struct netlink_ext_ack *extack)
{
	struct pci_dev *pdev = lease->lent->pdev;
	int i, ret;

	for (i = 0; i < PCI_STD_NUM_BARS; i++) {
		struct resource *res = &pdev->resource[i];

		if (res->flags & IORESOURCE_IO && resource_size(res))
			set_bit(LEND_LIMIT_IO, &lease->lent->limits);
		if (!(res->flags & IORESOURCE_MEM) || !resource_size(res))
			continue;
		ret = owner_map_bar(lease, i);
		if (ret) {
			NL_SET_ERR_MSG_FMT(extack, "BAR %d %s", i, ret == -EBUSY ?
					   "shares its page of memory with another device" :
					   "does not fit the window");
			return ret;
		}
	}
	return 0;
}

/*
 * Process context, lease and lent locks held. The window of each BAR; those of which
 * none is known lie from @lo to @hi, and if there are none, @lo is above @hi. @narrow:
 * the DMA window is none for BARs.
 */
static void owner_find_bars(struct lease *lease, bool narrow, u64 *lo, u64 *hi)
{
	const struct lend_windows *w = &lease->link->windows;
	struct lease_bar *bar;
	u64 largest = 1;
	int i;

	*lo = U64_MAX;
	*hi = 0;
	for (i = 0; i < PCI_STD_NUM_BARS; i++) {
		bar = &lease->bar[i];
		if (!bar->size)
			continue;
		bar->window = lend_window_of(w, bar->bus, bar->size, &bar->offset);
		if (bar->window >= 0 && !(narrow && bar->window == w->dma))
			continue;
		*lo = min(*lo, bar->bus);
		*hi = max(*hi, bar->bus + bar->size - 1);
		largest = max(largest, bar->size);
	}
	/* Each BAR must be aligned to its size in the borrower's window, too. */
	if (*lo <= *hi)
		*lo = round_down(*lo, largest);
}

/* Process context, lease and lent locks held. A place in a window for each BAR. */
static int owner_place_bars(struct lease *lease, bool in_use, struct netlink_ext_ack *extack)
{
	struct lend_windows *w = &lease->link->windows;
	bool narrow = lend_windows_are_narrow(w);
	u64 lo, hi;
	int ret;

	ret = owner_map_bars(lease, extack);
	if (ret)
		return ret;
	owner_find_bars(lease, narrow, &lo, &hi);
	/* If that cannot be, the DMA window has to be wide. */
	if (narrow && lo <= hi)
		lend_bar_window_cover(w, lo, hi, in_use, NULL);
	owner_find_bars(lease, false, &lo, &hi);
	if (lo > hi)
		return 0;
	ret = lend_bar_window_cover(w, lo, hi, in_use, extack);
	if (ret) {
		pci_warn(lease->lent->pdev,
			 "BARs at 0x%llx-0x%llx cannot be shown through window %d of link %u, of %llu MiB\n",
			 lo, hi, w->bar, lease->link->object.id,
			 (u64)w->win[w->bar].inbound_max >> 20);
		return ret;
	}
	owner_find_bars(lease, false, &lo, &hi);
	return lo > hi ? 0 : -ENOSPC;
}

/*
 * Process context, lease and lent locks held. The borrower reads the ROM like a
 * BAR and switches its decoder itself; one that no window reaches is hidden.
 */
static void owner_place_rom(struct lease *lease, bool in_use)
{
	struct resource *res = &lease->lent->pdev->resource[PCI_ROM_RESOURCE];
	struct lease_bar *rom = &lease->bar[LEND_BAR_ROM];
	struct lend_windows *w = &lease->link->windows;

	if (!res->flags || !resource_size(res))
		return;
	if (res->parent && !(res->flags & IORESOURCE_ROM_SHADOW) &&
	    !owner_map_bar(lease, LEND_BAR_ROM)) {
		rom->flags = 0;
		in_use = in_use || owner_holds_bar_window(lease);
		rom->window = lend_window_of(w, rom->bus, rom->size, &rom->offset);
		if (rom->window < 0 &&
		    !lend_bar_window_cover(w, rom->bus, rom->bus + rom->size - 1, in_use, NULL))
			rom->window = lend_window_of(w, rom->bus, rom->size, &rom->offset);
		if (rom->window >= 0 && IS_ALIGNED(rom->offset, rom->size)) {
			lend_filter_allow(lease->lent->filter, PCI_ROM_ADDRESS, 4,
					  PCI_ROM_ADDRESS_ENABLE);
			return;
		}
		owner_unmap_bar(lease, LEND_BAR_ROM);
	}
	set_bit(LEND_LIMIT_ROM, &lease->lent->limits);
}

/* Process context, lease lock held. BARs may lie where only a wide DMA window shows them. */
static int owner_use_dma_window(struct lease *lease, struct netlink_ext_ack *extack)
{
	struct lend_windows *w = &lease->link->windows;
	int i, ret;

	for (i = 0; i < LEND_BARS; i++)
		if (lease->bar[i].size && lease->bar[i].window == w->dma)
			break;
	if (i == LEND_BARS)
		return 0;
	ret = lend_windows_use(w);
	if (ret)
		NL_SET_ERR_MSG(extack, "the bridge refuses to show the BARs through the window");
	lease->dma_window_used = !ret;
	return ret;
}

/**
 * owner_place() - give a function a place in the windows
 * @lease: of the function
 * @in_use: another lease holds the BAR window where it is
 * @trust: what limits the function's DMA
 * @extack: says what is wrong
 *
 * Context: process; caller holds the lease and lent locks.
 * Return: 0 or a negative errno, then nothing is placed.
 */
int owner_place(struct lease *lease, bool in_use, const struct lend_trust *trust,
		struct netlink_ext_ack *extack)
{
	int ret;

	if (!lend_bridge_admits(lease->link->ntb)) {
		NL_SET_ERR_MSG(extack,
			       "the bridge lets only functions in its requester table pass: list this device there, then set ntb_lend's any_requester");
		return -EOPNOTSUPP;
	}
	if (lend_trust_required() && trust->risks) {
		NL_SET_ERR_MSG_FMT(extack, "%s; change that, or unset require_iommu", trust->why);
		pci_warn(lease->lent->pdev, "cannot be lent: %s; change that, or unset require_iommu\n",
			 trust->why);
		return -EPERM;
	}
	ret = owner_check_sizes(lease, extack);
	if (!ret)
		ret = owner_place_bars(lease, in_use, extack);
	if (!ret)
		ret = owner_show_windows(lease, trust, extack);
	if (!ret) {
		owner_place_rom(lease, in_use);
		ret = owner_use_dma_window(lease, extack);
	}
	if (ret)
		owner_unplace(lease, in_use);
	return ret;
}
