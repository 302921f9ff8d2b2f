// SPDX-License-Identifier: GPL-2.0-only
/*
 * The client of the NTB API: a link for each NTB device, from its probe to its
 * removal, and its doorbells.
 *
 * Called by the NTB core, and by main.c to begin and to end. Locks: see main.c.
 */

#include <linux/device.h>
#include <linux/dma-mapping.h>
#include <linux/err.h>
#include <linux/ntb.h>
#include <linux/pci.h>
#include <linux/timekeeping.h>
#include <linux/workqueue.h>

#include "bridge.h"
#include "budget.h"
#include "channel.h"
#include "link.h"
#include "mailbox.h"
#include "ntb_client.h"
#include "param.h"
#include "pool.h"
#include "proto.h"
#include "registry.h"
#include "relay.h"
#include "window.h"

/*
 * How often doorbells interrupt at most. Devices whose interrupts are relayed ring
 * a hundred thousand times a second; above this rate they are looked at each tick.
 */
static unsigned int doorbells_per_s = 200000;
LEND_PARAM_UINT(doorbells_per_s, 100, 10000000,
		"A peer that rings more often is looked at by the clock, from 100 on (default 200000)");

static const struct lend_link_hooks *lend_client_hooks;

/* Interrupt context, under the NTB core's ctx_lock. */
static void lend_client_link_event(void *ctx)
{
	lend_link_event(ctx);
}

/* Any context. Looks at the doorbells that have rung; false: none. */
static bool lend_client_take_doorbells(struct lend_link *link)
{
	u64 bits = ntb_db_read(link->ntb) & LEND_ALL_DB;

	if (!bits)
		return false;
	ntb_db_clear(link->ntb, bits);
	atomic64_inc(&link->channel.counters.db_received);
	if (bits & BIT_ULL(LEND_DB_REQUEST))
		lend_channel_kick(&link->channel);
	if (bits & BIT_ULL(LEND_DB_MAILBOX))
		lend_mailbox_kick(&link->mailbox);
	if (bits & BIT_ULL(LEND_DB_RELAY))
		lend_relay_kick(link->relay);
	if (bits & BIT_ULL(LEND_DB_HELLO))
		lend_link_look(link);
	return true;
}

/* Interrupt context, under the NTB core's ctx_lock. */
static void lend_client_db_event(void *ctx, int vector)
{
	struct lend_link *link = ctx;
	unsigned int rate = READ_ONCE(doorbells_per_s);

	if (!lend_client_take_doorbells(link) ||
	    lend_budget_take(&link->doorbells, ktime_get_mono_fast_ns(), rate, rate / 10))
		return;
	if (!ntb_db_set_mask(link->ntb, LEND_ALL_DB))
		queue_delayed_work(system_highpri_wq, &link->calm, 1);
}

/* Work item: the peer has rung too often, and its doorbells are masked. */
static void lend_client_calm(struct work_struct *work)
{
	struct lend_link *link = container_of(to_delayed_work(work), struct lend_link, calm);

	dev_info_ratelimited(&link->ntb->dev,
			     "link %u: the peer rings more than %u times a second\n",
			     link->object.id, READ_ONCE(doorbells_per_s));
	ntb_db_clear_mask(link->ntb, LEND_ALL_DB);
	/* Those that have rung meanwhile do not all interrupt now. */
	lend_client_take_doorbells(link);
}

static const struct ntb_ctx_ops lend_client_ctx_ops = {
	.link_event = lend_client_link_event,
	.db_event = lend_client_db_event,
};

/* Process context. Where the DMA window does not show all memory, mappings need copies. */
static int lend_client_make_pool(struct lend_link *link)
{
	if (!link->windows.partial)
		return 0;
	link->pool = lend_pool_create();
	return link->pool ? 0 : -ENOMEM;
}

/* Process context. As low as can be: a window that ends with it shows less then. */
static int lend_client_alloc_channel(struct lend_link *link)
{
	struct device *dev = &link->pdev->dev;
	int ret = -ENOMEM;

	if (link->windows.narrows && !dma_set_coherent_mask(dev, DMA_BIT_MASK(24))) {
		ret = lend_channel_alloc(&link->channel, dev);
		dma_set_coherent_mask(dev, dma_get_mask(dev));
	}
	return ret ? lend_channel_alloc(&link->channel, dev) : 0;
}

