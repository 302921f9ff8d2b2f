// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory windows. Two per direction: the largest one shows the DMA address
 * space of the NTB function (translation 0), for DMA, interrupts and the
 * channel; the second one is laid over the BARs of lent devices that the first
 * does not reach. A bridge with one window only can lend what that shows. Those
 * that are left, the free ones, show a host without IOMMU more of its memory to
 * borrowed devices than the DMA window does.
 *
 * Where no IOMMU says what of a window leads to memory, the DMA window ends with
 * the channel while no device is borrowed: as far as the bridge can move that end
 * under traffic.
 *
 * Used by ntb_client.c for its life, by link.c to open and close, by owner.c for
 * BARs, by borrower.c for the regions of root buses.
 *
 * Locks: none of its own; the link's lock for what is outbound, the lease lock
 * for what is inbound.
 */

#include <linux/align.h>
#include <linux/dma-direct.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/iommu.h>
#include <linux/log2.h>
#include <linux/memory_hotplug.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/netlink.h>
#include <linux/nodemask.h>
#include <linux/ntb.h>
#include <linux/pci.h>
#include <linux/swiotlb.h>

#include "bridge.h"
#include "chunk.h"
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

/* It is more where memory is translated, encrypted, copied or flushed. Process context. */
static bool lend_is_plain(struct device *dev)
{
	return !lend_is_translated(dev) && dev_is_dma_coherent(dev) &&
	       !is_swiotlb_force_bounce(dev) && !phys_to_dma(dev, 0);
}

static void lend_window_find_bar(struct lend_windows *w, struct lend_window *win)
{
	struct pci_bus_region region;
	struct resource *res;
	int bar;

	win->pci_bar = -1;
	for (bar = 0; bar < PCI_STD_NUM_BARS; bar++) {
		res = &w->pdev->resource[bar];
		if (!(res->flags & IORESOURCE_MEM) || !resource_size(res) ||
		    win->base < res->start || win->base + win->size - 1 > res->end)
			continue;
		pcibios_resource_to_bus(w->pdev->bus, &region, res);
		win->pci_bar = bar;
		win->bus = region.start + (win->base - res->start);
		return;
	}
}

/* Process context. Leaves a size of 0 where there is no usable window. */
static int lend_window_probe(struct lend_windows *w, int i)
{
	struct lend_window *win = &w->win[i];
	int ret = ntb_peer_mw_get_addr(w->ntb, i, &win->base, &win->size);

	if (ret)
		return ret;
	if (!win->size)
		return 0;
	lend_window_find_bar(w, win);
	if (win->pci_bar < 0) {
		dev_warn(&w->ntb->dev,
			 "window %d has no address: enable 'above 4G decoding' or make it smaller in the firmware\n",
			 i);
		win->size = 0;
	}
	return 0;
}

/* All DMA goes through the NTB function: no address beyond the window. */
static int lend_windows_limit_dma(struct lend_windows *w)
{
	resource_size_t size = w->win[w->dma].size;
	struct device *dev = &w->pdev->dev;
	int bits = min(ilog2(size), 64);
	int ret;

	w->dma_mask = dma_get_mask(dev);
	ret = dma_set_mask_and_coherent(dev, DMA_BIT_MASK(bits));
	if (ret) {
		dev_err(&w->ntb->dev,
			"the window of %llu KiB is too small for DMA: make it larger in the firmware or the bridge's driver\n",
			(u64)size >> 10);
		return ret;
	}
	w->translated = lend_is_translated(dev);
	w->plain = lend_is_plain(dev);
	w->narrows = !w->translated && lend_bridge_moves_ends(w->ntb);
	w->partial = !w->translated && dma_get_required_mask(dev) >= size;
	return 0;
}

/*
 * Process context; nobody uses the windows yet. A kernel that has crashed, and whose
 * place this one has taken, may have left them open: they show what is at the same
 * addresses now.
 */
