// SPDX-License-Identifier: GPL-2.0-only
/*
 * Leases of lent functions, from netlink to reset. From top to bottom:
 *
 *   what an open lease is to readers, in any context
 *   lease_begin(), what others of this host have to do with it
 *   lease_fence(), lease_finish(): the one end, whatever it is for
 *   lease_end(): a recall; lease_unbind(): the driver goes
 *   what ends leases without being asked: the peer is lost, the device or this host
 *   has something that no lease outlasts, or a neighbour gets a driver
 *
 * Called by netlink.c (lend, unlend), by owner.c for the function, by
 * owner_serve.c for the borrower's requests, and by main.c for links.
 *
 * Locks: see main.c. Readers of registers take none: they hold lease.users, which
 * the fence waits for.
 */

#include <linux/module.h>
#include <linux/netlink.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "channel.h"
#include "compat.h"
#include "filter.h"
#include "lease.h"
#include "lent.h"
#include "link.h"
#include "owner_config.h"
#include "owner_intx.h"
#include "owner_irq.h"
#include "owner_place.h"
#include "owner_source.h"
#include "proto.h"
#include "trace.h"
#include "trust.h"

/* By handle of the function, until the fence. */
static DEFINE_XARRAY(lease_open);

/* Any context. */
static void lease_unused(struct percpu_ref *users)
{
	complete(&container_of(users, struct lease, users)->unused);
}

/**
 * lease_enter() - read registers of a function that the borrower has attached
 * @link: over which it asks
 * @id: the function's handle, as the borrower says it
 * @epoch: of the lease, as the borrower says it
 *
 * Context: any.
 * Return: the lease, which is not fenced before lease_leave(); or NULL.
 */
struct lease *lease_enter(struct lend_link *link, u32 id, u64 epoch)
{
	struct lease *lease;

	rcu_read_lock();
	lease = xa_load(&lease_open, id);
	if (lease && (lease->link != link || lease->epoch != epoch ||
		      READ_ONCE(lease->state) != LEASE_ATTACHED ||
		      !percpu_ref_tryget_live(&lease->users)))
		lease = NULL;
	rcu_read_unlock();
	return lease;
}

/**
 * lease_leave() - it is read
 * @lease: what lease_enter() has returned
 *
 * Context: any.
 */
void lease_leave(struct lease *lease)
{
	percpu_ref_put(&lease->users);
}

/* Process context, the device lock held. We may not go under it. */
static struct lease *lease_alloc(struct lent_device *lent, struct lend_link *link, u64 epoch)
{
	struct lease *lease = kzalloc(sizeof(*lease), GFP_KERNEL);

	if (!lease)
		return NULL;
	/* Readers are few: a count that needs no grace period to be killed. */
	if (percpu_ref_init(&lease->users, lease_unused, PERCPU_REF_INIT_ATOMIC, GFP_KERNEL)) {
		kfree(lease);
		return NULL;
	}
	init_completion(&lease->unused);
	INIT_LIST_HEAD(&lease->others);
	INIT_LIST_HEAD(&lease->gaps);
	lease->lent = lent;
	lease->link = link;
	lease->epoch = epoch;
	lend_link_hold(link);
	__module_get(THIS_MODULE);
	return lease;
}

static void lease_free_rcu(struct rcu_head *rcu)
{
	struct lease *lease = container_of(rcu, struct lease, rcu);

	percpu_ref_exit(&lease->users);
	kfree(lease);
}

/* Process context; nothing refers to it any more but readers that are turned away. */
static void lease_free(struct lease *lease)
{
	struct lend_link *link = lease->link;

	module_put(lease->bridge);
	call_rcu(&lease->rcu, lease_free_rcu);
	module_put(THIS_MODULE);
	lend_link_put(link);
}

/* Process context. A virtual function answers all-ones for its IDs; the kernel knows them. */
static void lease_build_filter(struct lent_device *lent)
{
	struct lend_filter *f = lent->filter;
	struct pci_dev *pdev = lent->pdev;

	lend_filter_build(f, pdev->cfg_size, owner_filter_read, pdev);
	lend_filter_set_pin(f, owner_intx_pin(&lent->irq));
	if (pdev->devcap & PCI_EXP_DEVCAP_FLR && !(pdev->dev_flags & PCI_DEV_FLAGS_NO_FLR_RESET))
		lend_filter_set_flr(f);
	if (!pdev->is_virtfn)
		return;
	lend_filter_show(f, PCI_VENDOR_ID, 2, pdev->vendor);
	lend_filter_show(f, PCI_DEVICE_ID, 2, pdev->device);
}