/* Process context. No doorbell is heard afterwards. */
static void lend_client_stop_listening(struct lend_link *link)
{
	ntb_clear_ctx(link->ntb);
	/* It clears the mask. */
	cancel_delayed_work_sync(&link->calm);
	ntb_db_set_mask(link->ntb, ntb_db_valid_mask(link->ntb));
}

static int lend_client_probe(struct ntb_client *client, struct ntb_dev *ntb)
{
	struct lend_windows *w;
	struct lend_link *link;
	int ret;

	ret = lend_bridge_check(ntb);
	if (ret)
		return ret;
	if (ntb_peer_port_count(ntb) > 1)
		dev_warn(&ntb->dev, "%d peer ports, only the first is used\n",
			 ntb_peer_port_count(ntb));

	link = lend_link_alloc(ntb, lend_client_hooks);
	if (IS_ERR(link))
		return PTR_ERR(link);
	INIT_DELAYED_WORK(&link->calm, lend_client_calm);
	w = &link->windows;
	ret = lend_windows_probe(w);
	if (ret)
		goto put;
	ret = lend_client_make_pool(link);
	if (ret)
		goto windows;
	ret = lend_client_alloc_channel(link);
	if (ret) {
		dev_err(&ntb->dev, "nothing free below %llu MiB, and the window shows no more: make it larger\n",
			(u64)w->win[w->dma].size >> 20);
		goto windows;
	}
	link->wq = alloc_ordered_workqueue("ntb_lend_link%u", WQ_HIGHPRI, link->object.id);
	if (!link->wq) {
		ret = -ENOMEM;
		goto channel;
	}
	ret = lend_channel_start(&link->channel);
	if (ret)
		goto wq;
	lend_registry_add(&lend_links, &link->object);

	ntb_db_set_mask(ntb, ntb_db_valid_mask(ntb));
	ret = ntb_set_ctx(ntb, link, &lend_client_ctx_ops);
	if (ret)
		goto remove;
	/* Bits that an earlier client left behind are not for us. */
	ntb_db_clear(ntb, ntb_db_valid_mask(ntb));
	ntb_db_clear_mask(ntb, LEND_ALL_DB);
	ret = lend_bridge_enable_link(ntb);
	if (ret)
		goto clear_ctx;
	queue_delayed_work(link->wq, &link->work, 0);
	dev_info(&ntb->dev, "link %u: window %d for DMA and interrupts, %s%d for BARs\n",
		 link->object.id, w->dma, w->bar == w->dma ? "also " : "", w->bar);
	return 0;

clear_ctx:
	lend_client_stop_listening(link);
	lend_link_shut(link);
remove:
	lend_registry_remove(&lend_links, &link->object);
	/* Who has found it there may have wanted to ban the peer. */
	lend_link_retire(link);
	cancel_delayed_work_sync(&link->work);
	lend_channel_stop(&link->channel);
	lend_relay_stop(link->relay);
wq:
	destroy_workqueue(link->wq);
channel:
	lend_channel_free(&link->channel, &link->pdev->dev);
windows:
	lend_windows_remove(w);
put:
	lend_link_put(link);
	return ret;
}

static void lend_client_remove(struct ntb_client *client, struct ntb_dev *ntb)
{
	struct lend_link *link = ntb->ctx;

	lend_registry_remove(&lend_links, &link->object);
	lend_client_stop_listening(link);
	lend_link_shut(link);
	cancel_delayed_work_sync(&link->work);
	destroy_workqueue(link->wq);
	lend_channel_stop(&link->channel);
	lend_relay_stop(link->relay);
	ntb_link_disable(ntb);
	lend_channel_free(&link->channel, &link->pdev->dev);
	lend_windows_remove(&link->windows);
	lend_link_put(link);
}

static void lend_client_shutdown(struct device *dev)
{
	lend_link_shutdown(dev_ntb(dev)->ctx);
}

static struct ntb_client lend_client = {
	.drv.shutdown = lend_client_shutdown,
	.ops = {
		.probe = lend_client_probe,
		.remove = lend_client_remove,
	},
};

/**
 * lend_client_register() - become the client of every NTB device
 * @hooks: what happens above links
 *
 * Context: process.
 * Return: 0 or a negative errno.
 */
int lend_client_register(const struct lend_link_hooks *hooks)
{
	lend_client_hooks = hooks;
	return ntb_register_client(&lend_client);
}

/**
 * lend_client_unregister() - let go of every NTB device
 *
 * Context: process; ends all sessions.
 */
void lend_client_unregister(void)
{
	ntb_unregister_client(&lend_client);
}
