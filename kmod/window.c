// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory windows. Two per direction: the largest one shows the DMA address
 * space of the NTB function (translation 0), for DMA, interrupts and the
 * channel; the second one is laid over the BARs of lent devices that the first
 * does not reach. A bridge with one window only can lend what that shows. What
 * more windows are for, see window_free.c.
 */

#include <linux/align.h>
#include <linux/dma-direct.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/iommu.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/netlink.h>
#include <linux/pci.h>
#include <linux/swiotlb.h>

#include "link.h"
#include "window.h"

/**
 * lend_is_translated() - does an IOMMU translate what this device sends
 * @dev: the device
 *
 * Context: process.
 */
bool lend_is_translated(struct device *dev)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(dev);

	return domain && (domain->type & __IOMMU_DOMAIN_PAGING);
}

/**
 * lend_is_plain() - is mapping memory for this device nothing but its address
 * @dev: the device
 *
 * It is more where memory is translated, encrypted, copied or flushed.
 *
 * Context: process.
 */
bool lend_is_plain(struct device *dev)
{
	return !lend_is_translated(dev) && dev_is_dma_coherent(dev) &&
	       !is_swiotlb_force_bounce(dev) && !phys_to_dma(dev, 0);
}

static void lend_window_find_bar(struct lend_link *link, struct lend_window *win)
{
	struct pci_bus_region region;
	struct resource *res;
	int bar;

	win->pci_bar = -1;
	for (bar = 0; bar < PCI_STD_NUM_BARS; bar++) {
		res = &link->pdev->resource[bar];
		if (!(res->flags & IORESOURCE_MEM) || !resource_size(res) ||
		    win->base < res->start || win->base + win->size - 1 > res->end)
			continue;
		pcibios_resource_to_bus(link->pdev->bus, &region, res);
		win->pci_bar = bar;
		win->bus = region.start + (win->base - res->start);
		return;
	}
}

/* Process context. Leaves a size of 0 where there is no usable window. */
static int lend_window_probe(struct lend_link *link, int i)
{
	struct lend_window *win = &link->win[i];
	int ret = ntb_peer_mw_get_addr(link->ntb, i, &win->base, &win->size);

	if (ret)
		return ret;
	if (!win->size)
		return 0;
	lend_window_find_bar(link, win);
	if (win->pci_bar < 0) {
		dev_warn(&link->ntb->dev,
			 "window %d has no address: enable 'above 4G decoding' or make it smaller in the firmware\n",
			 i);
		win->size = 0;
	}
	return 0;
}

/**
 * lend_windows_probe() - find the outbound windows and what each is for
 * @link: the link
 *
 * Firmware may have left a window without a size or an address; the bridge
 * drivers register all the same.
 *
 * Context: process.
 * Return: 0; -ENODEV no usable window.
 */
int lend_windows_probe(struct lend_link *link)
{
	int count = ntb_peer_mw_count(link->ntb);
	int i, ret, best = -1, second = -1;

	link->nwin = clamp(count, 0, LEND_WINDOWS_MAX);
	for (i = 0; i < link->nwin; i++) {
		ret = lend_window_probe(link, i);
		if (ret)
			return ret;
		if (!link->win[i].size)
			continue;
		if (best < 0 || link->win[i].size >= link->win[best].size) {
			second = best;
			best = i;
		} else if (second < 0 || link->win[i].size >= link->win[second].size) {
			second = i;
		}
	}
	if (best < 0) {
		dev_err(&link->ntb->dev,
			"no usable window: enable the bridge's memory windows in the firmware\n");
		return -ENODEV;
	}
	link->dma_win = best;
	link->bar_win = second < 0 ? best : second;
	return 0;
}

/**
 * lend_window_get_align() - what the bridge demands of a translation
 * @link: the link, physically up
 * @i: index of the window
 * @align: result, for the address
 * @size: result: most octets
 *
 * Context: process; caller holds @link->lease_lock.
 * Return: 0; or what the bridge driver says.
 */
