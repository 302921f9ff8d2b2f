// SPDX-License-Identifier: GPL-2.0-only
/*
 * Borrower side: what a borrowed device reaches of what its owner's windows show. All
 * borrowed devices of a link send as the NTB function does, so this host's IOMMU cannot
 * tell them from each other. The owner's can: it is asked to show a device that user
 * space drives no more than what that may have.
 *
 * Called by borrower_iommu.c. Locks: the IOMMU group's mutex, held by the IOMMU core.
 */

#include "borrowed.h"
#include "borrower_reach.h"
#include "channel.h"
#include "irq.h"
#include "link.h"
#include "view.h"

/* Process context. @page: of the DMA window; @count: see LEND_OP_REACH. */
static int borrower_reach_ask(struct borrowed_device *b, u32 page, u32 count)
{
	struct lend_call call = {
		.op = LEND_OP_REACH, .handle = b->remote_id, .epoch = b->epoch,
		.arg = page, .value = count,
	};
	int ret;

	if (READ_ONCE(b->mute))
		return -ETIMEDOUT;
	ret = lend_channel_call(&b->link->channel, &call);
	if (!ret)
		return 0;
	dev_warn(&b->link->ntb->dev,
		 "borrowed device %u: its owner does not limit what it reaches: %d\n",
		 b->object.id, ret);
	if (ret == -ESTALE || ret == -ETIMEDOUT)
		b->over(b, ret == -ESTALE);
	return ret;
}

/* Process context. @first: an address of ours that the DMA window shows. */
static int borrower_reach_add(struct borrowed_device *b, u64 first, u64 size)
{
	const struct lend_view *view = &b->views.view[0];
	u64 page = (first - view->first) >> LEND_PLACE_SHIFT;
	u64 count = size >> LEND_PLACE_SHIFT;

	if (page > U32_MAX || count >= LEND_REACH_ALL)
		return -ERANGE;
	return borrower_reach_ask(b, page, count);
}

/**
 * borrower_reach_all() - let a device reach all that the windows show, as at first
 * @b: the borrowed device
 *
 * An owner that does not do it has lost it: its driver is told, and removed.
 *
 * Context: process; caller holds its IOMMU group's mutex.
 */
void borrower_reach_all(struct borrowed_device *b)
{
	if (b->narrowed && !READ_ONCE(b->gone) && !borrower_reach_ask(b, 0, LEND_REACH_ALL))
		b->narrowed = false;
}

/**
 * borrower_reach_nothing() - let a device reach nothing of what the windows show
 * @b: the borrowed device
 *
 * Context: process; caller holds its IOMMU group's mutex.
 * Return: 0, also where its lease is over, or its owner cannot limit it; or what
 * lend_channel_call() says.
 */
int borrower_reach_nothing(struct borrowed_device *b)
{
	if (!b->narrows || READ_ONCE(b->gone))
		return 0;
	b->narrowed = true;
	return borrower_reach_ask(b, 0, 0);
}

/**
 * borrower_reach_only() - let a device reach one block, and what raises its interrupts
 * @b: the borrowed device
 * @first: of the block, an address of ours that the DMA window shows
 * @size: octets
 *
 * Context: process; caller holds its IOMMU group's mutex.
 * Return: as borrower_reach_nothing(); -ENODEV its lease is over; -ERANGE what no request can
 * say.
 */
int borrower_reach_only(struct borrowed_device *b, u64 first, u64 size)
{
	struct lend_region messages;
	int ret;

	if (!b->narrows)
		return 0;
	if (READ_ONCE(b->gone))
		return -ENODEV;
	ret = borrower_reach_nothing(b);
	if (!ret)
		ret = borrower_reach_add(b, first, size);
	if (!ret && lend_msi_region(b, &messages))
		ret = borrower_reach_add(b, messages.first, messages.size);
	return ret;
}
