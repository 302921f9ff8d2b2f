// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owner side: the driver that holds a function while it may be lent, and the
 * lease of a function.
 *
 * Locks, in this order: the function's device lock (held across resets, so
 * that it cannot be unbound meanwhile), lend_link.lease_lock, lend_lent.lock.
 * Never lend_link.lock: who holds it, to attach or detach, waits for the PCI
 * core's lock, which whoever removes a lent function holds.
 *
 * The peer's reads of registers are served in any context, so they cannot take
 * lend_lent.lock. They see the list of open functions, under a lock of its own,
 * the innermost one: a function is on it while the peer has it attached.
 */

#include <linux/idr.h>
#include <linux/module.h>
#include <linux/netlink.h>
#include <linux/slab.h>

#include "borrowed.h"
#include "channel.h"
#include "compat.h"
#include "contain.h"
#include "lent.h"
#include "lent_irq.h"
#include "link.h"
#include "netlink.h"
#include "trace.h"

static LIST_HEAD(lend_lents);
static DEFINE_MUTEX(lend_lents_lock);
static DEFINE_IDA(lend_lent_ids);

static LIST_HEAD(lend_lents_open);
/* Whoever reads a borrowed device for user space holds the raw pci_lock. */
static DEFINE_RAW_SPINLOCK(lend_lents_open_lock);

static void lend_lent_free(struct kref *ref)
{
	struct lend_lent *lent = container_of(ref, struct lend_lent, ref);

	ida_free(&lend_lent_ids, lent->id);
	kfree(lent->saved);
	kvfree(lent->filter);
	xa_destroy(&lent->vectors.open);
	pci_dev_put(lent->pdev);
	kfree(lent);
}

/**
 * lend_lent_put() - drop a reference
 * @lent: the lent device
 *
 * Context: process.
 */
void lend_lent_put(struct lend_lent *lent)
{
	kref_put(&lent->ref, lend_lent_free);
}

/**
 * lend_lent_get() - find a lent device
 * @id: its handle
 *
 * Context: process; takes the list's lock.
 * Return: it with a reference, or NULL.
 */
struct lend_lent *lend_lent_get(u32 id)
{
	struct lend_lent *lent, *found = NULL;

	mutex_lock(&lend_lents_lock);
	list_for_each_entry(lent, &lend_lents, node) {
		if (lent->id == id) {
			kref_get(&lent->ref);
			found = lent;
			break;
		}
	}
	mutex_unlock(&lend_lents_lock);
	return found;
}

/**
 * lend_lent_get_by_address() - find a lent device
 * @address: its PCI address, domain included
 *
 * Context: process; takes the list's lock.
 * Return: it with a reference, or NULL.
 */
struct lend_lent *lend_lent_get_by_address(const char *address)
{
	struct lend_lent *lent, *found = NULL;

	mutex_lock(&lend_lents_lock);
	list_for_each_entry(lent, &lend_lents, node) {
		if (!strcmp(pci_name(lent->pdev), address)) {
			kref_get(&lent->ref);
			found = lent;
			break;
		}
	}
	mutex_unlock(&lend_lents_lock);
	return found;
}

/**
 * lend_lent_for_each() - look at the lent devices in the order of their handles
 * @start: first handle
 * @fn: called for each with @arg, until it returns non-zero
 * @arg: for @fn
 *
 * Context: process; @fn runs under the list's lock.
 * Return: what the last @fn returned.
 */
int lend_lent_for_each(u32 start, int (*fn)(struct lend_lent *lent, void *arg), void *arg)
{
	struct lend_lent *lent;
	int ret = 0;

	mutex_lock(&lend_lents_lock);
	list_for_each_entry(lent, &lend_lents, node) {
		if (lent->id < start)
			continue;
		ret = fn(lent, arg);
		if (ret)
			break;
	}
	mutex_unlock(&lend_lents_lock);
	return ret;
}

/**
 * lend_lent_open() - let the peer read the function's registers
 * @lent: the lent device, whose lease does not change while it is open
 *
 * Context: process; caller holds @lent->lock.
 */
void lend_lent_open(struct lend_lent *lent)
{
	raw_spin_lock_irq(&lend_lents_open_lock);
	list_add_tail(&lent->open, &lend_lents_open);
	raw_spin_unlock_irq(&lend_lents_open_lock);
}

/**
 * lend_lent_close() - let it read them no longer, if it may
 * @lent: the lent device
 *
 * No read is under way afterwards.
 *
 * Context: process; caller holds @lent->lock.
 */
void lend_lent_close(struct lend_lent *lent)
{
	raw_spin_lock_irq(&lend_lents_open_lock);
	list_del_init(&lent->open);
	raw_spin_unlock_irq(&lend_lents_open_lock);
}