/* Process context, the link's lease lock held. Does a lease over it hold the BAR window? */
static bool lease_bars_are_held(const struct lend_link *link)
{
	const struct lease *lease;

	list_for_each_entry(lease, &link->leases, others)
		if (owner_holds_bar_window(lease))
			return true;
	return false;
}

/**
 * struct lease_company - for lease_shares_group()
 * @lease: the lease that begins
 * @trust: in what its function is trusted
 */
struct lease_company {
	const struct lease *lease;
	struct lend_trust *trust;
};

/* Any context; the lent lock of @other held. Is it lent to another peer? */
static bool lease_is_elsewhere(const struct lease *lease, const struct lent_device *other)
{
	return other->lease && other->lease->link != lease->link;
}

/* Process context. Takes the lent lock of what is looked at. */
static int lease_shares_group(struct lend_object *object, void *arg)
{
	struct lent_device *other = container_of(object, struct lent_device, object);
	struct lease_company *c = arg;
	bool elsewhere;

	if (other == c->lease->lent)
		return 0;
	mutex_lock(&other->lock);
	elsewhere = lease_is_elsewhere(c->lease, other);
	mutex_unlock(&other->lock);
	if (elsewhere && lend_trust_same_group(c->lease->lent->pdev, other->pdev))
		lend_trust_shared(c->trust, other->pdev);
	return 0;
}

/* Process context. What is lent to another peer is not contained, either. */
static int lease_tells_company(struct lend_object *object, void *arg)
{
	struct lent_device *other = container_of(object, struct lent_device, object);
	struct lease *lease = arg;

	if (other == lease->lent ||
	    !lend_trust_same_group(lease->lent->pdev, other->pdev))
		return 0;
	mutex_lock(&other->lock);
	if (lease_is_elsewhere(lease, other)) {
		__set_bit(LEND_RISK_GROUP, &other->lease->risks);
		other->lease->contained = false;
	}
	mutex_unlock(&other->lock);
	return 0;
}

/* Process context, lease lock held. With a look at what is lent elsewhere. */
static void lease_check_trust(struct lease *lease, struct lend_trust *trust)
{
	struct lease_company company = { .lease = lease, .trust = trust };

	lend_trust_check(&lease->link->windows, lease->lent->pdev, trust);
	lend_registry_for_each(&lent_devices, 0, lease_shares_group, &company);
}

/* Process context; lease and lent locks held. Returns 0 or a negative errno. */
static int lease_place(struct lease *lease, const struct lend_trust *trust,
		       struct netlink_ext_ack *extack)
{
	struct lend_link *link = lease->link;
	int ret;

	lease->bridge = lend_link_hold_bridge(link);
	if (!lease->bridge) {
		NL_SET_ERR_MSG(extack, "the link is not ready");
		return -ENOTCONN;
	}
	ret = xa_err(xa_store(&lease_open, lease->lent->object.id, lease, GFP_KERNEL));
	if (ret)
		return ret;
	ret = owner_place(lease, lease_bars_are_held(link), trust, extack);
	if (ret)
		xa_erase(&lease_open, lease->lent->object.id);
	return ret;
}

/* Process context, device lock held; the function is reset. */
static int lease_begin(struct lease *lease, struct netlink_ext_ack *extack)
{
	struct lent_device *lent = lease->lent;
	struct lend_link *link = lease->link;
	struct lend_trust trust;
	int ret;

	mutex_lock(&link->lease_lock);
	/*
	 * Before it is looked at what neighbours do: who gets a driver meanwhile
	 * finds the lease, and waits until it has begun.
	 */
	mutex_lock(&lent->lock);
	lent->lease = lease;
	mutex_unlock(&lent->lock);

	lease_check_trust(lease, &trust);
	mutex_lock(&lent->lock);
	ret = lease_place(lease, &trust, extack);
	if (ret) {
		lent->lease = NULL;
	} else {
		lent->last_epoch = lease->epoch;
		owner_irq_begin(&lent->irq, link->relay, lease->epoch);
		list_add(&lease->others, &link->leases);
		WRITE_ONCE(lease->state, LEASE_LENT);
	}
	mutex_unlock(&lent->lock);
	if (!ret)
		lend_registry_for_each(&lent_devices, 0, lease_tells_company, lease);
	mutex_unlock(&link->lease_lock);
	return ret;
}

