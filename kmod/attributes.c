// SPDX-License-Identifier: GPL-2.0-only
/* Links, devices and messages as the netlink attributes of netlink/ntb_lend.yaml. */

#include <linux/pci.h>
#include <net/netlink.h>

#include "attributes.h"
#include "borrowed.h"
#include "borrower.h"
#include "borrower_config.h"
#include "dma_count.h"
#include "lent.h"
#include "link.h"
#include "trust.h"
#include "pool.h"
#include "proto.h"
#include "uapi/ntb_lend.h"
#include "window.h"

static int lend_put_window(struct sk_buff *skb, int i, const struct lend_window *win)
{
	struct nlattr *nest = nla_nest_start(skb, NTB_LEND_A_LINK_WINDOW);

	if (!nest ||
	    nla_put_u32(skb, NTB_LEND_A_WINDOW_INDEX, i) ||
	    nla_put_u64_64bit(skb, NTB_LEND_A_WINDOW_SIZE, win->size, NTB_LEND_A_WINDOW_PAD) ||
	    nla_put_u64_64bit(skb, NTB_LEND_A_WINDOW_BASE, win->base, NTB_LEND_A_WINDOW_PAD) ||
	    nla_put_u64_64bit(skb, NTB_LEND_A_WINDOW_INBOUND_BASE, win->inbound_base,
			      NTB_LEND_A_WINDOW_PAD) ||
	    nla_put_u64_64bit(skb, NTB_LEND_A_WINDOW_INBOUND_SIZE, win->inbound_size,
			      NTB_LEND_A_WINDOW_PAD))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int lend_put_counters(struct sk_buff *skb, struct lend_counters *c)
{
	const struct {
		int type;
		atomic64_t *value;
	} list[] = {
		{ NTB_LEND_A_LINK_COUNTERS_REQUESTS, &c->requests },
		{ NTB_LEND_A_LINK_COUNTERS_RESPONSES, &c->responses },
		{ NTB_LEND_A_LINK_COUNTERS_TIMEOUTS, &c->timeouts },
		{ NTB_LEND_A_LINK_COUNTERS_SERVED, &c->served },
		{ NTB_LEND_A_LINK_COUNTERS_REJECTED, &c->rejected },
		{ NTB_LEND_A_LINK_COUNTERS_DOORBELLS_SENT, &c->db_sent },
		{ NTB_LEND_A_LINK_COUNTERS_DOORBELLS_RECEIVED, &c->db_received },
		{ NTB_LEND_A_LINK_COUNTERS_MAILBOX_SENT, &c->mbox_sent },
		{ NTB_LEND_A_LINK_COUNTERS_MAILBOX_RECEIVED, &c->mbox_received },
		{ NTB_LEND_A_LINK_COUNTERS_HEARTBEATS_MISSED, &c->hb_missed },
	};
	struct nlattr *nest = nla_nest_start(skb, NTB_LEND_A_LINK_COUNTERS);
	int i;

	if (!nest)
		return -EMSGSIZE;
	for (i = 0; i < ARRAY_SIZE(list); i++)
		if (nla_put_u64_64bit(skb, list[i].type, atomic64_read(list[i].value),
				      NTB_LEND_A_LINK_COUNTERS_PAD))
			return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

/* What is left for mappings of all borrowed devices of the link together. */
static int lend_put_space(struct sk_buff *skb, struct lend_link *link)
{
	struct lend_pool *pool = link->pool;
	struct lend_pool_space space;
	struct nlattr *nest;

	if (!pool && !link->windows.translated)
		return 0;
	if (pool) {
		lend_pool_space(pool, &space);
	} else {
		space.size = link->windows.win[link->windows.dma].size;
		space.free = space.size - min(space.size, borrower_mapped(link));
	}
	nest = nla_nest_start(skb, NTB_LEND_A_LINK_SPACE);
	if (!nest ||
	    nla_put_u64_64bit(skb, NTB_LEND_A_SPACE_SIZE, space.size, NTB_LEND_A_SPACE_PAD) ||
	    nla_put_u64_64bit(skb, NTB_LEND_A_SPACE_FREE, space.free, NTB_LEND_A_SPACE_PAD))
		return -EMSGSIZE;
	if (pool &&
	    (nla_put_u64_64bit(skb, NTB_LEND_A_SPACE_LARGEST, space.largest,
			       NTB_LEND_A_SPACE_PAD) ||
	     nla_put_u64_64bit(skb, NTB_LEND_A_SPACE_BOUNCED, percpu_counter_sum(&pool->bounced),
			       NTB_LEND_A_SPACE_PAD) ||
	     nla_put_u64_64bit(skb, NTB_LEND_A_SPACE_EXHAUSTED, atomic64_read(&pool->exhausted),
			       NTB_LEND_A_SPACE_PAD)))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static const char *lend_link_dma(const struct lend_link *link)
{
	if (link->windows.translated)
		return "iommu";
	return link->pool ? "bounce" : "direct";
}

/**
 * lend_put_link() - put a link into a message
 * @skb: the message
 * @object: struct lend_link
 *
 * Context: process.
 * Return: 0, or -EMSGSIZE when it does not fit.
 */
int lend_put_link(struct sk_buff *skb, void *object)
{
	struct lend_link *link = container_of(object, struct lend_link, object);
	const char *message = READ_ONCE(link->message);
	struct nlattr *nest = nla_nest_start(skb, NTB_LEND_A_MAIN_LINK);
	int i;

	if (!nest ||
	    nla_put_u32(skb, NTB_LEND_A_LINK_ID, link->object.id) ||
	    nla_put_string(skb, NTB_LEND_A_LINK_NTB, pci_name(link->pdev)) ||
	    nla_put_u32(skb, NTB_LEND_A_LINK_PORT, link->port) ||
	    nla_put_u32(skb, NTB_LEND_A_LINK_PEER_PORT, link->peer_port) ||
	    nla_put_u32(skb, NTB_LEND_A_LINK_STATE, READ_ONCE(link->state)) ||
	    nla_put_u64_64bit(skb, NTB_LEND_A_LINK_EPOCH, link->channel.epoch,
			      NTB_LEND_A_LINK_PAD) ||
	    nla_put_u64_64bit(skb, NTB_LEND_A_LINK_PEER_EPOCH, link->channel.peer_epoch,
			      NTB_LEND_A_LINK_PAD) ||
	    nla_put_u32(skb, NTB_LEND_A_LINK_PROTOCOL, LEND_PROTOCOL) ||
	    nla_put_u32(skb, NTB_LEND_A_LINK_PEER_PROTOCOL, link->handshake.peer_protocol) ||
	    nla_put_u8(skb, NTB_LEND_A_LINK_PHYSICAL, READ_ONCE(link->physical)) ||
	    nla_put_u8(skb, NTB_LEND_A_LINK_IOMMU, link->windows.translated) ||
	    nla_put_u8(skb, NTB_LEND_A_LINK_BANNED, READ_ONCE(link->banned)) ||
	    nla_put_string(skb, NTB_LEND_A_LINK_DMA, lend_link_dma(link)) ||
	    (message && nla_put_string(skb, NTB_LEND_A_LINK_MESSAGE, message)))
		return -EMSGSIZE;
	for (i = 0; i < link->windows.count; i++)
		if (lend_put_window(skb, i, &link->windows.win[i]))
			return -EMSGSIZE;
	if (lend_put_space(skb, link) || lend_put_counters(skb, &link->channel.counters))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int lend_put_bar(struct sk_buff *skb, int type, int i, u64 size, u32 flags, int window,
			u64 offset)
{
	struct nlattr *nest;

	if (!size)
		return 0;
	nest = nla_nest_start(skb, type);
	if (!nest ||
	    nla_put_u32(skb, NTB_LEND_A_BAR_INDEX, i) ||
	    nla_put_u64_64bit(skb, NTB_LEND_A_BAR_SIZE, size, NTB_LEND_A_BAR_PAD) ||
	    nla_put_u32(skb, NTB_LEND_A_BAR_FLAGS, flags) ||
	    nla_put_u32(skb, NTB_LEND_A_BAR_WINDOW, window) ||
	    nla_put_u64_64bit(skb, NTB_LEND_A_BAR_OFFSET, offset, NTB_LEND_A_BAR_PAD))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int lend_put_limit(struct sk_buff *skb, const char *text)
{
	struct nlattr *nest = nla_nest_start(skb, NTB_LEND_A_LENT_LIMIT);

	if (!nest || nla_put_string(skb, NTB_LEND_A_LIMIT_TEXT, text))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

/* Process context, the lent lock held. Returns 0, or -EMSGSIZE. */
static int lend_put_lease(struct sk_buff *skb, const struct lease *lease)
{
	int i;

	if (nla_put_u32(skb, NTB_LEND_A_LENT_LINK, lease->link->object.id) ||
	    nla_put_u64_64bit(skb, NTB_LEND_A_LENT_EPOCH, lease->epoch, NTB_LEND_A_LENT_PAD) ||
	    nla_put_u8(skb, NTB_LEND_A_LENT_CONTAINED, lease->contained) ||
	    (lease->why && nla_put_string(skb, NTB_LEND_A_LENT_MESSAGE, lease->why)) ||
	    nla_put_u64_64bit(skb, NTB_LEND_A_LENT_CONFIG_READS,
			      atomic64_read(&lease->config_reads), NTB_LEND_A_LENT_PAD) ||
	    nla_put_u64_64bit(skb, NTB_LEND_A_LENT_CONFIG_WRITES, lease->config_writes,
			      NTB_LEND_A_LENT_PAD) ||
	    nla_put_u64_64bit(skb, NTB_LEND_A_LENT_CONFIG_DENIED, lease->config_denied,
			      NTB_LEND_A_LENT_PAD))
		return -EMSGSIZE;
	for (i = 0; i < LEND_RISKS; i++)
		if (test_bit(i, &lease->risks) && lend_put_limit(skb, lend_trust_text(i)))
			return -EMSGSIZE;
	for (i = 0; i < LEND_BARS; i++)
		if (lend_put_bar(skb, NTB_LEND_A_LENT_BAR, i, lease->bar[i].size,
				 lease->bar[i].flags, lease->bar[i].window,
				 lease->bar[i].offset))
			return -EMSGSIZE;
	return 0;
}

/**
 * lend_put_lent() - put a lent device into a message
 * @skb: the message
 * @object: struct lent_device
 *
 * Context: process.
 * Return: 0, or -EMSGSIZE when it does not fit.
 */
int lend_put_lent(struct sk_buff *skb, void *object)
{
	struct lent_device *lent = container_of(object, struct lent_device, object);
	struct nlattr *nest = nla_nest_start(skb, NTB_LEND_A_MAIN_LENT);
	int i, ret = -EMSGSIZE;

	if (!nest)
		return ret;
	mutex_lock(&lent->lock);
	if (nla_put_u32(skb, NTB_LEND_A_LENT_ID, lent->object.id) ||
	    nla_put_string(skb, NTB_LEND_A_LENT_ADDRESS, pci_name(lent->pdev)) ||
	    nla_put_u32(skb, NTB_LEND_A_LENT_STATE, lent_state(lent)) ||
	    (lent->ill && nla_put_string(skb, NTB_LEND_A_LENT_MESSAGE, lent->ill)))
		goto unlock;
	for (i = 0; i < LEND_LIMITS; i++)
		if (test_bit(i, &lent->limits) && lend_put_limit(skb, lent_limit_text(i)))
			goto unlock;
	if (lent->lease && lend_put_lease(skb, lent->lease))
		goto unlock;
	nla_nest_end(skb, nest);
	ret = 0;
unlock:
	mutex_unlock(&lent->lock);
	return ret;
}

static const char *lend_borrowed_interrupts(struct borrowed_device *b)
{
	const char *way = "none";
	struct pci_dev *pdev;

	pdev = pci_get_domain_bus_and_slot(b->sysdata.domain, 0, 0);
	if (!pdev)
		return way;
	if (lend_is_borrowed(pdev) && pdev->msix_enabled)
		way = b->msi_relayed ? "msi-relayed" : "msi-x";
	else if (lend_is_borrowed(pdev) && pdev->msi_enabled)
		way = b->msi_relayed ? "msi-relayed" : "msi";
	else if (READ_ONCE(b->intx.active))
		way = "intx-relayed";
	pci_dev_put(pdev);
	return way;
}

/**
 * lend_put_borrowed() - put a borrowed device into a message
 * @skb: the message
 * @object: struct lend_borrowed
 *
 * Context: process.
 * Return: 0, or -EMSGSIZE when it does not fit.
 */
int lend_put_borrowed(struct sk_buff *skb, void *object)
{
	struct borrowed_device *b = container_of(object, struct borrowed_device, object);
	struct nlattr *nest = nla_nest_start(skb, NTB_LEND_A_MAIN_BORROWED);
	struct lend_dma_stats s;
	char address[32], remote[32];
	int i;

	lend_dma_stats_sum(b, &s);
	snprintf(address, sizeof(address), "%04x:00:00.0", b->sysdata.domain);
	snprintf(remote, sizeof(remote), "%04x:%02x:%02x.%x", b->remote_address >> 16,
		 b->remote_address >> 8 & 0xff, PCI_SLOT(b->remote_address & 0xff),
		 PCI_FUNC(b->remote_address & 0xff));
	if (!nest ||
	    nla_put_u32(skb, NTB_LEND_A_BORROWED_ID, b->object.id) ||
	    nla_put_u32(skb, NTB_LEND_A_BORROWED_LINK, b->link->object.id) ||
	    nla_put_u32(skb, NTB_LEND_A_BORROWED_REMOTE_ID, b->remote_id) ||
	    nla_put_u64_64bit(skb, NTB_LEND_A_BORROWED_EPOCH, b->epoch,
			      NTB_LEND_A_BORROWED_PAD) ||
	    nla_put_u32(skb, NTB_LEND_A_BORROWED_STATE, READ_ONCE(b->state)) ||
	    nla_put_string(skb, NTB_LEND_A_BORROWED_ADDRESS, address) ||
	    nla_put_string(skb, NTB_LEND_A_BORROWED_REMOTE_ADDRESS, remote) ||
	    nla_put_string(skb, NTB_LEND_A_BORROWED_INTERRUPTS, lend_borrowed_interrupts(b)) ||
	    nla_put_u64_64bit(skb, NTB_LEND_A_BORROWED_MAPPINGS, s.maps - s.unmaps,
			      NTB_LEND_A_BORROWED_PAD) ||
	    nla_put_u64_64bit(skb, NTB_LEND_A_BORROWED_MAPPED_BYTES, s.mapped - s.unmapped,
			      NTB_LEND_A_BORROWED_PAD) ||
	    nla_put_u64_64bit(skb, NTB_LEND_A_BORROWED_MAP_ERRORS, s.errors,
			      NTB_LEND_A_BORROWED_PAD) ||
	    nla_put_u64_64bit(skb, NTB_LEND_A_BORROWED_CONFIG_READS,
			      atomic64_read(&b->config_reads), NTB_LEND_A_BORROWED_PAD) ||
	    nla_put_u64_64bit(skb, NTB_LEND_A_BORROWED_CONFIG_WRITES,
			      atomic64_read(&b->config_writes), NTB_LEND_A_BORROWED_PAD) ||
	    nla_put_u64_64bit(skb, NTB_LEND_A_BORROWED_CONFIG_ERRORS,
			      atomic64_read(&b->config_errors), NTB_LEND_A_BORROWED_PAD) ||
	    nla_put_u64_64bit(skb, NTB_LEND_A_BORROWED_BOUNCED_BYTES, s.bounced,
			      NTB_LEND_A_BORROWED_PAD))
		return -EMSGSIZE;
	for (i = 0; i < LEND_BARS; i++)
		if (lend_put_bar(skb, NTB_LEND_A_BORROWED_BAR, i, b->bar[i].size,
				 b->bar[i].flags, b->bar[i].window, b->bar[i].offset))
			return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

/**
 * lend_put_mail() - put a mailbox message into a message
 * @skb: the message
 * @object: struct lend_mail
 *
 * Context: process.
 * Return: 0, or -EMSGSIZE when it does not fit.
 */
int lend_put_mail(struct sk_buff *skb, void *object)
{
	const struct lend_mail *mail = object;
	struct nlattr *nest = nla_nest_start(skb, NTB_LEND_A_MAIN_MAILBOX);

	if (!nest ||
	    nla_put_u32(skb, NTB_LEND_A_MAILBOX_LINK, mail->link->object.id) ||
	    nla_put_u32(skb, NTB_LEND_A_MAILBOX_PORT, mail->port) ||
	    nla_put(skb, NTB_LEND_A_MAILBOX_PAYLOAD, mail->len, mail->data) ||
	    nla_put_u64_64bit(skb, NTB_LEND_A_MAILBOX_PEER_EPOCH, mail->link->channel.peer_epoch,
			      NTB_LEND_A_MAILBOX_PAD))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}
