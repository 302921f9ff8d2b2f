// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owner side: where in the windows the borrower finds a function's BARs, and
 * where the function finds the borrower's memory.
 */

#include <linux/dma-mapping.h>
#include <linux/netlink.h>
#include <linux/pci.h>

#include "bridge.h"
#include "compat.h"
#include "contain.h"
#include "lent.h"
#include "link.h"
#include "window.h"

static_assert(LEND_BAR_ROM == PCI_ROM_RESOURCE);
static_assert(LEND_BARS > PCI_STD_NUM_BARS);

/**
 * lend_lent_limit() - what a lent device lacks, in words
 * @limit: what
 *
 * Context: any.
 */
const char *lend_lent_limit(enum lend_limit limit)
{
	switch (limit) {
	case LEND_LIMIT_RESET:
		return "no reset method: what one user leaves in the device, the next one finds";
	case LEND_LIMIT_IO:
		return "I/O port BARs are hidden: windows carry memory only";
	case LEND_LIMIT_ROM:
		return "the expansion ROM is hidden: it has no address, or no window reaches it";
	case LEND_LIMIT_GROUP:
		return "its IOMMU group has other devices: it can reach what they can";
	default:
		return "unknown";
	}
}

static u32 lend_bar_flags(const struct resource *res)
{
	u32 flags = PCI_BASE_ADDRESS_SPACE_MEMORY;

	if (res->flags & IORESOURCE_MEM_64)
		flags |= PCI_BASE_ADDRESS_MEM_TYPE_64;
	if (res->flags & IORESOURCE_PREFETCH)
		flags |= PCI_BASE_ADDRESS_MEM_PREFETCH;
	return flags;
}

/* Process context, lease and lent locks held. */
static int lend_lent_map_bar(struct lend_lent *lent, struct lend_link *link, int i)
{
	struct resource *res = &lent->pdev->resource[i];
	struct lend_lent_bar *bar = &lent->bar[i];

	bar->size = resource_size(res);
	bar->flags = lend_bar_flags(res);
	bar->mapped = lend_is_translated(&link->pdev->dev);
	if (!bar->mapped) {
		bar->bus = pci_bus_address(lent->pdev, i);
		return 0;
	}
	bar->bus = dma_map_resource(&link->pdev->dev, res->start, bar->size,
				    DMA_BIDIRECTIONAL, 0);
	if (dma_mapping_error(&link->pdev->dev, bar->bus)) {
		bar->size = 0;
		bar->mapped = false;
		return -ENOSPC;
	}
	return 0;
}

/* Process context, lease and lent locks held. */
static void lend_lent_unmap_bar(struct lend_lent *lent, struct lend_link *link, int i)
{
	struct lend_lent_bar *bar = &lent->bar[i];

	if (bar->size && bar->mapped)
		dma_unmap_resource(&link->pdev->dev, bar->bus, bar->size, DMA_BIDIRECTIONAL, 0);
	memset(bar, 0, sizeof(*bar));
}

/**
 * lend_lent_unplace() - give up the function's place in the windows
 * @lent: the lent device
 * @link: the borrower's link
 *
 * Context: process; lease and lent locks held.
 */
void lend_lent_unplace(struct lend_lent *lent, struct lend_link *link)
{
	int i;

	for (i = 0; i < LEND_BARS; i++)
		lend_lent_unmap_bar(lent, link, i);
	lend_contain_close(lent);
}

static bool lend_lent_holds_bar_window(const struct lend_lent *lent, const struct lend_link *link)
{
	int i;

	for (i = 0; i < LEND_BARS; i++)
		if (lent->bar[i].size && lent->bar[i].window == link->bar_win)
			return true;
	return false;
}

/**
 * lend_lent_uses_bar_window() - does a lease hold the BAR window in place
 * @lent: a lent device
 * @arg: struct lend_in_use: the link, and the device that does not count
 *
 * Context: process; @arg's lease lock held.
 * Return: 1 if it does, else 0.
 */
int lend_lent_uses_bar_window(struct lend_lent *lent, void *arg)
{
	struct lend_in_use *in_use = arg;

	return lent != in_use->but && lent->link == in_use->link &&
	       lend_lent_holds_bar_window(lent, in_use->link);
}

/* Process context, lease lock held. What fits no window, wherever it lies. */
static int lend_lent_check_sizes(struct lend_lent *lent, const struct lend_link *link,
				 struct netlink_ext_ack *extack)
{
	u64 most = max(link->win[link->dma_win].inbound_max, link->win[link->bar_win].inbound_max);
	int i;

	for (i = 0; i < PCI_STD_NUM_BARS; i++) {
		struct resource *res = &lent->pdev->resource[i];

		if (!(res->flags & IORESOURCE_MEM) || resource_size(res) <= most)
			continue;
		/* Newer kernels cut messages with values at 80 octets. */
		NL_SET_ERR_MSG_FMT(extack,
				   "BAR %d of %llu MiB is larger than the windows, of %llu MiB at most",
				   i, (u64)resource_size(res) >> 20, most >> 20);
		pci_warn(lent->pdev,
			 "cannot be lent: BAR %d of %llu MiB is larger than the windows, of %llu MiB at most\n",
			 i, (u64)resource_size(res) >> 20, most >> 20);
		return -ENOSPC;
	}
	return 0;
}