int lend_window_get_align(struct lend_link *link, int i, u64 *align, u64 *size)
{
	resource_size_t addr_align, size_align, size_max;
	struct lend_window *win = &link->win[i];
	int ret;

	ret = ntb_mw_get_align(link->ntb, link->pidx, i, &addr_align, &size_align, &size_max);
	if (ret)
		return ret;
	/*
	 * Some drivers name the whole BAR although our window begins further
	 * up in it, and the bridge then does not take that size: the peer's
	 * window is laid out as ours.
	 */
	if (win->base != link->pdev->resource[win->pci_bar].start)
		size_max = min(size_max, win->size);
	*align = max_t(u64, addr_align, 1);
	*size = rounddown(size_max, max_t(u64, size_align, 1));
	return 0;
}

/**
 * lend_window_set() - translate an inbound window
 * @link: the link, physically up
 * @i: index of the window
 * @base: the DMA address that its first octet becomes
 * @size: octets of it that the peer may use
 *
 * Context: process; caller holds @link->lease_lock.
 * Return: 0; or what the bridge driver says, then the window is closed.
 */
int lend_window_set(struct lend_link *link, int i, u64 base, u64 size)
{
	struct lend_window *win = &link->win[i];
	int ret;

	/* An endpoint bridge goes on using a translation that was not cleared. */
	if (win->inbound_size)
		ntb_mw_clear_trans(link->ntb, link->pidx, i);
	win->inbound_size = 0;
	ret = ntb_mw_set_trans(link->ntb, link->pidx, i, base, size);
	if (ret)
		return ret;
	win->inbound_base = base;
	win->inbound_size = size;
	return 0;
}

/**
 * lend_windows_open() - translate the inbound DMA window, and free ones
 * @link: the link, physically up
 *
 * The BAR window stays closed until a device is lent.
 *
 * Context: process; caller holds @link->lease_lock. May sleep: some bridges take a
 * translation as a command.
 * Return: 0; an errno for lend_windows_error().
 */
int lend_windows_open(struct lend_link *link)
{
	struct lend_window *win;
	u64 align, size;
	int i, ret;

	for (i = 0; i < link->nwin; i++) {
		if (!link->win[i].size || lend_window_is_free(link, i))
			continue;
		ret = lend_window_get_align(link, i, &align, &size);
		if (ret)
			return -ENOTCONN;
		link->win[i].inbound_max = size;
	}

	win = &link->win[link->dma_win];
	if (link->chan_dma + sizeof(*link->chan) > win->inbound_max)
		return -ENOSPC;
	if (win->inbound_max <= dma_get_mask(&link->pdev->dev))
		return -ERANGE;
	ret = lend_window_set(link, link->dma_win, 0, win->inbound_max);
	if (!ret)
		lend_windows_open_free(link);
	return ret;
}

/**
 * lend_windows_error() - why the inbound window is not open
 * @error: what lend_windows_open() has returned
 *
 * Context: any.
 */
const char *lend_windows_error(int error)
{
	switch (error) {
	case -ENOTCONN:
		return "the bridge does not say how its windows must be aligned";
	case -ENOSPC:
		return "the window does not reach this host's memory";
	case -ERANGE:
		return "the peer's window is smaller: set both to one size in the firmware";
	default:
		return "the bridge refuses the window's translation";
	}
}

/**
 * lend_windows_close() - let the peer reach nothing
 * @link: the link
 *
 * Context: process; caller holds @link->lease_lock.
 */
void lend_windows_close(struct lend_link *link)
{
	int i;

	for (i = 0; i < link->nwin; i++) {
		if (link->win[i].inbound_size)
			ntb_mw_clear_trans(link->ntb, link->pidx, i);
		link->win[i].inbound_base = 0;
		link->win[i].inbound_size = 0;
	}
}

/**
 * lend_bar_window_cover() - make the BAR window show a bus address range
 * @link: the link
 * @lo: first address of the range
 * @hi: last address
 * @in_use: a lent device has its place in the window, which must not move
 * @extack: says what is wrong
 *
 * The translation is aligned to the window's size where that covers the range:
 * then devices that are neighbours find their place later, and bridges that
 * demand it are content.
 *
 * Context: process; caller holds @link->lease_lock.
 * Return: 0; -ENOSPC does not fit; or what the bridge driver says.
 */