/* Process context, device lock held. May a lease begin? */
static int lease_may_begin(const struct lent_device *lent, struct lend_link *link, u64 epoch,
			   struct netlink_ext_ack *extack)
{
	if (lent->gone)
		return -ENODEV;
	if (lent->ill) {
		NL_SET_ERR_MSG_FMT(extack, "quarantined: %s", lent->ill);
		return -EIO;
	}
	if (lent->lease) {
		NL_SET_ERR_MSG(extack, "leased already");
		return -EBUSY;
	}
	if (epoch <= lent->last_epoch) {
		NL_SET_ERR_MSG_FMT(extack, "epoch %llu is not above %llu", epoch,
				   lent->last_epoch);
		return -ESTALE;
	}
	if (!lend_link_is_ready(link)) {
		NL_SET_ERR_MSG(extack, "the link is not ready");
		return -ENOTCONN;
	}
	return 0;
}

/* Process context, device lock held. */
static int lease_prepare(struct lent_device *lent, struct netlink_ext_ack *extack)
{
	const char *ill;

	lent->limits = 0;
	ill = lent_reset(lent);
	if (ill) {
		mutex_lock(&lent->lock);
		lent->ill = ill;
		mutex_unlock(&lent->lock);
		lent_changed(lent);
		NL_SET_ERR_MSG_FMT(extack, "quarantined: %s", ill);
		return -EIO;
	}
	lease_build_filter(lent);
	return 0;
}

/* Process context, device lock held. */
static int lease_lend_locked(struct lent_device *lent, struct lend_link *link, u64 epoch,
			     struct netlink_ext_ack *extack)
{
	int ret = lease_may_begin(lent, link, epoch, extack);
	struct lease *lease;

	if (!ret)
		ret = lease_prepare(lent, extack);
	if (ret)
		return ret;
	lease = lease_alloc(lent, link, epoch);
	if (!lease)
		return -ENOMEM;
	ret = lease_begin(lease, extack);
	if (ret)
		lease_free(lease);
	return ret;
}

/* Process context, device lock held. */
static void lease_log_limits(struct lent_device *lent)
{
	enum lent_limit limit;
	enum lend_risk risk;

	for (limit = 0; limit < LEND_LIMITS; limit++)
		if (test_bit(limit, &lent->limits))
			pci_info(lent->pdev, "%s\n", lent_limit_text(limit));
	for (risk = 0; risk < LEND_RISKS; risk++)
		if (test_bit(risk, &lent->lease->risks))
			pci_info(lent->pdev, "%s\n", lend_trust_text(risk));
}

/**
 * lease_lend() - lease a function to the peer of a link
 * @lent: the function
 * @link: the borrower's link
 * @epoch: of the lease
 * @extack: says what is wrong
 *
 * Context: process; takes the device, lease and lent locks, may take seconds.
 * Return: 0 or a negative errno; see the netlink spec.
 */
int lease_lend(struct lent_device *lent, struct lend_link *link, u64 epoch,
	       struct netlink_ext_ack *extack)
{
	int ret;

	device_lock(&lent->pdev->dev);
	ret = lease_lend_locked(lent, link, epoch, extack);
	if (!ret) {
		lease_log_limits(lent);
		pci_info(lent->pdev, "lent over link %u, epoch %llu\n", link->object.id, epoch);
	}
	device_unlock(&lent->pdev->dev);
	trace_lend_lease(pci_name(lent->pdev), link->object.id, epoch, "lend", ret);
	if (!ret)
		lent_changed(lent);
	return ret;
}

/**
 * lease_stop_dma() - have the device begin no DMA
 * @lease: of the device
 *
 * What it has sent has arrived at the borrower afterwards, if that is still there.
 *
 * Context: process; caller holds the lent lock.
 */