/**
 * lend_lent_with_open() - do something with a lent device that the peer has open
 * @link: the peer's link
 * @id: handle
 * @epoch: of the lease
 * @fn: called with interrupts off and @arg while it stays open; what it returns
 * @arg: for @fn
 *
 * Context: any.
 * Return: what @fn returns, or LEND_ERR_STALE.
 */
enum lend_status lend_lent_with_open(struct lend_link *link, u32 id, u64 epoch,
				     enum lend_status (*fn)(struct lend_lent *lent, void *arg),
				     void *arg)
{
	enum lend_status status = LEND_ERR_STALE;
	struct lend_lent *lent;
	unsigned long flags;

	raw_spin_lock_irqsave(&lend_lents_open_lock, flags);
	list_for_each_entry(lent, &lend_lents_open, open) {
		if (lent->id == id && lent->link == link && lent->epoch == epoch) {
			status = fn(lent, arg);
			break;
		}
	}
	raw_spin_unlock_irqrestore(&lend_lents_open_lock, flags);
	return status;
}

/**
 * lend_lent_filter_read() - read a register for the filter
 * @ctx: struct pci_dev
 * @where: offset
 * @size: octets
 *
 * Context: any.
 */
u32 lend_lent_filter_read(void *ctx, u32 where, u32 size)
{
	u32 value = ~0U;

	pci_read_config_dword(ctx, where & ~3U, &value);
	return lend_part(value, where, size);
}

/* Process context. A virtual function answers all-ones for its IDs; the kernel knows them. */
static void lend_lent_build_filter(struct lend_lent *lent)
{
	struct lend_filter *f = lent->filter;
	struct pci_dev *pdev = lent->pdev;

	lend_filter_build(f, pdev->cfg_size, lend_lent_filter_read, pdev);
	if (!pdev->is_virtfn)
		return;
	lend_filter_show(f, PCI_VENDOR_ID, 2, pdev->vendor);
	lend_filter_show(f, PCI_DEVICE_ID, 2, pdev->device);
}

static void lend_lent_set_state(struct lend_lent *lent, enum ntb_lend_lent_state state,
				const char *message)
{
	mutex_lock(&lent->lock);
	lent->state = state;
	lent->message = message;
	mutex_unlock(&lent->lock);
	lend_netlink_lent_event(lent);
}

/* Process context, device lock held. */
static int lend_lent_lend_locked(struct lend_lent *lent, struct lend_link *link, u64 epoch,
				 struct netlink_ext_ack *extack)
{
	struct lend_in_use others = { .link = link, .but = lent };
	struct lend_containment containment;
	const char *ill;
	bool in_use;
	int ret;

	if (lent->state == NTB_LEND_LENT_STATE_QUARANTINED) {
		NL_SET_ERR_MSG_FMT(extack, "quarantined: %s", lent->message);
		return -EIO;
	}
	if (lent->state != NTB_LEND_LENT_STATE_BOUND) {
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

	lent->limits = 0;
	ill = lend_lent_reset(lent);
	if (ill) {
		lend_lent_set_state(lent, NTB_LEND_LENT_STATE_QUARANTINED, ill);
		NL_SET_ERR_MSG_FMT(extack, "quarantined: %s", ill);
		return -EIO;
	}
	lend_lent_build_filter(lent);
	lend_filter_set_pin(lent->filter, lend_lent_intx_pin(lent));

	mutex_lock(&link->lease_lock);
	/* Leases of this link only come and go under its lock. */
	in_use = lend_lent_for_each(0, lend_lent_uses_bar_window, &others);
	lend_contain_probe(lent, link, &containment);
	mutex_lock(&lent->lock);
	if (!lend_link_is_ready(link)) {
		NL_SET_ERR_MSG(extack, "the link is not ready");
		ret = -ENOTCONN;
	} else {
		ret = lend_lent_place(lent, link, in_use, &containment, extack);
	}
	if (!ret) {
		kref_get(&link->ref);
		/* Neither we nor the bridge's driver may go under a lease. */
		__module_get(THIS_MODULE);
		__module_get(link->bridge);
		lent->link = link;
		lent->epoch = epoch;
		lent->last_epoch = epoch;
		lent->ended = false;
		atomic64_set(&lent->config_reads, 0);
		lent->config_writes = 0;
		lent->config_denied = 0;
		lend_lent_irq_begin(lent);
		lent->state = NTB_LEND_LENT_STATE_LENT;
	}
	mutex_unlock(&lent->lock);
	mutex_unlock(&link->lease_lock);
	return ret;
}

static void lend_lent_log_limits(struct lend_lent *lent)
{
	enum lend_limit limit;

	for (limit = 0; limit < LEND_LIMITS; limit++)
		if (test_bit(limit, &lent->limits))
			pci_info(lent->pdev, "%s\n", lend_lent_limit(limit));
}

/**
 * lend_lent_lend() - lease a function to the peer of a link
 * @lent: the function
 * @link: the borrower's link
 * @epoch: of the lease
 * @extack: says what is wrong
 *
 * Context: process; takes the device, lease and lent locks, may take seconds.
 * Return: 0 or a negative errno; see the netlink spec.
 */
int lend_lent_lend(struct lend_lent *lent, struct lend_link *link, u64 epoch,
		   struct netlink_ext_ack *extack)
{
	int ret = -ENODEV;