static void lend_windows_clear(struct lend_windows *w)
{
	int i;

	for (i = 0; i < w->count; i++)
		if (w->win[i].size)
			ntb_mw_clear_trans(w->ntb, w->pidx, i);
}

/**
 * lend_windows_probe() - find the outbound windows and what each is for
 * @w: the windows
 *
 * Firmware may have left a window without a size or an address; the bridge
 * drivers register all the same. The NTB function's DMA is limited to what the
 * window shows. Inbound, all are closed.
 *
 * Context: process.
 * Return: 0; -ENODEV no usable window; or what limiting DMA says.
 */
int lend_windows_probe(struct lend_windows *w)
{
	int count = ntb_peer_mw_count(w->ntb);
	int i, ret, best = -1, second = -1;

	w->count = clamp(count, 0, LEND_WINDOWS_MAX);
	for (i = 0; i < w->count; i++) {
		ret = lend_window_probe(w, i);
		if (ret)
			return ret;
		if (!w->win[i].size)
			continue;
		if (best < 0 || w->win[i].size >= w->win[best].size) {
			second = best;
			best = i;
		} else if (second < 0 || w->win[i].size >= w->win[second].size) {
			second = i;
		}
	}
	if (best < 0) {
		dev_err(&w->ntb->dev,
			"no usable window: enable the bridge's memory windows in the firmware\n");
		return -ENODEV;
	}
	w->dma = best;
	w->bar = second < 0 ? best : second;
	lend_windows_clear(w);
	return lend_windows_limit_dma(w);
}

/**
 * lend_windows_remove() - let the NTB function's DMA go where it went before
 * @w: the windows, closed
 *
 * Context: process.
 */
void lend_windows_remove(struct lend_windows *w)
{
	dma_set_mask_and_coherent(&w->pdev->dev, w->dma_mask);
}

/*
 * Process context, lease lock held; physically up. What the bridge demands of a
 * translation: @align for the address, @size octets at most.
 */
static int lend_window_get_align(struct lend_windows *w, int i, u64 *align, u64 *size)
{
	resource_size_t addr_align, size_align, size_max;
	struct lend_window *win = &w->win[i];
	int ret;

	ret = ntb_mw_get_align(w->ntb, w->pidx, i, &addr_align, &size_align, &size_max);
	if (ret)
		return ret;
	/*
	 * Some drivers name the whole BAR although our window begins further
	 * up in it, and the bridge then does not take that size: the peer's
	 * window is laid out as ours.
	 */
	if (win->base != w->pdev->resource[win->pci_bar].start)
		size_max = min(size_max, win->size);
	*align = max_t(u64, addr_align, 1);
	*size = rounddown(size_max, max_t(u64, size_align, 1));
	return 0;
}

/*
 * Process context, lease lock held; physically up. The first octet of the inbound
 * window becomes @base, @size octets can be reached. On an error it is closed.
 */
static int lend_window_set(struct lend_windows *w, int i, u64 base, u64 size)
{
	struct lend_window *win = &w->win[i];
	int ret;

	/* An endpoint bridge goes on using a translation that was not cleared. */
	if (win->inbound_size && !(w->narrows && base == win->inbound_base))
		ntb_mw_clear_trans(w->ntb, w->pidx, i);
	win->inbound_size = 0;
	ret = ntb_mw_set_trans(w->ntb, w->pidx, i, base, size);
	if (ret) {
		/* What was taken of it is not known, nor whether what it showed has gone. */
		ntb_mw_clear_trans(w->ntb, w->pidx, i);
		return ret;
	}
	win->inbound_base = base;
	win->inbound_size = size;
	return 0;
}

/* Process context, lease lock held. */
static void lend_window_close(struct lend_windows *w, int i)
{
	if (w->win[i].inbound_size)
		ntb_mw_clear_trans(w->ntb, w->pidx, i);
	w->win[i].inbound_base = 0;
	w->win[i].inbound_size = 0;
}