void lease_stop_dma(struct lease *lease)
{
	u32 id;

	owner_command_stop(&lease->lent->irq);
	/* The completion of the read pushes the device's posted writes ahead. */
	pci_read_config_dword(lease->lent->pdev, PCI_VENDOR_ID, &id);
	lend_channel_flush(&lease->link->channel);
}

/*
 * Process context; lease and lent locks held. The fence: nothing of the borrower
 * reaches the device any more, and the device nothing of the borrower, whatever
 * either of them does. Waits for no driver and asks the peer for nothing. @why: a
 * literal, or NULL. Returns whether the lease was not over yet.
 */
static bool lease_fence(struct lease *lease, const char *why)
{
	struct lent_device *lent = lease->lent;
	struct lend_link *link = lease->link;

	if (!lease_is_open(lease))
		return false;
	/*
	 * No request that writes is served now, so the device stays still. A reader that
	 * is turned away may take its memory for its own from then on: it is, for what
	 * has left the device has arrived there.
	 */
	lease_stop_dma(lease);
	/* Requests are refused for good, and none that reads is under way. */
	WRITE_ONCE(lease->state, LEASE_OVER);
	lease->why = why;
	xa_erase(&lease_open, lent->object.id);
	percpu_ref_kill(&lease->users);
	wait_for_completion(&lease->unused);
	list_del_init(&lease->others);
	owner_unplace(lease, lease_bars_are_held(link));
	return true;
}

/* Process context; the lease of @epoch is fenced. */
static void lease_revoke(struct lent_device *lent, struct lend_link *link, u64 epoch)
{
	struct lend_call call = {
		.op = LEND_OP_REVOKE, .handle = lent->object.id, .epoch = epoch,
	};

	/* A peer that does not hear it loses the device all the same. */
	lend_channel_call(&link->channel, &call);
}

/*
 * Process context; takes the lent lock. The lease of @epoch is fenced and its borrower
 * told: its interrupts are taken down, if it has not been taken back meanwhile.
 */
static void lease_stop_irq(struct lent_device *lent, u64 epoch)
{
	LIST_HEAD(closed);

	mutex_lock(&lent->lock);
	if (lent->lease && lent->lease->epoch == epoch)
		owner_irq_stop(&lent->irq, &closed);
	mutex_unlock(&lent->lock);
	owner_source_release(&closed);
}

/*
 * Process context, device lock held. The end of a lease, whatever it is for:
 *
 *   fence -> tell the borrower, if it has it attached -> take its interrupts down
 *
 * Returns 0; -EBUSY attached, and not @force.
 */
static int lease_finish(struct lease *lease, bool force, struct netlink_ext_ack *extack)
{
	struct lent_device *lent = lease->lent;
	struct lend_link *link = lease->link;
	bool attached;

	mutex_lock(&link->lease_lock);
	mutex_lock(&lent->lock);
	attached = lease->state == LEASE_ATTACHED;
	if (!attached || force) {
		lease_fence(lease, NULL);
		WRITE_ONCE(lease->state, LEASE_RETURNING);
	}
	mutex_unlock(&lent->lock);
	mutex_unlock(&link->lease_lock);
	if (attached && !force) {
		NL_SET_ERR_MSG(extack, "attached at the borrower; detach it there, or use force");
		return -EBUSY;
	}

	if (attached)
		lease_revoke(lent, link, lease->epoch);
	lease_stop_irq(lent, lease->epoch);
	return 0;
}

/* Process context, device lock held. The function is nobody's; @ill: why it stays so, or NULL. */
static void lease_forget(struct lent_device *lent, const char *ill)
{
	struct lease *lease = lent->lease;

	mutex_lock(&lent->lock);
	lent->lease = NULL;
	lent->ill = ill;
	mutex_unlock(&lent->lock);
	if (lease)
		lease_free(lease);
}

/* Process context, device lock held. Finishes the lease, then resets and looks at the device. */
static int lease_end(struct lent_device *lent, bool force, struct netlink_ext_ack *extack)
{
	const char *ill;
	int ret;

	if (!lent->lease && !(lent->ill && force))
		return 0;
	if (lent->lease) {
		ret = lease_finish(lent->lease, force, extack);
		if (ret)
			return ret;
		lent_changed(lent);
	}
	ill = lent_reset(lent);
	if (ill)
		pci_err(lent->pdev, "quarantined: %s\n", ill);
	lease_forget(lent, ill);
	lent_changed(lent);
	return 0;
}

