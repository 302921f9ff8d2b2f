// SPDX-License-Identifier: GPL-2.0-only
/*
 * ntb_lend - lend PCIe devices to other hosts across Non-Transparent Bridges
 *
 * Copyright (C) 2026 the pcie.device_lending authors
 *
 * Calls go one way, from the end of this list to its beginning; what is below hears
 * of what is above through hooks that are set here:
 *
 *   compat param proto                               how kernels differ; the wire
 *   region chunk chunks                              pure logic, with KUnit tests
 *   filter budget sequence hello view reach
 *   trace                                            trace points
 *   registry bridge window channel                   objects by number; the bridge
 *   pool mailbox relay                               copies; messages; interrupts
 *   link ntb_client                                  handshake, heartbeat, loss; probe
 *   borrowed irq dma_count dma_plain dma             borrowed devices,
 *   borrower_config
 *   borrower_place borrower                          their attachments
 *   borrower_reach borrower_arena borrower_iommu     and what user space maps for them
 *   trust owner_page owner_config owner_relayed      lent devices,
 *   owner_source owner_intx owner_vectors owner_irq lent
 *   owner_reach owner_place lease owner_flr          their leases
 *   owner_serve owner
 *   attributes jobs netlink main
 *
 * Locks, the outer ones first. Whoever holds one takes none above it:
 *
 *   device lock of a lent function   held across resets       owner
 *   lend_link.lock                   attach, detach, the link's state; as long as
 *                                    a driver's probe or remove; never together
 *                                    with the device lock of a lent function
 *   PCI rescan lock                  making and removing a root bus
 *   lend_link.lease_lock             what begins and ends leases to one peer, and
 *                                    what its windows show here
 *   lent_device.lock                 one lent device; never across a reset
 *   borrower_bus_lock                whether a borrowed device has a bus
 *   lend_pool.lock                   growing and shrinking
 *   lend_mailbox.lock                one message under way; with no other
 *   borrower_arena_lock              who has which part of a window in user space;
 *                                    with no other of ours
 *   borrower_domain.lock             what user space maps, and for whom; with no
 *                                    other of ours, under those of VFIO
 *   lend_channels_lock               the list of channels; with no other
 *   lend_mailbox_lock                which daemon receives; a spinlock, with no other
 *   in any context, innermost:
 *   owner_intx.lock, owner_vectors.lock, lend_source.lock, lend_sink.lock,
 *   lend_relay.lock, lend_chunk.lock,
 *   xa_lock of a registry (process context only)
 *
 * lease.users is no lock, but is waited for: by the fence, for reads that are under
 * way in any context, and take no lock above.
 */

#include <linux/module.h>

#include "borrower.h"
#include "borrower_iommu.h"
#include "lease.h"
#include "lent.h"
#include "link.h"
#include "netlink.h"
#include "ntb_client.h"
#include "owner.h"
#include "owner_serve.h"
#include "trust.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

/* Context as lend_channel_serve. */
static enum lend_status lend_serve(struct lend_channel *channel, const struct lend_request *req,
				   struct lend_response *resp)
{
	enum lend_status status;

	switch (req->op) {
	case LEND_OP_REVOKE:
		borrower_revoke(lend_link_of(channel), le32_to_cpu(req->handle),
				le64_to_cpu(req->epoch));
		return LEND_OK;
	case LEND_OP_PING:
		resp->val[0] = cpu_to_le64(le32_to_cpu(req->value));
		return LEND_OK;
	}
	status = owner_serve(channel, req, resp);
	trace_lend_serve(channel->id, req->op, le32_to_cpu(req->handle), le32_to_cpu(req->arg),
			 status);
	return status;
}

/* Process context, @link->lock held. */
static const char *lend_link_distrust(const struct lend_link *link)
{
	return lend_trust_link(&link->windows);
}

/*
 * Process context. The owner's fence comes first: it waits for nobody. Windows are
 * closed before drivers hear that their devices are gone, and give memory back to
 * which these still write.
 */
static void lend_link_dead(struct lend_link *link)
{
	lease_link_dead(link);
	lend_link_close_windows(link);
	borrower_link_dead(link);
	/* That takes memory, which may have to be written to what the peer has lent. */
	lent_tell();
}

/* Process context, @link->lock held. */
static void lend_link_lost(struct lend_link *link)
{
	lease_link_lost(link);
	borrower_link_lost(link);
	lent_tell();
}

static const struct lend_link_hooks lend_hooks = {
	.serve = lend_serve,
	.deliver = lend_netlink_deliver,
	.distrust = lend_link_distrust,
	.dead = lend_link_dead,
	.lost = lend_link_lost,
};

static int __init lend_init(void)
{
	int ret;

	ret = borrower_register();
	if (ret)
		return ret;
	ret = borrower_iommu_register();
	if (ret)
		goto borrower;
	ret = owner_register();
	if (ret)
		goto iommu;
	ret = lend_netlink_register();
	if (ret)
		goto owner;
	ret = lend_client_register(&lend_hooks);
	if (ret)
		goto netlink;
	return 0;

netlink:
	lend_netlink_unregister();
owner:
	owner_unregister();
iommu:
	borrower_iommu_unregister();
borrower:
	borrower_unregister();
	return ret;
}
module_init(lend_init);

static void __exit lend_exit(void)
{
	lend_client_unregister();
	lend_netlink_unregister();
	owner_unregister();
	borrower_iommu_unregister();
	borrower_unregister();
}
module_exit(lend_exit);

MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
MODULE_DESCRIPTION("Lend PCIe devices to other hosts across Non-Transparent Bridges");
MODULE_AUTHOR("the pcie.device_lending authors");
