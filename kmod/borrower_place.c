// SPDX-License-Identifier: GPL-2.0-only
/*
 * Borrower side: where a borrowed device's registers are in the windows, and through
 * which windows it finds this host's memory. The owner says so, and is not believed.
 *
 * Called by borrower.c as it attaches a device. Locks: the link's, held by it.
 */

#include <linux/io.h>
#include <linux/log2.h>
#include <linux/netlink.h>
#include <linux/pci.h>
#include <linux/random.h>
#include <linux/sizes.h>

#include "borrowed.h"
#include "borrower_place.h"
#include "channel.h"
#include "compat.h"
#include "link.h"
#include "pool.h"
#include "view.h"
#include "window.h"

/* Process context. Asks the owner for one BAR and believes nothing it says. */
static int borrower_ask_bar(struct borrowed_device *b, int i, struct netlink_ext_ack *extack)
{
	struct lend_call call = {
		.op = LEND_OP_BAR, .handle = b->remote_id, .epoch = b->epoch, .arg = i,
	};
	struct borrowed_bar *bar = &b->bar[i];
	struct lend_window *win;
	int ret;

	ret = lend_channel_call(&b->link->channel, &call);
	if (ret)
		return ret;
	bar->size = call.val[LEND_BAR_SIZE];
	if (!bar->size)
		return 0;
	bar->offset = call.val[LEND_BAR_OFFSET];
	bar->window = call.val[LEND_BAR_PLACE] & 0xff;
	bar->flags = call.val[LEND_BAR_PLACE] >> 8 & 0xf;

	if (bar->window >= b->link->windows.count || !is_power_of_2(bar->size) || bar->size < 16 ||
	    (bar->flags & PCI_BASE_ADDRESS_SPACE_IO) ||
	    (bar->flags & PCI_BASE_ADDRESS_MEM_TYPE_64 && i + 1 >= PCI_STD_NUM_BARS) ||
	    (i == LEND_BAR_ROM && bar->size > SZ_16M))
		goto bad;
	win = &b->link->windows.win[bar->window];
	if (bar->size > win->size || bar->offset > win->size - bar->size) {
		NL_SET_ERR_MSG_FMT(extack, "BAR %d of %llu KiB does not fit the window of %llu MiB",
				   i, bar->size >> 10, (u64)win->size >> 20);
		bar->size = 0;
		return -ENOSPC;
	}
	if ((win->bus + bar->offset) & (bar->size - 1)) {
		NL_SET_ERR_MSG_FMT(extack, "BAR %d of %llu KiB cannot be aligned in the window", i,
				   bar->size >> 10);
		bar->size = 0;
		return -ENOSPC;
	}
	return lend_window_claim(&b->link->windows, bar->window);
bad:
	NL_SET_ERR_MSG_FMT(extack, "the owner describes BAR %d in a way that cannot be", i);
	bar->size = 0;
	return -EPROTO;
}

/**
 * borrower_ask_bars() - ask the owner where BARs and ROM are
 * @b: the borrowed device, opened
 * @extack: says what is wrong
 *
 * Context: process; caller holds the link's lock.
 * Return: 0 or a negative errno.
 */
int borrower_ask_bars(struct borrowed_device *b, struct netlink_ext_ack *extack)
{
	int i, ret;

	for (i = 0; i < PCI_STD_NUM_BARS; i++) {
		ret = borrower_ask_bar(b, i, extack);
		if (ret)
			return ret;
		/* The next register is the upper half of this one. */
		if (b->bar[i].size && b->bar[i].flags & PCI_BASE_ADDRESS_MEM_TYPE_64)
			i++;
	}
	ret = borrower_ask_bar(b, LEND_BAR_ROM, extack);
	if (ret == -ENOSPC) {
		dev_info(&b->link->ntb->dev,
			 "borrowed device %u: its expansion ROM is hidden: no window shows it\n",
			 b->object.id);
		return 0;
	}
	return ret;
}

/**
 * borrower_place() - tell the kernel where BARs and ROM are
 * @b: the borrowed device
 * @pdev: its function
 *
 * Registers of 32 bits show the lower half of an address above 4 GiB.
 *
 * Context: process; caller holds the rescan lock.
 */
void borrower_place(struct borrowed_device *b, struct pci_dev *pdev)
{
	const struct borrowed_bar *bar;
	struct resource *res;
	int i;

	for (i = 0; i < LEND_BARS; i++) {
		bar = &b->bar[i];
		res = &pdev->resource[i];
		if (!bar->size || !res->flags)
			continue;
		res->start = b->link->windows.win[bar->window].base + bar->offset;
		res->end = res->start + bar->size - 1;
		res->flags &= ~IORESOURCE_UNSET;
	}
}

