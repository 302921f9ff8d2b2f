// SPDX-License-Identifier: GPL-2.0-only
/* Borrower side: through which windows a borrowed device sees this host's memory. */

#include <linux/io.h>
#include <linux/netlink.h>
#include <linux/random.h>

#include "borrowed.h"
#include "channel.h"
#include "compat.h"
#include "link.h"
#include "pool.h"
#include "view.h"
#include "window.h"

/* What a window shows now. */
static struct lend_region lend_window_region(const struct lend_window *win)
{
	return (struct lend_region) { .first = win->inbound_base, .size = win->inbound_size };
}

/*
 * Process context, link lock held. Asks where the device finds a window, and has
 * the owner write into a page that the window shows, @phys. The size in the
 * answer is 0 where that has not arrived.
 */
static int lend_borrowed_try_window(struct lend_borrowed *b, int i, phys_addr_t phys,
				    struct lend_call *call)
{
	u64 page = (phys - b->link->win[i].inbound_base) >> LEND_PLACE_SHIFT;
	__le32 *written = phys_to_virt(phys);
	int ret;

	*call = (struct lend_call) {
		.op = LEND_OP_WINDOW, .handle = b->remote_id, .epoch = b->epoch,
		.arg = LEND_PLACE(i, page), .value = get_random_u32(),
	};
	if (page > LEND_PLACE_PAGE_MAX)
		return 0;
	WRITE_ONCE(*written, cpu_to_le32(~call->value));
	ret = lend_channel_call(b->link, call);
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
static int lend_borrowed_ask_view(struct lend_borrowed *b, int i, struct netlink_ext_ack *extack)
{
	const struct lend_region region = lend_window_region(&b->link->win[i]);
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
	ret = lend_borrowed_try_window(b, i, phys, &call);
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
 * lend_borrowed_ask_views() - find out where a device finds this host's memory
 * @b: the borrowed device, opened
 * @window: which window the owner takes for DMA
 * @bus: where the device finds that one, says the owner
 * @size: octets of it, says the owner
 * @extack: says what is wrong
 *
 * Context: process; link lock held: no window but that for BARs opens or closes.
 * Return: 0 or a negative errno.
 */
int lend_borrowed_ask_views(struct lend_borrowed *b, u64 window, u64 bus, u64 size,
			    struct netlink_ext_ack *extack)
{
	struct lend_link *link = b->link;
	const struct lend_region dma = lend_window_region(&link->win[link->dma_win]);
	int i, ret;

	if (window != link->dma_win) {
		NL_SET_ERR_MSG(extack,
			       "the hosts take different windows for DMA: set the same sizes in both firmwares");
		return -EPROTO;
	}
	ret = lend_views_add(&b->views, link->dma_win, &dma, bus, size);
	if (ret) {
		NL_SET_ERR_MSG(extack,
			       "the owner describes its DMA window in a way that cannot be");
		return ret;
	}
	for (i = 0; i < link->nwin; i++) {
		if (!lend_window_is_free(link, i) || !link->win[i].inbound_size)
			continue;
		ret = lend_borrowed_ask_view(b, i, extack);
		if (ret)
			return ret;
	}
	if (link->pool && !b->views.whole) {
		NL_SET_ERR_MSG(extack,
			       "the owner's windows are smaller than ours: set the same sizes in the firmware of both");
		return -ENOSPC;
	}
	return 0;
}
