// SPDX-License-Identifier: GPL-2.0-only
/*
 * The owner's answers. Nothing in a request is trusted: the device must be
 * leased to this very link with this very epoch, and each access goes through
 * the filter.
 */

#include <linux/io.h>
#include <linux/pci.h>

#include "borrowed.h"
#include "filter.h"
#include "lent.h"
#include "link.h"
#include "netlink.h"
#include "serve.h"
#include "trace.h"
#include "window.h"

/* Process context, @lent->lock held. */
static enum lend_status lend_serve_open(struct lend_lent *lent, struct lend_response *resp)
{
	const struct lend_lent_window *dma = &lent->window[lent->link->dma_win];
	struct pci_dev *pdev = lent->pdev;

	if (lent->state == NTB_LEND_LENT_STATE_ATTACHED)
		return LEND_ERR_BUSY;
	resp->val[LEND_OPEN_ADDRESS] = cpu_to_le64((u64)pci_domain_nr(pdev->bus) << 16 |
						   pci_dev_id(pdev));
	resp->val[LEND_OPEN_DMA_BASE] = cpu_to_le64(dma->bus);
	resp->val[LEND_OPEN_DMA_SIZE] = cpu_to_le64(dma->size);
	resp->val[LEND_OPEN_CFG_SIZE] = cpu_to_le64(lent->filter->size);
	resp->val[LEND_OPEN_DMA_WINDOW] = cpu_to_le64(lent->link->dma_win);
	lent->state = NTB_LEND_LENT_STATE_ATTACHED;
	lend_lent_open(lent);
	return LEND_OK;
}

/*
 * Process context, @lent->lock held. What is written goes to the borrower, or
 * nowhere: the response, which follows it, says where to look for it.
 */
static enum lend_status lend_serve_window(struct lend_lent *lent, u32 place, u32 value,
					  struct lend_response *resp)
{
	u64 offset = (u64)LEND_PLACE_PAGE(place) << LEND_PLACE_SHIFT;
	const struct lend_lent_window *found;
	u32 i = LEND_PLACE_WINDOW(place);
	void __iomem *at;

	/* Windows of ours that are for something else are none that it finds. */
	if (i >= lent->link->nwin || !lend_window_is_free(lent->link, i))
		return LEND_OK;
	found = &lent->window[i];
	if (!found->size || offset > found->size - sizeof(value))
		return LEND_OK;
	at = ioremap_wc(lent->link->win[i].base + offset, sizeof(value));
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

/* Process context, @lent->lock held. */
static enum lend_status lend_serve_bar(struct lend_lent *lent, u32 index,
				       struct lend_response *resp)
{
	const struct lend_lent_bar *bar;

	if (index >= LEND_BARS)
		return LEND_ERR_INVALID;
	bar = &lent->bar[index];
	resp->val[LEND_BAR_SIZE] = cpu_to_le64(bar->size);
	resp->val[LEND_BAR_OFFSET] = cpu_to_le64(bar->offset);
	resp->val[LEND_BAR_PLACE] = cpu_to_le64((u64)bar->flags << 8 | bar->window);
	return LEND_OK;
}

/**
 * lend_raw_read() - read a register of a device
 * @pdev: the device
 * @where: offset
 * @size: octets
 * @raw: what it says
 *
 * Context: any.
 * Return: 0, or what the configuration access says.
 */
int lend_raw_read(struct pci_dev *pdev, u32 where, u32 size, u32 *raw)
{
	u16 word;
	u8 byte;
	int ret;

	switch (size) {
	case 1:
		ret = pci_read_config_byte(pdev, where, &byte);
		*raw = byte;
		return ret;
	case 2:
		ret = pci_read_config_word(pdev, where, &word);
		*raw = word;
		return ret;
	default:
		return pci_read_config_dword(pdev, where, raw);
	}
}

/**
 * lend_raw_write() - write a register of a device
 * @pdev: the device
 * @where: offset
 * @size: octets
 * @value: what to write
 *
 * Context: any.
 * Return: 0, or what the configuration access says.
 */
int lend_raw_write(struct pci_dev *pdev, u32 where, u32 size, u32 value)
{
	switch (size) {
	case 1:
		return pci_write_config_byte(pdev, where, value);
	case 2:
		return pci_write_config_word(pdev, where, value);
	default:
		return pci_write_config_dword(pdev, where, value);
	}
}

static bool lend_is_command(u32 where)
{
	return (where & ~3U) == PCI_COMMAND;
}

/*
 * Any context, @lent->lock held or @lent open: what a register says, to the owner
 * (@raw).
 */
static enum lend_status lend_serve_raw(struct lend_lent *lent, const struct lend_request *req,
				       u32 *raw)
{
	u32 where = le32_to_cpu(req->arg);

	if (!lend_filter_valid(lent->filter, where, req->size))
		return LEND_ERR_INVALID;
	if (lend_raw_read(lent->pdev, where, req->size, raw))
		return LEND_ERR_DEVICE;
	if (lend_is_command(where))
		*raw = lend_lent_command_shown(lent, where, req->size, *raw);
	return LEND_OK;
}

/**
 * struct lend_read - for lend_serve_open_read()
 * @req: the request
 * @resp: its answer
 */
struct lend_read {
	const struct lend_request *req;
	struct lend_response *resp;
};

/* Any context, interrupts off; @lent is open. */
static enum lend_status lend_serve_open_read(struct lend_lent *lent, void *arg)
{
	const struct lend_read *read = arg;
	u32 raw, where = le32_to_cpu(read->req->arg);
	enum lend_status status;

