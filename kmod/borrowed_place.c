// SPDX-License-Identifier: GPL-2.0-only
/* Borrower side: where in the windows the BARs and the ROM of a borrowed device are. */

#include <linux/log2.h>
#include <linux/netlink.h>
#include <linux/pci.h>
#include <linux/sizes.h>

#include "borrowed.h"
#include "channel.h"
#include "compat.h"
#include "link.h"
#include "window.h"

/* Process context. Asks the owner for one BAR and believes nothing it says. */
static int lend_borrowed_ask_bar(struct lend_borrowed *b, int i, struct netlink_ext_ack *extack)
{
	struct lend_call call = {
		.op = LEND_OP_BAR, .handle = b->remote_id, .epoch = b->epoch, .arg = i,
	};
	struct lend_borrowed_bar *bar = &b->bar[i];
	struct lend_window *win;
	int ret;

	ret = lend_channel_call(b->link, &call);
	if (ret)
		return ret;
	bar->size = call.val[LEND_BAR_SIZE];
	if (!bar->size)
		return 0;
	bar->offset = call.val[LEND_BAR_OFFSET];
	bar->window = call.val[LEND_BAR_PLACE] & 0xff;
	bar->flags = call.val[LEND_BAR_PLACE] >> 8 & 0xf;

	if (bar->window >= b->link->nwin || !is_power_of_2(bar->size) || bar->size < 16 ||
	    (bar->flags & PCI_BASE_ADDRESS_SPACE_IO) ||
	    (bar->flags & PCI_BASE_ADDRESS_MEM_TYPE_64 && i + 1 >= PCI_STD_NUM_BARS) ||
	    (i == LEND_BAR_ROM && bar->size > SZ_16M))
		goto bad;
	win = &b->link->win[bar->window];
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
	return lend_window_claim(b->link, bar->window);
bad:
	NL_SET_ERR_MSG_FMT(extack, "the owner describes BAR %d in a way that cannot be", i);
	bar->size = 0;
	return -EPROTO;
}

/**
 * lend_borrowed_ask_bars() - ask the owner where the BARs and the ROM are
 * @b: the borrowed device, opened
 * @extack: says what is wrong
 *
 * Context: process; link lock held.
 * Return: 0 or a negative errno.
 */
int lend_borrowed_ask_bars(struct lend_borrowed *b, struct netlink_ext_ack *extack)
{
	int i, ret;

	for (i = 0; i < PCI_STD_NUM_BARS; i++) {
		ret = lend_borrowed_ask_bar(b, i, extack);
		if (ret)
			return ret;
		/* The next register is the upper half of this one. */
		if (b->bar[i].size && b->bar[i].flags & PCI_BASE_ADDRESS_MEM_TYPE_64)
			i++;
	}
	ret = lend_borrowed_ask_bar(b, LEND_BAR_ROM, extack);
	if (ret == -ENOSPC) {
		dev_info(&b->link->ntb->dev,
			 "borrowed device %u: its expansion ROM is hidden: no window shows it\n",
			 b->id);
		return 0;
	}
	return ret;
}

/**
 * lend_borrowed_place() - tell the kernel where the BARs and the ROM are
 * @b: the borrowed device
 * @pdev: it, scanned, without a driver
 *
 * Registers of 32 bits show the lower half only of an address above 4 GiB.
 *
 * Context: process; rescan lock held.
 */
void lend_borrowed_place(struct lend_borrowed *b, struct pci_dev *pdev)
{
	const struct lend_borrowed_bar *bar;
	struct resource *res;
	int i;

	for (i = 0; i < LEND_BARS; i++) {
		bar = &b->bar[i];
		res = &pdev->resource[i];
		if (!bar->size || !res->flags)
			continue;
		res->start = b->link->win[bar->window].base + bar->offset;
		res->end = res->start + bar->size - 1;
		res->flags &= ~IORESOURCE_UNSET;
	}
}

/**
 * lend_borrowed_bars_claimed() - has every BAR its place
 * @b: the borrowed device
 * @pdev: it, after pci_bus_claim_resources()
 *
 * Context: process; rescan lock held.
 */
bool lend_borrowed_bars_claimed(struct lend_borrowed *b, struct pci_dev *pdev)
{
	int i;

	for (i = 0; i < PCI_STD_NUM_BARS; i++)
		if (b->bar[i].size && !pdev->resource[i].parent)
			return false;
	return true;
}