/* Process context, device lock held. Whether it is that lease which is to end. */
static int lease_is_meant(struct lent_device *lent, u64 epoch, struct netlink_ext_ack *extack)
{
	if (lent->gone)
		return -ENODEV;
	if (!lent->lease || lent->lease->epoch == epoch)
		return 0;
	NL_SET_ERR_MSG_FMT(extack, "the lease that stands is of epoch %llu", lent->lease->epoch);
	return -ESTALE;
}

/**
 * lease_unlend() - end the lease of a function
 * @lent: the function
 * @epoch: of the lease that is meant; 0: none, but a function that is quarantined
 * @force: also while it is attached at the borrower, or quarantined
 * @extack: says what is wrong
 *
 * A lease that is over already is no error. Never ends another one than is meant.
 *
 * Context: process; takes the device, lease and lent locks, may take seconds.
 * Return: 0, also when quarantined; -EBUSY attached; -ENODEV unbound; -ESTALE it has
 * another lease.
 */
int lease_unlend(struct lent_device *lent, u64 epoch, bool force, struct netlink_ext_ack *extack)
{
	int ret;

	device_lock(&lent->pdev->dev);
	ret = lease_is_meant(lent, epoch, extack);
	if (!ret && (lent->lease || !epoch))
		ret = lease_end(lent, force, extack);
	device_unlock(&lent->pdev->dev);
	trace_lend_lease(pci_name(lent->pdev), 0, epoch, "unlend", ret);
	return ret;
}

/**
 * lease_unbind() - the function's driver goes: no lease begins any more
 * @lent: the function
 *
 * A lease that still stands ends here.
 *
 * Context: process; caller holds the device lock.
 */
void lease_unbind(struct lent_device *lent)
{
	const char *ill = NULL;
	bool there;

	mutex_lock(&lent->lock);
	lent->gone = true;
	mutex_unlock(&lent->lock);
	if (!lent->lease)
		return;
	there = lent_answers(lent);
	pci_warn(lent->pdev, "%s under a lease: the borrower loses it\n",
		 there ? "unbound" : "removed");
	lease_finish(lent->lease, true, NULL);
	if (there)
		ill = lent_reset(lent);
	if (ill)
		pci_err(lent->pdev, "not healthy: %s\n", ill);
	lease_forget(lent, ill);
}

/**
 * lease_cut() - something has happened that no lease outlasts
 * @lent: the function
 * @why: what, a literal
 *
 * The lease is fenced, the borrower told and interrupts taken down; user space takes the
 * device back.
 *
 * Context: process; caller holds the device lock; takes the lease and lent locks.
 */
void lease_cut(struct lent_device *lent, const char *why)
{
	struct lease *lease = lent->lease;
	bool attached, was_open;

	if (!lease)
		return;
	mutex_lock(&lease->link->lease_lock);
	mutex_lock(&lent->lock);
	attached = lease->state == LEASE_ATTACHED;
	was_open = lease_fence(lease, why);
	mutex_unlock(&lent->lock);
	mutex_unlock(&lease->link->lease_lock);
	if (!was_open)
		return;
	pci_warn(lent->pdev, "the lease is over: %s\n", why);
	if (attached)
		lease_revoke(lent, lease->link, lease->epoch);
	lease_stop_irq(lent, lease->epoch);
	lent_changed(lent);
}

/**
 * lease_link_dead() - the peer of a link is lost: its leases are fenced
 * @link: the link, marked dead
 *
 * The devices stay so until user space takes them back, which lent_tell() tells.
 *
 * Context: process; takes the lease and lent locks, waits for no driver and no memory.
 */
void lease_link_dead(struct lend_link *link)
{
	struct lease *lease, *next;
	struct lent_device *lent;

	mutex_lock(&link->lease_lock);
	list_for_each_entry_safe(lease, next, &link->leases, others) {
		lent = lease->lent;
		mutex_lock(&lent->lock);
		lease_fence(lease, "the borrower is lost");
		mutex_unlock(&lent->lock);
		lent_has_changed(lent);
	}
	mutex_unlock(&link->lease_lock);
}