int lend_bar_window_cover(struct lend_link *link, u64 lo, u64 hi, bool in_use,
			  struct netlink_ext_ack *extack)
{
	struct lend_window *win = &link->win[link->bar_win];
	u64 base, align, size;
	int ret;

	if (win->inbound_size && lo >= win->inbound_base &&
	    hi < win->inbound_base + win->inbound_size)
		return 0;
	if (link->bar_win == link->dma_win) {
		NL_SET_ERR_MSG(extack,
			       "the BARs lie outside the bridge's only window: enable this host's IOMMU, or give the bridge a second or a larger window");
		return -ENOSPC;
	}
	if (in_use) {
		NL_SET_ERR_MSG(extack,
			       "the BARs do not fit the window, which shows those of another lent device: enable this host's IOMMU, or give the bridge a larger window");
		return -ENOSPC;
	}

	ret = lend_window_get_align(link, link->bar_win, &align, &size);
	if (ret)
		return ret;
	base = round_down(lo, rounddown_pow_of_two(size));
	if (hi - base >= size)
		base = rounddown(lo, align);
	if (hi - base >= size) {
		NL_SET_ERR_MSG(extack,
			       "the BARs do not fit the window, which is too small or has to be aligned to its size: enable this host's IOMMU, or give the bridge a larger window");
		return -ENOSPC;
	}
	ret = lend_window_set(link, link->bar_win, base, size);
	if (ret)
		NL_SET_ERR_MSG(extack, "the bridge refuses to show the BARs through the window");
	return ret;
}

/**
 * lend_window_of() - which inbound window shows a bus address range
 * @link: the link
 * @bus: first address
 * @size: octets
 * @offset: where in the window it is
 *
 * Free windows do not count, although one may happen to show it.
 *
 * Context: process; caller holds @link->lease_lock.
 * Return: index of the window; -ENOSPC none.
 */
int lend_window_of(const struct lend_link *link, u64 bus, u64 size, u64 *offset)
{
	const struct lend_window *win;
	int i;

	for (i = 0; i < link->nwin; i++) {
		win = &link->win[i];
		if (lend_window_is_free(link, i) || !win->inbound_size ||
		    bus < win->inbound_base || bus + size > win->inbound_base + win->inbound_size)
			continue;
		*offset = bus - win->inbound_base;
		return i;
	}
	return -ENOSPC;
}

/**
 * lend_window_claim() - take over an outbound window's region for root buses
 * @link: the link
 * @widx: index of the window
 *
 * The bridge driver marks the whole BAR as busy, so that no driver could
 * request a borrowed BAR inside it. Given back by lend_windows_unclaim().
 *
 * Context: process; caller holds @link->lock.
 * Return: 0 or a negative errno.
 */
int lend_window_claim(struct lend_link *link, int widx)
{
	struct lend_window *win = &link->win[widx];
	int ret;

	if (win->claimed)
		return 0;
	pci_release_region(link->pdev, win->pci_bar);
	win->res = (struct resource) {
		.name = "ntb_lend",
		.start = win->base,
		.end = win->base + win->size - 1,
		.flags = IORESOURCE_MEM,
	};
	ret = request_resource(&link->pdev->resource[win->pci_bar], &win->res);
	if (ret) {
		if (pci_request_region(link->pdev, win->pci_bar, "ntb_lend"))
			dev_warn(&link->pdev->dev, "region of BAR %d is lost\n", win->pci_bar);
		return ret;
	}
	win->claimed = true;
	return 0;
}

/**
 * lend_windows_unclaim() - give the regions back to the bridge driver
 * @link: the link, without borrowed devices
 *
 * Context: process; caller holds @link->lock.
 */
void lend_windows_unclaim(struct lend_link *link)
{
	struct lend_window *win;
	int i;

	for (i = 0; i < link->nwin; i++) {
		win = &link->win[i];
		if (!win->claimed)
			continue;
		release_resource(&win->res);
		/* The bridge driver releases it when it is unbound. */
		if (pci_request_region(link->pdev, win->pci_bar, pci_name(link->pdev)))
			dev_warn(&link->pdev->dev, "region of BAR %d is lost\n", win->pci_bar);
		win->claimed = false;
	}
}