/**
 * borrower_bars_claimed() - have all BARs their place in a window
 * @b: the borrowed device
 * @pdev: its function, after pci_bus_claim_resources()
 *
 * Context: process; caller holds the rescan lock.
 */
bool borrower_bars_claimed(struct borrowed_device *b, struct pci_dev *pdev)
{
	int i;

	for (i = 0; i < PCI_STD_NUM_BARS; i++)
		if (b->bar[i].size && !pdev->resource[i].parent)
			return false;
	return true;
}

/* What a window shows now. */
static struct lend_region borrower_window_region(const struct lend_window *win)
{
	return (struct lend_region) { .first = win->inbound_base, .size = win->inbound_size };
}

/*
 * Process context, link lock held. Asks where the device finds a window, and has
 * the owner write into a page that the window shows, @phys. The size in the
 * answer is 0 where that has not arrived.
 */
static int borrower_try_window(struct borrowed_device *b, int i, phys_addr_t phys,
			       struct lend_call *call)
{
	u64 page = (phys - b->link->windows.win[i].inbound_base) >> LEND_PLACE_SHIFT;
	__le32 *written = phys_to_virt(phys);
	int ret;

	*call = (struct lend_call) {
		.op = LEND_OP_WINDOW, .handle = b->remote_id, .epoch = b->epoch,
		.arg = LEND_PLACE(i, page), .value = get_random_u32(),
	};
	if (page > LEND_PLACE_PAGE_MAX)
		return 0;
	WRITE_ONCE(*written, cpu_to_le32(~call->value));
	ret = lend_channel_call(&b->link->channel, call);
	if (!ret && call->val[LEND_WINDOW_SIZE] &&
	    le32_to_cpu(READ_ONCE(*written)) != call->value) {
		dev_warn(&b->link->ntb->dev,
			 "window %d is not used: the peer's writes do not arrive: this bridge does not translate\n",
			 i);
		call->val[LEND_WINDOW_SIZE] = 0;
	}
	return ret;
}

/* Process context, link lock held. Asks the owner for one window and believes nothing it says. */
static int borrower_ask_view(struct borrowed_device *b, int i, struct netlink_ext_ack *extack)
{
	const struct lend_region region = borrower_window_region(&b->link->windows.win[i]);
	struct lend_pool *pool = b->link->pool;
	struct lend_call call;
	phys_addr_t phys;
	int ret;

	phys = lend_pool_take(pool, BIT(i), PAGE_SIZE, false, GFP_KERNEL);
	if (phys == LEND_POOL_NONE) {
		dev_warn(&b->link->ntb->dev,
			 "window %d is not used: none of the memory that it shows could be had\n",
			 i);
		return 0;
	}
	ret = borrower_try_window(b, i, phys, &call);
	/* An owner that has not answered may still write into it. */
	if (ret != -ETIMEDOUT && ret != -ENODEV)
		lend_pool_give(pool, phys, PAGE_SIZE);
	if (ret || !call.val[LEND_WINDOW_SIZE])
		return ret;
	ret = lend_views_add(&b->views, i, &region, call.val[LEND_WINDOW_BASE],
			     call.val[LEND_WINDOW_SIZE]);
	if (ret)
		NL_SET_ERR_MSG_FMT(extack, "the owner describes window %d in a way that cannot be",
				   i);
	return ret;
}

/**
 * borrower_ask_views() - ask the owner where the device finds this host's memory
 * @b: the borrowed device, opened
 * @window: which one the owner takes for DMA
 * @bus: where the device finds that
 * @size: octets of it
 * @extack: says what is wrong
 *
 * The owner is asked for free windows.
 *
 * Context: process; caller holds the link's lock: no window but that for BARs opens or
 * closes.
 * Return: 0 or a negative errno.
 */
int borrower_ask_views(struct borrowed_device *b, u64 window, u64 bus, u64 size,
		       struct netlink_ext_ack *extack)
{
	struct lend_windows *w = &b->link->windows;
	const struct lend_region dma = borrower_window_region(&w->win[w->dma]);
	int i, ret;

	if (window != w->dma) {
		NL_SET_ERR_MSG(extack,
			       "the hosts take different windows for DMA: set the same sizes in both firmwares");
		return -EPROTO;
	}
	ret = lend_views_add(&b->views, w->dma, &dma, bus, size);
	if (ret) {
		NL_SET_ERR_MSG(extack,
			       "the owner describes its DMA window in a way that cannot be");
		return ret;
	}
	for (i = 0; i < w->count; i++) {
		if (!lend_window_is_free(w, i) || !w->win[i].inbound_size)
			continue;
		ret = borrower_ask_view(b, i, extack);
		if (ret)
			return ret;
	}
	if (b->link->pool && !b->views.whole) {
		NL_SET_ERR_MSG(extack,
			       "the owner's windows are smaller than ours: set the same sizes in the firmware of both");
		return -ENOSPC;
	}
	return 0;
}