/* First address beyond all memory. */
static u64 lend_memory_end(void)
{
	unsigned long end = 0;
	int node;

	for_each_online_node(node)
		end = max(end, node_end_pfn(node));
	return PFN_PHYS((u64)end);
}

/* Process context. In steps of what the pool takes, so that none of it is missed. */
static u64 lend_memory_from(u64 from)
{
	u64 addr, end = lend_memory_end();

	for (addr = from; addr < end; addr = round_down(addr, LEND_CHUNK_SIZE) + LEND_CHUNK_SIZE) {
		if (pfn_to_online_page(PHYS_PFN(addr)))
			return addr;
		cond_resched();
	}
	return U64_MAX;
}

/* Largest first: aligned to their sizes they leave no gaps then. -1: none is left. */
static int lend_window_next_free(const struct lend_windows *w, unsigned long done)
{
	int i, best = -1;

	for (i = 0; i < w->count; i++) {
		if (!w->win[i].size || !lend_window_is_free(w, i) || test_bit(i, &done))
			continue;
		if (best < 0 || w->win[i].size > w->win[best].size)
			best = i;
	}
	return best;
}

/*
 * Process context, @w->lease_lock held. The choice is made once: chunks of
 * the pool lie where it says.
 */
static bool lend_window_choose(struct lend_windows *w, int i, u64 from)
{
	struct lend_region region;
	u64 align, size;

	if (w->region[i].size)
		return true;
	if (lend_window_get_align(w, i, &align, &size))
		return false;
	w->win[i].inbound_max = size;
	/* A smaller one has no chunk in it, and is one more place to look for the others. */
	if (size < LEND_CHUNK_SIZE ||
	    !lend_region_choose(&region, from, align, size, w->dma_mask, lend_memory_from))
		return false;
	w->region[i] = region;
	return true;
}

/*
 * Process context, lease lock held; physically up, the DMA window open. Shows
 * memory that the DMA window does not. Addresses have to be memory's own: only
 * then is it known what such a window shows. One that stays closed is no error.
 */
static void lend_windows_open_free(struct lend_windows *w)
{
	u64 from = w->win[w->dma].inbound_max;
	const struct lend_region *region;
	unsigned long done = 0;
	int i, ret;

	if (!w->partial)
		return;
	if (!w->region[w->dma].size)
		w->region[w->dma] = (struct lend_region) { .first = 0, .size = from };
	if (!w->plain)
		return;
	while ((i = lend_window_next_free(w, done)) >= 0) {
		__set_bit(i, &done);
		if (!lend_window_choose(w, i, from))
			continue;
		region = &w->region[i];
		/* Also where the bridge refuses: the next time it might not. */
		from = max(from, region->first + region->size);
		ret = lend_window_set(w, i, region->first, region->size);
		if (ret)
			dev_warn(&w->ntb->dev,
				 "window %d cannot show the memory at 0x%llx: error %d\n",
				 i, region->first, ret);
		else
			dev_info(&w->ntb->dev, "window %d shows the memory at 0x%llx-0x%llx\n",
				 i, region->first, region->first + region->size - 1);
	}
}

/**
 * lend_windows_check() - can the inbound windows show what they must
 * @w: the windows; the link is physically up
 * @end: the DMA window must show all addresses below, always
 *
 * Context: process; caller holds the lease lock.
 * Return: 0; an errno for lend_windows_error().
 */
int lend_windows_check(struct lend_windows *w, u64 end)
{
	struct lend_window *win;
	u64 align, size;
	int i;

	for (i = 0; i < w->count; i++) {
		if (!w->win[i].size || lend_window_is_free(w, i))
			continue;
		if (lend_window_get_align(w, i, &align, &size))
			return -ENOTCONN;
		w->win[i].inbound_max = size;
	}

	win = &w->win[w->dma];
	if (end > win->inbound_max)
		return -ENOSPC;
	if (win->inbound_max <= dma_get_mask(&w->pdev->dev))
		return -ERANGE;
	w->idle = PAGE_ALIGN(end);
	return 0;
}

