// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owner side: the answers to the borrower's requests. Nothing in one is trusted: the
 * function must be leased to this very link with this very epoch, and each access
 * goes through the filter.
 *
 * Called by main.c for links.
 *
 * Locks: see main.c. Reads of registers are served in any context, and take none:
 * see lease_enter(). All others take lent_device.lock.
 */

#include <linux/io.h>
#include <linux/list.h>
#include <linux/pci.h>
#include <linux/timekeeping.h>

#include "budget.h"
#include "channel.h"
#include "filter.h"
#include "lease.h"
#include "lent.h"
#include "link.h"
#include "owner_config.h"
#include "owner_flr.h"
#include "owner_intx.h"
#include "owner_irq.h"
#include "owner_reach.h"
#include "owner_serve.h"
#include "owner_source.h"
#include "proto.h"
#include "window.h"

/*
 * How often daemons are told at once that a peer opens or closes a device. One that is
 * told more often loses what other peers have to say.
 */
#define LEND_OPENINGS_PER_S	20
#define LEND_OPENINGS_AT_ONCE	40

/* Process context, the lent lock held. */
static enum lend_status owner_serve_open(struct lease *lease, struct lend_response *resp)
{
	const struct lease_window *dma = &lease->window[lease->link->windows.dma];
	struct pci_dev *pdev = lease->lent->pdev;

	if (lease->state == LEASE_ATTACHED)
		return LEND_ERR_BUSY;
	if (owner_reach_all(lease))
		return LEND_ERR_SPACE;
	resp->val[LEND_OPEN_ADDRESS] = cpu_to_le64((u64)pci_domain_nr(pdev->bus) << 16 |
						   pci_dev_id(pdev));
	resp->val[LEND_OPEN_DMA_BASE] = cpu_to_le64(dma->bus);
	resp->val[LEND_OPEN_DMA_SIZE] = cpu_to_le64(dma->size);
	resp->val[LEND_OPEN_CFG_SIZE] = cpu_to_le64(lease->lent->filter->size);
	resp->val[LEND_OPEN_DMA_WINDOW] = cpu_to_le64(lease->link->windows.dma);
	resp->val[LEND_OPEN_FLAGS] = cpu_to_le64(lease->narrows ? LEND_OPEN_NARROWS : 0);
	WRITE_ONCE(lease->state, LEASE_ATTACHED);
	return LEND_OK;
}

/*
 * Process context, the lent lock held. What is written goes to the borrower, or
 * nowhere: the response, which follows it, says where to look for it.
 */
static enum lend_status owner_serve_window(struct lease *lease, u32 place, u32 value,
					   struct lend_response *resp)
{
	u64 offset = (u64)LEND_PLACE_PAGE(place) << LEND_PLACE_SHIFT;
	const struct lend_windows *windows = &lease->link->windows;
	const struct lease_window *found;
	u32 i = LEND_PLACE_WINDOW(place);
	void __iomem *at;

	/* Windows of ours that are for something else are none that it finds. */
	if (i >= windows->count || !lend_window_is_free(windows, i))
		return LEND_OK;
	found = &lease->window[i];
	if (!found->size || offset > found->size - sizeof(value))
		return LEND_OK;
	at = ioremap_wc(windows->win[i].base + offset, sizeof(value));
	if (!at)
		return LEND_ERR_DEVICE;
	writel(value, at);
	/* Out of the write-combining buffer, and before the response. */
	wmb();
	iounmap(at);
	resp->val[LEND_WINDOW_BASE] = cpu_to_le64(found->bus);
	resp->val[LEND_WINDOW_SIZE] = cpu_to_le64(found->size);
	return LEND_OK;
}

/* Process context, the lent lock held. */
static enum lend_status owner_serve_reach(struct lease *lease, u32 page, u32 count)
{
	int ret;

	if (!lease->narrows)
		return LEND_ERR_DENIED;
	if (!count) {
		owner_reach_nothing(lease);
		return LEND_OK;
	}
	ret = count == LEND_REACH_ALL ? owner_reach_all(lease) :
	      owner_reach_part(lease, (u64)page << LEND_PLACE_SHIFT,
			       (u64)count << LEND_PLACE_SHIFT);
	if (!ret)
		return LEND_OK;
	return ret == -EINVAL ? LEND_ERR_INVALID : LEND_ERR_SPACE;
}