static int lease_stop_irq_on(struct lend_object *object, void *arg)
{
	struct lent_device *lent = container_of(object, struct lent_device, object);
	LIST_HEAD(closed);

	mutex_lock(&lent->lock);
	if (lent->lease && lent->lease->link == arg)
		owner_irq_stop(&lent->irq, &closed);
	mutex_unlock(&lent->lock);
	owner_source_release(&closed);
	return 0;
}

/**
 * lease_link_lost() - take the interrupts of a lost peer's devices down
 * @link: the link; a lease that begins later finds that it is not ready
 *
 * Context: process; takes the lease and lent locks.
 */
void lease_link_lost(struct lend_link *link)
{
	lease_link_dead(link);
	lend_registry_for_each(&lent_devices, 0, lease_stop_irq_on, link);
}

/* Process context. The link of a lease, with a reference, or NULL. */
static struct lend_link *lease_link(struct lent_device *lent)
{
	struct lend_link *link = NULL;

	mutex_lock(&lent->lock);
	if (lent->lease) {
		link = lent->lease->link;
		lend_link_hold(link);
	}
	mutex_unlock(&lent->lock);
	return link;
}

/* Process context; @arg's device lock held, not that of the lent function. */
static int lease_meets(struct lend_object *object, void *arg)
{
	struct lent_device *lent = container_of(object, struct lent_device, object);
	bool was_open, own, bridge, tell = false, ends = lend_trust_required();
	struct pci_dev *pdev = arg;
	struct lend_link *link;
	struct lease *lease;
	u64 epoch = 0;

	if (pdev == lent->pdev)
		return 0;
	link = lease_link(lent);
	if (!link)
		return 0;
	own = lend_trust_same_group(lent->pdev, pdev);
	bridge = pdev != link->pdev && lend_trust_same_group(link->pdev, pdev);
	if (!own && !bridge) {
		lend_link_put(link);
		return 0;
	}
	mutex_lock(&link->lease_lock);
	mutex_lock(&lent->lock);
	lease = lent->lease;
	was_open = lease_is_open(lease) && lease->link == link;
	if (was_open) {
		epoch = lease->epoch;
		__set_bit(own ? LEND_RISK_GROUP : LEND_RISK_BRIDGE_GROUP, &lease->risks);
		lease->contained = false;
		tell = ends && lease->state == LEASE_ATTACHED;
		if (ends)
			lease_fence(lease, own ? "this host uses a device of its IOMMU group" :
				    "this host uses a device of the bridge's IOMMU group");
	}
	mutex_unlock(&lent->lock);
	mutex_unlock(&link->lease_lock);
	if (tell)
		lease_revoke(lent, link, epoch);
	if (was_open && ends)
		lease_stop_irq(lent, epoch);
	lend_link_put(link);
	if (was_open) {
		pci_warn(lent->pdev, "is not contained any more: this host uses %s of %s IOMMU group\n",
			 pci_name(pdev), own ? "its" : "the bridge's");
		lent_changed(lent);
	}
	return 0;
}

/* Process context; @arg's device lock held. The peer could reach what it maps. */
static int lease_closes_link(struct lend_object *object, void *arg)
{
	struct lend_link *link = container_of(object, struct lend_link, object);
	struct pci_dev *pdev = arg;

	if (pdev != link->pdev && lend_trust_same_group(link->pdev, pdev))
		lend_link_lose(link, "this host uses a device of the bridge's IOMMU group");
	return 0;
}

/**
 * lease_meet_neighbour() - a function is about to get a driver of this host
 * @pdev: the function
 *
 * A lent one whose domain it shares could reach what that driver maps; so could the
 * peer, if it is the bridge's domain, whether something is lent or not.
 *
 * Context: process; caller holds the device lock of @pdev; takes the lease and lent
 * locks of leases that it concerns.
 */
void lease_meet_neighbour(struct pci_dev *pdev)
{
	lend_registry_for_each(&lent_devices, 0, lease_meets, pdev);
	if (lend_trust_required())
		lend_registry_for_each(&lend_links, 0, lease_closes_link, pdev);
}