/* Process context, lease and lent locks held. A place in a window for each BAR. */
static int lend_lent_place_bars(struct lend_lent *lent, struct lend_link *link,
				bool in_use, struct netlink_ext_ack *extack)
{
	u64 lo = U64_MAX, hi = 0, largest = 0;
	struct lend_lent_bar *bar;
	int i, ret;

	for (i = 0; i < PCI_STD_NUM_BARS; i++) {
		struct resource *res = &lent->pdev->resource[i];

		if (res->flags & IORESOURCE_IO && resource_size(res))
			set_bit(LEND_LIMIT_IO, &lent->limits);
		if (!(res->flags & IORESOURCE_MEM) || !resource_size(res))
			continue;
		ret = lend_lent_map_bar(lent, link, i);
		if (ret) {
			NL_SET_ERR_MSG_FMT(extack, "BAR %d does not fit the window", i);
			return ret;
		}
		bar = &lent->bar[i];
		bar->window = lend_window_of(link, bar->bus, bar->size, &bar->offset);
		if (bar->window < 0) {
			lo = min(lo, bar->bus);
			hi = max(hi, bar->bus + bar->size - 1);
			largest = max(largest, bar->size);
		}
	}
	if (lo <= hi) {
		/* Each BAR must be aligned to its size in the borrower's window, too. */
		lo = round_down(lo, largest);
		ret = lend_bar_window_cover(link, lo, hi, in_use, extack);
		if (ret) {
			pci_warn(lent->pdev,
				 "BARs at 0x%llx-0x%llx cannot be shown through window %d of link %u, of %llu MiB\n",
				 lo, hi, link->bar_win, link->id,
				 (u64)link->win[link->bar_win].inbound_max >> 20);
			return ret;
		}
	}
	for (i = 0; i < PCI_STD_NUM_BARS; i++) {
		bar = &lent->bar[i];
		if (!bar->size || bar->window >= 0)
			continue;
		bar->window = lend_window_of(link, bar->bus, bar->size, &bar->offset);
		if (bar->window < 0)
			return -ENOSPC;
	}
	return 0;
}

/*
 * Process context, lease and lent locks held. The borrower reads the ROM like a
 * BAR and switches its decoder itself; one that no window reaches is hidden.
 */
static void lend_lent_place_rom(struct lend_lent *lent, struct lend_link *link, bool in_use)
{
	struct resource *res = &lent->pdev->resource[PCI_ROM_RESOURCE];
	struct lend_lent_bar *rom = &lent->bar[LEND_BAR_ROM];

	if (!res->flags || !resource_size(res))
		return;
	if (res->parent && !(res->flags & IORESOURCE_ROM_SHADOW) &&
	    !lend_lent_map_bar(lent, link, LEND_BAR_ROM)) {
		rom->flags = 0;
		in_use = in_use || lend_lent_holds_bar_window(lent, link);
		rom->window = lend_window_of(link, rom->bus, rom->size, &rom->offset);
		if (rom->window < 0 &&
		    !lend_bar_window_cover(link, rom->bus, rom->bus + rom->size - 1, in_use,
					   NULL))
			rom->window = lend_window_of(link, rom->bus, rom->size, &rom->offset);
		if (rom->window >= 0 && IS_ALIGNED(rom->offset, rom->size)) {
			lend_filter_allow(lent->filter, PCI_ROM_ADDRESS, 4,
					  PCI_ROM_ADDRESS_ENABLE);
			return;
		}
		lend_lent_unmap_bar(lent, link, LEND_BAR_ROM);
	}
	set_bit(LEND_LIMIT_ROM, &lent->limits);
}

/**
 * lend_lent_place() - give the function a place in the windows
 * @lent: the lent device
 * @link: the borrower's link
 * @in_use: another lease holds the BAR window in place
 * @containment: what lend_contain_probe() found
 * @extack: says what does not fit
 *
 * Context: process; lease and lent locks held.
 * Return: 0 or a negative errno, then nothing is placed.
 */
int lend_lent_place(struct lend_lent *lent, struct lend_link *link, bool in_use,
		    const struct lend_containment *containment, struct netlink_ext_ack *extack)
{
	int ret;

	if (!lend_bridge_admits(link)) {
		NL_SET_ERR_MSG(extack,
			       "the bridge lets only functions in its requester table pass: list this device there, then set ntb_lend's any_requester");
		return -EOPNOTSUPP;
	}
	ret = lend_lent_check_sizes(lent, link, extack);
	if (!ret)
		ret = lend_lent_place_bars(lent, link, in_use, extack);
	if (!ret)
		ret = lend_contain_open(lent, link, containment, extack);
	if (ret) {
		lend_lent_unplace(lent, link);
		return ret;
	}
	if (containment->translated && !lent->contained)
		set_bit(LEND_LIMIT_GROUP, &lent->limits);
	lend_lent_place_rom(lent, link, in_use);
	return 0;
}