/* Process context, the lent lock held. */
static enum lend_status owner_serve_bar(const struct lease *lease, u32 index,
					struct lend_response *resp)
{
	const struct lease_bar *bar;

	if (index >= LEND_BARS)
		return LEND_ERR_INVALID;
	bar = &lease->bar[index];
	resp->val[LEND_BAR_SIZE] = cpu_to_le64(bar->size);
	resp->val[LEND_BAR_OFFSET] = cpu_to_le64(bar->offset);
	resp->val[LEND_BAR_PLACE] = cpu_to_le64((u64)bar->flags << 8 | bar->window);
	return LEND_OK;
}

/* Any context. It is not asked: its registers read as all-ones, and writes are lost. */
static bool owner_is_resetting(const struct lent_device *lent)
{
	return READ_ONCE(lent->irq.resetting);
}

static bool owner_is_command(u32 where)
{
	return (where & ~3U) == PCI_COMMAND;
}

/*
 * Any context, the lent lock held or between lease_enter() and lease_leave(): what a
 * register says, to the owner (@raw).
 */
static enum lend_status owner_serve_raw(struct lent_device *lent, const struct lend_request *req,
					u32 *raw)
{
	u32 where = le32_to_cpu(req->arg);

	if (!lend_filter_valid(lent->filter, where, req->size))
		return LEND_ERR_INVALID;
	if (owner_config_read(lent->pdev, where, req->size, raw))
		return LEND_ERR_DEVICE;
	if (owner_is_command(where))
		*raw = owner_command_shown(&lent->irq, where, req->size, *raw);
	return LEND_OK;
}

/* Any context. */
static enum lend_status owner_serve_read(struct lend_link *link, const struct lend_request *req,
					 struct lend_response *resp)
{
	struct lease *lease = lease_enter(link, le32_to_cpu(req->handle), le64_to_cpu(req->epoch));
	u32 raw, where = le32_to_cpu(req->arg);
	enum lend_status status;

	if (!lease)
		return LEND_ERR_STALE;
	if (owner_is_resetting(lease->lent) &&
	    lend_filter_valid(lease->lent->filter, where, req->size)) {
		resp->val[0] = cpu_to_le64(lend_part(~0U, where, req->size));
		lease_leave(lease);
		return LEND_OK;
	}
	status = owner_serve_raw(lease->lent, req, &raw);
	if (!status) {
		atomic64_inc(&lease->config_reads);
		resp->val[0] = cpu_to_le64(lend_filter_read(lease->lent->filter, where, req->size,
							    raw));
	}
	lease_leave(lease);
	return status;
}

/* Process context, the lent lock held. */
static enum lend_status owner_serve_write(struct lease *lease, const struct lend_request *req)
{
	u32 where = le32_to_cpu(req->arg), value = le32_to_cpu(req->value), raw;
	const struct lease_window *dma = &lease->window[lease->link->windows.dma];
	struct lent_device *lent = lease->lent;
	const struct lend_filter_range range = { dma->bus, dma->size };
	const struct lend_filter *f = lent->filter;
	enum lend_status status;
	int ret;

	if (owner_is_resetting(lent))
		return LEND_OK;
	status = owner_serve_raw(lent, req, &raw);
	if (status)
		return status;
	lease->config_writes++;
	if (lend_filter_resets(f, where, req->size, value)) {
		/* It wipes what else is in the register. */
		owner_flr_begin(lease);
		return LEND_OK;
	}
	if (lend_filter_denied(f, where, req->size, raw, value))
		lease->config_denied++;
	if (!lend_filter_writable(f, where, req->size))
		return LEND_OK;
	if (lent->irq.vectors.count && lend_filter_is_msi(f, where)) {
		/* This host's kernel has set it up for itself. */
		lease->config_denied++;
		return LEND_OK;
	}
	if (lend_filter_msi_leaves(f, where, req->size, value, &range, owner_filter_read,
				   lent->pdev)) {
		/* A driver that frees its interrupt writes an address of zero. */
		if (value)
			lease->config_denied++;
		return LEND_OK;
	}
	if (owner_is_command(where))
		ret = owner_command_write(&lent->irq, where, req->size, value);
	else
		ret = owner_config_write(lent->pdev, where, req->size,
					 lend_filter_write(f, where, req->size, raw, value));
	return ret ? LEND_ERR_DEVICE : LEND_OK;
}