	status = lend_serve_raw(lent, read->req, &raw);
	if (status)
		return status;
	atomic64_inc(&lent->config_reads);
	read->resp->val[0] = cpu_to_le64(lend_filter_read(lent->filter, where, read->req->size,
							  raw));
	return LEND_OK;
}

/* Process context, @lent->lock held. */
static enum lend_status lend_serve_write(struct lend_lent *lent, const struct lend_request *req)
{
	u32 where = le32_to_cpu(req->arg), value = le32_to_cpu(req->value), raw;
	const struct lend_lent_window *dma = &lent->window[lent->link->dma_win];
	const struct lend_filter_range range = { dma->bus, dma->size };
	const struct lend_filter *f = lent->filter;
	enum lend_status status;
	int ret;

	status = lend_serve_raw(lent, req, &raw);
	if (status)
		return status;
	lent->config_writes++;
	if (lend_filter_denied(f, where, req->size, raw, value))
		lent->config_denied++;
	if (!lend_filter_writable(f, where, req->size))
		return LEND_OK;
	if (lent->vectors.count && lend_filter_is_msi(f, where)) {
		/* This host's kernel has set it up for itself. */
		lent->config_denied++;
		return LEND_OK;
	}
	if (lend_filter_msi_leaves(f, where, req->size, value, &range, lend_lent_filter_read,
				   lent->pdev)) {
		/* A driver that frees its interrupt writes an address of zero. */
		if (value)
			lent->config_denied++;
		return LEND_OK;
	}
	if (lend_is_command(where))
		ret = lend_lent_command_write(lent, where, req->size, value);
	else
		ret = lend_raw_write(lent->pdev, where, req->size,
				     lend_filter_write(f, where, req->size, raw, value));
	return ret ? LEND_ERR_DEVICE : LEND_OK;
}

/* Process context. */
static enum lend_status lend_serve_lent(struct lend_link *link, struct lend_lent *lent,
					const struct lend_request *req,
					struct lend_response *resp)
{
	enum lend_status status;
	bool event = false;

	mutex_lock(&lent->lock);
	if (lent->gone || lent->link != link || lent->ended ||
	    lent->epoch != le64_to_cpu(req->epoch) ||
	    (lent->state != NTB_LEND_LENT_STATE_LENT &&
	     lent->state != NTB_LEND_LENT_STATE_ATTACHED)) {
		status = LEND_ERR_STALE;
		goto unlock;
	}
	if (req->op != LEND_OP_OPEN && lent->state != NTB_LEND_LENT_STATE_ATTACHED) {
		status = LEND_ERR_STALE;
		goto unlock;
	}

	switch (req->op) {
	case LEND_OP_OPEN:
		status = lend_serve_open(lent, resp);
		event = status == LEND_OK;
		break;
	case LEND_OP_BAR:
		status = lend_serve_bar(lent, le32_to_cpu(req->arg), resp);
		break;
	case LEND_OP_WINDOW:
		status = lend_serve_window(lent, le32_to_cpu(req->arg), le32_to_cpu(req->value),
					   resp);
		break;
	case LEND_OP_CLOSE:
		lend_lent_close(lent);
		lend_lent_cut_off(lent);
		lent->state = NTB_LEND_LENT_STATE_LENT;
		event = true;
		status = LEND_OK;
		break;
	case LEND_OP_CONFIG_WRITE:
		status = lend_serve_write(lent, req);
		break;
	case LEND_OP_IRQ_OPEN:
		status = lend_lent_irq_open(lent, le32_to_cpu(req->arg), resp);
		break;
	case LEND_OP_IRQ_CLOSE:
		status = lend_lent_irq_close(lent, le32_to_cpu(req->arg));
		break;
	default:
		status = LEND_ERR_INVALID;
	}
unlock:
	mutex_unlock(&lent->lock);
	if (event)
		lend_netlink_lent_event(lent);
	return status;
}

/* Any context. */
static enum lend_status lend_serve_read(struct lend_link *link, const struct lend_request *req,
					struct lend_response *resp)
{
	struct lend_read read = { req, resp };

	return lend_lent_with_open(link, le32_to_cpu(req->handle), le64_to_cpu(req->epoch),
				   lend_serve_open_read, &read);
}

/* Process context. */
static enum lend_status lend_serve_handle(struct lend_link *link, const struct lend_request *req,
					  struct lend_response *resp)
{
	struct lend_lent *lent = lend_lent_get(le32_to_cpu(req->handle));
	enum lend_status status;

	if (!lent)
		return LEND_ERR_STALE;
	status = lend_serve_lent(link, lent, req, resp);
	lend_lent_put(lent);
	return status;
}

/**
 * lend_serve() - answer one request of the peer
 * @link: where it came from
 * @req: a copy of it that the peer cannot change
 * @resp: val is filled in
 *
 * Context: process; any for LEND_OP_CONFIG_READ.
 * Return: what to answer.
 */
enum lend_status lend_serve(struct lend_link *link, const struct lend_request *req,
			    struct lend_response *resp)
{
	enum lend_status status;

	if (req->op == LEND_OP_REVOKE) {
		lend_borrowed_revoke(link, le32_to_cpu(req->handle), le64_to_cpu(req->epoch));
		return LEND_OK;
	}
	if (req->op == LEND_OP_PING) {
		resp->val[0] = cpu_to_le64(le32_to_cpu(req->value));
		return LEND_OK;
	}
	if (req->op == LEND_OP_CONFIG_READ)
		status = lend_serve_read(link, req, resp);
	else
		status = lend_serve_handle(link, req, resp);
	trace_lend_serve(link->id, req->op, le32_to_cpu(req->handle),
			 le32_to_cpu(req->arg), status);
	return status;
}