	device_lock(&lent->pdev->dev);
	if (!lent->gone)
		ret = lend_lent_lend_locked(lent, link, epoch, extack);
	device_unlock(&lent->pdev->dev);
	trace_lend_lease(pci_name(lent->pdev), link->id, epoch, "lend", ret);
	if (!ret) {
		lend_lent_log_limits(lent);
		pci_info(lent->pdev, "lent over link %u, epoch %llu\n", link->id, epoch);
		lend_netlink_lent_event(lent);
	}
	return ret;
}

/* Process context, device lock held. */
static void lend_lent_revoke(struct lend_lent *lent)
{
	struct lend_call call = {
		.op = LEND_OP_REVOKE, .handle = lent->id, .epoch = lent->epoch,
	};

	/* A peer that does not hear it loses the device all the same. */
	if (lent->link)
		lend_channel_call(lent->link, &call);
}

/* Process context, device lock held. */
static void lend_lent_end_lease(struct lend_lent *lent)
{
	struct lend_link *link = lent->link;

	if (!link)
		return;
	mutex_lock(&link->lease_lock);
	mutex_lock(&lent->lock);
	lend_lent_cut_off(lent);
	lend_lent_unplace(lent, link);
	lent->link = NULL;
	lent->epoch = 0;
	mutex_unlock(&lent->lock);
	mutex_unlock(&link->lease_lock);
	module_put(link->bridge);
	module_put(THIS_MODULE);
	lend_link_put(link);
}

/* Process context, device lock held. */
static int lend_lent_unlend_locked(struct lend_lent *lent, bool force,
				   struct netlink_ext_ack *extack)
{
	const char *ill;
	bool attached;

	mutex_lock(&lent->lock);
	if (lent->state == NTB_LEND_LENT_STATE_BOUND ||
	    (lent->state == NTB_LEND_LENT_STATE_QUARANTINED && !force)) {
		mutex_unlock(&lent->lock);
		return 0;
	}
	if (lent->state == NTB_LEND_LENT_STATE_ATTACHED && !lent->ended && !force) {
		mutex_unlock(&lent->lock);
		NL_SET_ERR_MSG(extack, "attached at the borrower; detach it there, or use force");
		return -EBUSY;
	}
	/* From here on the peer's requests are refused. */
	attached = lent->state == NTB_LEND_LENT_STATE_ATTACHED;
	lend_lent_close(lent);
	lent->ended = true;
	lent->state = NTB_LEND_LENT_STATE_RETURNING;
	mutex_unlock(&lent->lock);
	lend_netlink_lent_event(lent);

	if (attached)
		lend_lent_revoke(lent);
	lend_lent_end_lease(lent);
	ill = lend_lent_reset(lent);
	lend_lent_set_state(lent, ill ? NTB_LEND_LENT_STATE_QUARANTINED :
					NTB_LEND_LENT_STATE_BOUND, ill);
	if (ill)
		pci_err(lent->pdev, "quarantined: %s\n", ill);
	return 0;
}

/**
 * lend_lent_unlend() - end the lease of a function
 * @lent: the function
 * @force: also while it is attached at the borrower
 * @extack: says what is wrong
 *
 * Context: process; takes the device, lease and lent locks, may take seconds.
 * Return: 0, also when quarantined; -EBUSY attached; -ENODEV unbound.
 */
int lend_lent_unlend(struct lend_lent *lent, bool force, struct netlink_ext_ack *extack)
{
	u64 epoch = lent->epoch;
	int ret = -ENODEV;

	device_lock(&lent->pdev->dev);
	if (!lent->gone)
		ret = lend_lent_unlend_locked(lent, force, extack);
	device_unlock(&lent->pdev->dev);
	trace_lend_lease(pci_name(lent->pdev), 0, epoch, "unlend", ret);
	return ret;
}

static int lend_lent_session_over(struct lend_lent *lent, void *arg)
{
	bool event = false;

	mutex_lock(&lent->lock);
	if (lent->link == arg && !lent->ended) {
		lend_lent_close(lent);
		lend_lent_cut_off(lent);
		lent->ended = true;
		lent->message = "the borrower is lost";
		lent->state = NTB_LEND_LENT_STATE_LENT;
		event = true;
	}
	mutex_unlock(&lent->lock);
	if (event)
		lend_netlink_lent_event(lent);
	return 0;
}

/**
 * lend_lent_link_lost() - the peer of a link is lost: its leases are over
 * @link: the link
 *
 * The devices stay cut off until user space takes them back.
 *
 * Context: process; caller holds @link->lease_lock.
 */
void lend_lent_link_lost(struct lend_link *link)
{
	lend_lent_for_each(0, lend_lent_session_over, link);
}

static const char *lend_lent_unfit(struct pci_dev *pdev)
{
	if (pdev->hdr_type != PCI_HEADER_TYPE_NORMAL)
		return "bridges cannot be lent";
	if (lend_is_borrowed(pdev))
		return "a borrowed device cannot be lent on";
	if (pci_num_vf(pdev))
		return "its reset would take its virtual functions away; set sriov_numvfs to 0";
	if (pci_select_bars(pdev, IORESOURCE_MEM))
		return NULL;
	return pci_select_bars(pdev, IORESOURCE_IO) ?
	       "I/O port BARs only, and windows carry memory only" : "no memory BAR";
}

static int lend_lent_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	const char *unfit = lend_lent_unfit(pdev);
	struct lend_lent *lent;
	int ret;