/* Process context, the lent lock held. @closed: gets what is for owner_source_release(). */
static enum lend_status owner_serve_lease(struct lease *lease, const struct lend_request *req,
					  struct lend_response *resp, struct list_head *closed)
{
	struct owner_irq *irq = &lease->lent->irq;

	if (req->op != LEND_OP_OPEN && lease->state != LEASE_ATTACHED)
		return LEND_ERR_STALE;
	if ((req->op == LEND_OP_OPEN || req->op == LEND_OP_IRQ_OPEN) &&
	    owner_is_resetting(lease->lent))
		return LEND_ERR_BUSY;
	switch (req->op) {
	case LEND_OP_OPEN:
		return owner_serve_open(lease, resp);
	case LEND_OP_BAR:
		return owner_serve_bar(lease, le32_to_cpu(req->arg), resp);
	case LEND_OP_WINDOW:
		return owner_serve_window(lease, le32_to_cpu(req->arg), le32_to_cpu(req->value),
					  resp);
	case LEND_OP_REACH:
		return owner_serve_reach(lease, le32_to_cpu(req->arg), le32_to_cpu(req->value));
	case LEND_OP_CLOSE:
		lease_stop_dma(lease);
		owner_irq_stop(irq, closed);
		WRITE_ONCE(lease->state, LEASE_LENT);
		return LEND_OK;
	case LEND_OP_CONFIG_WRITE:
		return owner_serve_write(lease, req);
	case LEND_OP_IRQ_OPEN:
		return owner_irq_open(irq, le32_to_cpu(req->arg), resp, closed);
	case LEND_OP_IRQ_CLOSE:
		return owner_irq_close(irq, le32_to_cpu(req->arg), closed);
	default:
		return LEND_ERR_INVALID;
	}
}

/* Process context: the link's server. */
static void owner_serve_tell(struct lend_link *link, struct lent_device *lent)
{
	if (lend_budget_take(&link->openings, ktime_get_mono_fast_ns(), LEND_OPENINGS_PER_S,
			     LEND_OPENINGS_AT_ONCE))
		lent_changed(lent);
	else
		lent_changed_soon(lent);
}

/* Process context. */
static enum lend_status owner_serve_handle(struct lend_link *link, const struct lend_request *req,
					   struct lend_response *resp)
{
	struct lent_device *lent = lent_get(le32_to_cpu(req->handle));
	enum lend_status status = LEND_ERR_STALE;
	struct lease *lease;
	LIST_HEAD(closed);

	if (!lent)
		return status;
	mutex_lock(&lent->lock);
	lease = lent->lease;
	if (lease_is_open(lease) && lease->link == link &&
	    lease->epoch == le64_to_cpu(req->epoch))
		status = owner_serve_lease(lease, req, resp, &closed);
	mutex_unlock(&lent->lock);
	owner_source_release(&closed);
	if (!status && (req->op == LEND_OP_OPEN || req->op == LEND_OP_CLOSE))
		owner_serve_tell(link, lent);
	lent_put(lent);
	return status;
}

/**
 * owner_serve() - answer one request of the peer
 * @channel: where it came from
 * @req: a copy of it that the peer cannot change
 * @resp: val is filled in
 *
 * Context: process; any for LEND_OP_CONFIG_READ.
 * Return: what to answer.
 */
enum lend_status owner_serve(struct lend_channel *channel, const struct lend_request *req,
			     struct lend_response *resp)
{
	struct lend_link *link = lend_link_of(channel);

	if (req->op == LEND_OP_CONFIG_READ)
		return owner_serve_read(link, req, resp);
	return owner_serve_handle(link, req, resp);
}