/* Process context, @w->lease_lock held; physically up. Opens what is used, or narrows it. */
static int lend_windows_adjust(struct lend_windows *w)
{
	bool wide = w->users || !w->narrows;
	int i, ret;

	ret = lend_window_set(w, w->dma, 0, wide ? w->win[w->dma].inbound_max : w->idle);
	if (ret)
		return ret;
	if (wide) {
		lend_windows_open_free(w);
		return 0;
	}
	for (i = 0; i < w->count; i++)
		if (lend_window_is_free(w, i))
			lend_window_close(w, i);
	return 0;
}

/**
 * lend_windows_open() - translate the inbound DMA window, and free ones that are used
 * @w: the windows, checked
 *
 * The BAR window stays closed until a device is lent.
 *
 * Context: process; caller holds the lease lock. May sleep: some bridges take a
 * translation as a command.
 * Return: 0; an errno for lend_windows_error().
 */
int lend_windows_open(struct lend_windows *w)
{
	return lend_windows_adjust(w);
}

/**
 * lend_windows_use() - show all that the DMA window and free ones can show
 * @w: the windows
 *
 * Each call is undone by one of lend_windows_unuse(). Closed windows stay closed.
 *
 * Context: process; caller holds the lease lock. May sleep.
 * Return: 0; an errno for lend_windows_error(), then it is undone.
 */
int lend_windows_use(struct lend_windows *w)
{
	int ret = 0;

	if (!w->users++ && w->narrows && w->win[w->dma].inbound_size)
		ret = lend_windows_adjust(w);
	if (ret)
		w->users--;
	return ret;
}

/**
 * lend_windows_unuse() - show no more than the channel, unless another one uses them
 * @w: the windows
 *
 * Context: process; caller holds the lease lock. May sleep.
 */
void lend_windows_unuse(struct lend_windows *w)
{
	if (!--w->users && w->narrows && w->win[w->dma].inbound_size &&
	    lend_windows_adjust(w))
		dev_warn(&w->ntb->dev, "the bridge refuses to narrow window %d\n", w->dma);
}

/**
 * lend_windows_error() - why the inbound window is not open
 * @error: what lend_windows_check() or lend_windows_open() has returned
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
 * @w: the windows
 *
 * Context: process; caller holds the lease lock.
 */
void lend_windows_close(struct lend_windows *w)
{
	int i;

	for (i = 0; i < w->count; i++)
		lend_window_close(w, i);
}

/**
 * lend_bar_window_cover() - make the BAR window show a bus address range
 * @w: the windows
 * @lo: first address of the range
 * @hi: last address
 * @in_use: a lent device has its place in the window, which must not move
 * @extack: says what is wrong
 *
 * The translation is aligned to the window's size where that covers the range:
 * then devices that are neighbours find their place later, and bridges that
 * demand it are content.
 *
 * Context: process; caller holds the lease lock.
 * Return: 0; -ENOSPC does not fit; or what the bridge driver says.
 */
int lend_bar_window_cover(struct lend_windows *w, u64 lo, u64 hi, bool in_use,
			  struct netlink_ext_ack *extack)
{
	struct lend_window *win = &w->win[w->bar];
	u64 base, align, size;
	int ret;

	if (win->inbound_size && lo >= win->inbound_base &&
	    hi < win->inbound_base + win->inbound_size)
		return 0;
	if (w->bar == w->dma) {
		NL_SET_ERR_MSG(extack,
			       "the BARs lie outside the bridge's only window: enable this host's IOMMU, or give the bridge a second or a larger window");
		return -ENOSPC;
	}
	if (in_use) {
		NL_SET_ERR_MSG(extack,
			       "the BARs do not fit the window, which shows those of another lent device: enable this host's IOMMU, or give the bridge a larger window");
		return -ENOSPC;
	}