	if (unfit) {
		pci_err(pdev, "cannot be lent: %s\n", unfit);
		return -EOPNOTSUPP;
	}
	lent = kzalloc(sizeof(*lent), GFP_KERNEL);
	if (!lent)
		return -ENOMEM;
	lent->filter = kvzalloc(sizeof(*lent->filter), GFP_KERNEL);
	if (!lent->filter) {
		ret = -ENOMEM;
		goto free;
	}
	ret = pci_enable_device_mem(pdev);
	if (ret)
		goto free;
	/* Nobody needs the I/O ports, which may not even have an address. */
	ret = pci_request_selected_regions(pdev, pci_select_bars(pdev, IORESOURCE_MEM), "ntb_lend");
	if (ret)
		goto disable;
	pci_save_state(pdev);
	lent->saved = pci_store_saved_state(pdev);
	if (!lent->saved) {
		ret = -ENOMEM;
		goto release;
	}
	ret = ida_alloc(&lend_lent_ids, GFP_KERNEL);
	if (ret < 0)
		goto release;
	lent->id = ret;
	kref_init(&lent->ref);
	mutex_init(&lent->lock);
	INIT_LIST_HEAD(&lent->open);
	lent->pdev = pci_dev_get(pdev);
	lend_lent_irq_init(lent);
	pci_set_drvdata(pdev, lent);
	mutex_lock(&lend_lents_lock);
	list_add_tail(&lent->node, &lend_lents);
	mutex_unlock(&lend_lents_lock);
	lend_netlink_lent_event(lent);
	return 0;

release:
	pci_release_selected_regions(pdev, pci_select_bars(pdev, IORESOURCE_MEM));
disable:
	pci_disable_device(pdev);
free:
	kfree(lent->saved);
	kvfree(lent->filter);
	kfree(lent);
	return ret;
}

/* Device lock held. A lease that is still alive ends here. */
static void lend_lent_remove(struct pci_dev *pdev)
{
	struct lend_lent *lent = pci_get_drvdata(pdev);
	const char *ill;
	bool there;

	mutex_lock(&lend_lents_lock);
	list_del(&lent->node);
	mutex_unlock(&lend_lents_lock);
	mutex_lock(&lent->lock);
	lend_lent_close(lent);
	lent->gone = true;
	mutex_unlock(&lent->lock);
	if (lent->link) {
		there = lend_lent_answers(lent);
		pci_warn(pdev, "%s under a lease: the borrower loses it\n",
			 there ? "unbound" : "removed");
		lend_lent_revoke(lent);
		lend_lent_end_lease(lent);
		ill = there ? lend_lent_reset(lent) : NULL;
		if (ill)
			pci_err(pdev, "not healthy: %s\n", ill);
	}
	pci_release_selected_regions(pdev, pci_select_bars(pdev, IORESOURCE_MEM));
	pci_disable_device(pdev);
	lend_lent_put(lent);
}

/* Bound by driver_override only: no table of IDs. */
static struct pci_driver lend_lent_driver = {
	.name = "ntb_lend",
	.probe = lend_lent_probe,
	.remove = lend_lent_remove,
};

/**
 * lend_lent_register() - offer the driver for functions to lend
 *
 * Context: process.
 * Return: 0 or a negative errno.
 */
int lend_lent_register(void)
{
	return pci_register_driver(&lend_lent_driver);
}

/**
 * lend_lent_unregister() - unbind all functions
 *
 * Context: process; no function is leased.
 */
void lend_lent_unregister(void)
{
	pci_unregister_driver(&lend_lent_driver);
}