	ret = lend_window_get_align(w, w->bar, &align, &size);
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
	ret = lend_window_set(w, w->bar, base, size);
	if (ret)
		NL_SET_ERR_MSG(extack, "the bridge refuses to show the BARs through the window");
	return ret;
}

/**
 * lend_bar_window_close() - show no BARs any more
 * @w: the windows; no lent device has its place in that for BARs
 *
 * Does nothing where that is the DMA window, too.
 *
 * Context: process; caller holds the lease lock.
 */
void lend_bar_window_close(struct lend_windows *w)
{
	if (w->bar != w->dma)
		lend_window_close(w, w->bar);
}

/* Process context, lease lock held. The DMA window counts as what it shows while it is used. */
static bool lend_window_holds(const struct lend_windows *w, int i, u64 bus, u64 size)
{
	const struct lend_window *win = &w->win[i];
	u64 shown = i == w->dma ? win->inbound_max : win->inbound_size;

	return win->inbound_size && bus >= win->inbound_base &&
	       bus + size <= win->inbound_base + shown;
}

/**
 * lend_window_of() - which inbound window shows a bus address range
 * @w: the windows
 * @bus: first address
 * @size: octets
 * @offset: where in the window it is
 *
 * Free windows do not count, although one may happen to show it. Of both others
 * that for BARs comes first where the DMA window can stay narrow.
 *
 * Context: process; caller holds the lease lock.
 * Return: index of the window; -ENOSPC none.
 */
int lend_window_of(const struct lend_windows *w, u64 bus, u64 size, u64 *offset)
{
	int first = w->narrows ? w->bar : w->dma;
	int i = first;

	if (!lend_window_holds(w, i, bus, size))
		i = w->dma + w->bar - first;
	if (!lend_window_holds(w, i, bus, size))
		return -ENOSPC;
	*offset = bus - w->win[i].inbound_base;
	return i;
}

/**
 * lend_window_claim() - take over an outbound window's region for root buses
 * @w: the windows
 * @i: index of the window
 *
 * The bridge driver marks the whole BAR as busy, so that no driver could
 * request a borrowed BAR inside it. Given back by lend_windows_unclaim().
 *
 * Context: process; caller holds @w->lock.
 * Return: 0 or a negative errno.
 */
int lend_window_claim(struct lend_windows *w, int i)
{
	struct lend_window *win = &w->win[i];
	int ret;

	if (win->claimed)
		return 0;
	pci_release_region(w->pdev, win->pci_bar);
	win->res = (struct resource) {
		.name = "ntb_lend",
		.start = win->base,
		.end = win->base + win->size - 1,
		.flags = IORESOURCE_MEM,
	};
	ret = request_resource(&w->pdev->resource[win->pci_bar], &win->res);
	if (ret) {
		if (pci_request_region(w->pdev, win->pci_bar, "ntb_lend"))
			dev_warn(&w->pdev->dev, "region of BAR %d is lost\n", win->pci_bar);
		return ret;
	}
	win->claimed = true;
	return 0;
}

/**
 * lend_windows_unclaim() - give the regions back to the bridge driver
 * @w: the windows, without borrowed devices
 *
 * Context: process; caller holds @w->lock.
 */
void lend_windows_unclaim(struct lend_windows *w)
{
	struct lend_window *win;
	int i;

	for (i = 0; i < w->count; i++) {
		win = &w->win[i];
		if (!win->claimed)
			continue;
		release_resource(&win->res);
		/* The bridge driver releases it when it is unbound. */
		if (pci_request_region(w->pdev, win->pci_bar, pci_name(w->pdev)))
			dev_warn(&w->pdev->dev, "region of BAR %d is lost\n", win->pci_bar);
		win->claimed = false;
	}
}
