// SPDX-License-Identifier: GPL-2.0-only
/*
 * Borrower side: a borrowed device is a virtual function on a root bus of its
 * own PCI domain, with its BARs inside the window, so that its driver's
 * register accesses go straight to the device.
 */

#include <linux/idr.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/netlink.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>

#include "borrowed.h"
#include "channel.h"
#include "compat.h"
#include "link.h"
#include "netlink.h"
#include "trace.h"

/*
 * IOMMU drivers cut the domain to 16 bits, so that 0x10000 would be taken for
 * segment 0. No segment of a real machine is 0xff00 or above.
 */
#define LEND_DOMAIN_BASE	0x1ff00
#define LEND_DOMAINS		0x100

static LIST_HEAD(lend_borroweds);
static DEFINE_MUTEX(lend_borroweds_lock);
static DEFINE_IDA(lend_borrowed_ids);
/* Objects that are not freed yet, whoever holds them. */
static atomic_t lend_borrowed_alive = ATOMIC_INIT(0);

static void lend_borrowed_free(struct kref *ref)
{
	struct lend_borrowed *b = container_of(ref, struct lend_borrowed, ref);

	lend_intx_exit(b);
	lend_msi_exit(b);
	lend_dma_exit(b);
	ida_free(&lend_borrowed_ids, b->id);
	lend_link_put(b->link);
	kfree(b);
	if (atomic_dec_and_test(&lend_borrowed_alive))
		wake_up_var(&lend_borrowed_alive);
}

/**
 * lend_borrowed_put() - drop a reference
 * @b: the borrowed device
 *
 * Context: process.
 */
void lend_borrowed_put(struct lend_borrowed *b)
{
	kref_put(&b->ref, lend_borrowed_free);
}

/**
 * lend_borrowed_get() - find a borrowed device
 * @id: its number
 *
 * Context: process; takes the list's lock.
 * Return: it with a reference, or NULL.
 */
struct lend_borrowed *lend_borrowed_get(u32 id)
{
	struct lend_borrowed *b, *found = NULL;

	mutex_lock(&lend_borroweds_lock);
	list_for_each_entry(b, &lend_borroweds, node) {
		if (b->id == id) {
			kref_get(&b->ref);
			found = b;
			break;
		}
	}
	mutex_unlock(&lend_borroweds_lock);
	return found;
}

/**
 * lend_borrowed_for_each() - look at the borrowed devices
 * @start: first number
 * @fn: called for each with @arg, until it returns non-zero
 * @arg: for @fn
 *
 * Context: process; @fn runs under the list's lock.
 * Return: what the last @fn returned.
 */
int lend_borrowed_for_each(u32 start, int (*fn)(struct lend_borrowed *b, void *arg), void *arg)
{
	struct lend_borrowed *b;
	int ret = 0;

	mutex_lock(&lend_borroweds_lock);
	list_for_each_entry(b, &lend_borroweds, node) {
		if (b->id < start)
			continue;
		ret = fn(b, arg);
		if (ret)
			break;
	}
	mutex_unlock(&lend_borroweds_lock);
	return ret;
}

/**
 * lend_borrowed_mapped() - how much is mapped for the borrowed devices of a link
 * @link: the link
 *
 * Context: process; takes the list's lock.
 * Return: octets.
 */
u64 lend_borrowed_mapped(const struct lend_link *link)
{
	struct lend_dma_stats s;
	struct lend_borrowed *b;
	u64 mapped = 0;

	mutex_lock(&lend_borroweds_lock);
	list_for_each_entry(b, &lend_borroweds, node) {
		if (b->link != link)
			continue;
		lend_dma_stats_sum(b, &s);
		mapped += s.mapped - s.unmapped;
	}
	mutex_unlock(&lend_borroweds_lock);
	return mapped;
}

/**
 * lend_is_borrowed() - is this function one of ours
 * @pdev: any function
 *
 * Context: any.
 */
bool lend_is_borrowed(const struct pci_dev *pdev)
{
	return pdev->bus->ops == &lend_config_ops;
}

static void lend_borrowed_set_state(struct lend_borrowed *b, enum ntb_lend_borrowed_state state)
{
	WRITE_ONCE(b->state, state);
	lend_netlink_borrowed_event(b);
}

/* Process context, link lock held. */
static int lend_borrowed_open(struct lend_borrowed *b, struct netlink_ext_ack *extack)
{
	struct lend_call call = {
		.op = LEND_OP_OPEN, .handle = b->remote_id, .epoch = b->epoch,
	};
	int ret;

	ret = lend_channel_call(b->link, &call);
	if (ret) {
		NL_SET_ERR_MSG_FMT(extack, "the owner refuses device %u, epoch %llu",
				   b->remote_id, b->epoch);
		return ret;
	}
	b->opened = true;
	b->remote_address = call.val[LEND_OPEN_ADDRESS];
	b->cfg_size = call.val[LEND_OPEN_CFG_SIZE];
	if (b->cfg_size != PCI_CFG_SPACE_SIZE && b->cfg_size != PCI_CFG_SPACE_EXP_SIZE)
		return -EPROTO;
	ret = lend_borrowed_ask_views(b, call.val[LEND_OPEN_DMA_WINDOW],
				      call.val[LEND_OPEN_DMA_BASE], call.val[LEND_OPEN_DMA_SIZE],
				      extack);
	if (ret)
		return ret;
	return lend_borrowed_ask_bars(b, extack);
}

/* Process context, link lock held. The owner stops the device's DMA. */
static void lend_borrowed_close(struct lend_borrowed *b)
{
	struct lend_call call = {
		.op = LEND_OP_CLOSE, .handle = b->remote_id, .epoch = b->epoch,
	};

	/* What another attachment has opened is not ours to close. */
	if (!b->opened || lend_channel_call(b->link, &call) || !lend_link_enter(b->link))
		return;
	/* The completion of a read pushes the device's last writes ahead of it. */
	readl(&b->link->peer_chan->mbox_ack_seq);
	lend_link_leave(b->link);
}

static void lend_borrowed_bridge_release(struct pci_host_bridge *bridge)
{
	lend_borrowed_put(bridge->release_data);
}

static bool lend_domain_is_free(int domain)
{
	return !pci_find_bus(domain, 0);
}

/* Process context, rescan lock held. */
static struct pci_bus *lend_borrowed_create_bus(struct lend_borrowed *b)
{
	struct lend_link *link = b->link;
	LIST_HEAD(resources);
	struct pci_bus *bus;
	int i;

	for (i = 0; i < link->nwin; i++)
		if (link->win[i].claimed)
			pci_add_resource(&resources, &link->win[i].res);
	bus = pci_create_root_bus(&link->pdev->dev, 0, &lend_config_ops, &b->sysdata,
				  &resources);
	if (!bus) {
		pci_free_resource_list(&resources);
		return NULL;
	}
	kref_get(&b->ref);
	pci_set_host_bridge_release(to_pci_host_bridge(bus->bridge),
				    lend_borrowed_bridge_release, b);
	dev_set_msi_domain(&bus->dev, b->msi_domain);
	return bus;
}

static void lend_borrowed_set_bus(struct lend_borrowed *b, struct pci_bus *bus)
{
	/* lend_borrowed_link_dead() looks at it under this lock. */
	mutex_lock(&lend_borroweds_lock);
	b->bus = bus;
	mutex_unlock(&lend_borroweds_lock);
}

/* Process context, link lock held. */
static void lend_borrowed_remove_bus(struct lend_borrowed *b)
{
	struct pci_bus *bus = b->bus;
	struct device *bridge;

	if (!bus)
		return;
	lend_borrowed_set_bus(b, NULL);
	bridge = bus->bridge;
	pci_lock_rescan_remove();
	pci_stop_root_bus(bus);
	pci_remove_root_bus(bus);
	pci_unlock_rescan_remove();
	/* The reference of pci_create_root_bus(), which nobody else drops. */
	put_device(bridge);
}

/* Process context, link lock held. */
static int lend_borrowed_add_bus(struct lend_borrowed *b, struct netlink_ext_ack *extack)
{
	struct pci_bus *bus;
	struct pci_dev *pdev;
	int ret = 0;

	pci_lock_rescan_remove();
	bus = lend_borrowed_create_bus(b);
	if (!bus) {
		pci_unlock_rescan_remove();
		return -ENOMEM;
	}
	lend_borrowed_set_bus(b, bus);
	pci_scan_child_bus(bus);
	pdev = pci_get_slot(bus, 0);
	if (pdev)
		lend_borrowed_place(b, pdev);
	pci_bus_claim_resources(bus);
	if (!pdev) {
		NL_SET_ERR_MSG(extack, "the device does not answer");
		ret = -ENODEV;
	} else if (!lend_borrowed_bars_claimed(b, pdev)) {
		NL_SET_ERR_MSG(extack, "no place for the BARs in the window");
		ret = -ENOSPC;
	} else {
		pci_bus_add_devices(bus);
	}
	pci_dev_put(pdev);
	pci_unlock_rescan_remove();
	return ret;
}

/* Process context, link lock held: no DMA, no driver, no mapping is left. */
static void lend_borrowed_quiesce(struct lend_borrowed *b)
{
	struct lend_dma_stats s;

	lend_borrowed_remove_bus(b);
	if (!lend_dma_drain(b)) {
		lend_dma_stats_sum(b, &s);
		dev_err(&b->link->ntb->dev,
			"borrowed device %u: its driver left %llu DMA mappings behind\n",
			b->id, s.maps - s.unmaps);
		/* They may still be unmapped: never free what they need. */
		kref_get(&b->ref);
	}
	lend_borrowed_close(b);
	WRITE_ONCE(b->gone, true);
}

static int lend_mark_gone(struct pci_dev *pdev, void *arg)
{
	/* What pci_dev_set_disconnected() does, which modules cannot call. */
	xchg(&pdev->error_state, pci_channel_io_perm_failure);
	return 0;
}

/* Process context, list lock held. */
static void lend_borrowed_mark_gone(struct lend_borrowed *b)
{
	WRITE_ONCE(b->gone, true);
	if (b->bus)
		pci_walk_bus(b->bus, lend_mark_gone, NULL);
}

/* Work item, with a reference; takes the link's lock. */
static void lend_borrowed_gone_work(struct work_struct *work)
{
	struct lend_borrowed *b = container_of(work, struct lend_borrowed, gone_work);
	struct lend_link *link = b->link;

	mutex_lock(&lend_borroweds_lock);
	lend_borrowed_mark_gone(b);
	mutex_unlock(&lend_borroweds_lock);

	mutex_lock(&link->lock);
	if (b->bus) {
		dev_warn(&link->ntb->dev, "borrowed device %u: the owner has taken it back\n",
			 b->id);
		lend_borrowed_quiesce(b);
		lend_borrowed_set_state(b, NTB_LEND_BORROWED_STATE_GONE);
	}
	mutex_unlock(&link->lock);
	lend_borrowed_put(b);
}

/**
 * lend_borrowed_lease_over() - the owner has ended the lease
 * @b: the borrowed device; a reference or its bus is held
 *
 * Accesses return all-ones at once; the driver is removed soon.
 *
 * Context: any.
 */
void lend_borrowed_lease_over(struct lend_borrowed *b)
{
	WRITE_ONCE(b->gone, true);
	kref_get(&b->ref);
	if (!queue_work(system_unbound_wq, &b->gone_work))
		/* The work holds a reference already, so this is not the last. */
		kref_put(&b->ref, lend_borrowed_free);
}

/* Process context. */
static struct lend_borrowed *lend_borrowed_alloc(struct lend_link *link, u32 remote_id, u64 epoch)
{
	struct lend_borrowed *b;
	int id;

	b = kzalloc(sizeof(*b), GFP_KERNEL);
	if (!b)
		return ERR_PTR(-ENOMEM);
	id = ida_alloc_max(&lend_borrowed_ids, LEND_DOMAINS - 1, GFP_KERNEL);
	if (id < 0) {
		kfree(b);
		return ERR_PTR(id);
	}
	kref_init(&b->ref);
	xa_init(&b->msi_sinks);
	INIT_WORK(&b->gone_work, lend_borrowed_gone_work);
	atomic_inc(&lend_borrowed_alive);
	kref_get(&link->ref);
	b->id = id;
	b->link = link;
	b->remote_id = remote_id;
	b->epoch = epoch;
	b->state = NTB_LEND_BORROWED_STATE_ATTACHING;
	b->sysdata.domain = LEND_DOMAIN_BASE + id;
	b->sysdata.node = dev_to_node(&link->pdev->dev);
	return b;
}

static void lend_borrowed_list(struct lend_borrowed *b)
{
	__module_get(THIS_MODULE);
	__module_get(b->link->bridge);
	mutex_lock(&lend_borroweds_lock);
	list_add_tail(&b->node, &lend_borroweds);
	mutex_unlock(&lend_borroweds_lock);
}

/* Process context. Drops the list's reference. */
static void lend_borrowed_unlist(struct lend_borrowed *b)
{
	mutex_lock(&lend_borroweds_lock);
	list_del(&b->node);
	mutex_unlock(&lend_borroweds_lock);
	module_put(b->link->bridge);
	module_put(THIS_MODULE);
	lend_borrowed_put(b);
}

/* Process context, link lock held. */
static int lend_borrowed_attach_locked(struct lend_borrowed *b, struct netlink_ext_ack *extack)
{
	int ret;

	if (!lend_link_is_ready(b->link)) {
		NL_SET_ERR_MSG(extack, "the link is not ready");
		return -ENOTCONN;
	}
	if (!lend_domain_is_free(b->sysdata.domain)) {
		NL_SET_ERR_MSG_FMT(extack, "PCI domain %x is in use", b->sysdata.domain);
		return -EBUSY;
	}
	ret = lend_dma_init(b);
	if (ret)
		return ret;
	ret = lend_borrowed_open(b, extack);
	if (!ret)
		ret = lend_dma_reserve(b);
	if (!ret)
		ret = lend_msi_init(b);
	if (!ret)
		ret = lend_config_init(b);
	if (!ret)
		ret = lend_borrowed_add_bus(b, extack);
	if (ret)
		lend_borrowed_quiesce(b);
	return ret;
}

/**
 * lend_borrowed_attach() - make a lent device of the peer appear here
 * @link: the owner's link
 * @remote_id: its handle on the owner
 * @epoch: of the lease
 * @out: the borrowed device, with a reference
 * @extack: says what is wrong
 *
 * Context: process; takes @link->lock, may take as long as a driver's probe.
 * Return: 0 or a negative errno, then nothing is left behind.
 */
int lend_borrowed_attach(struct lend_link *link, u32 remote_id, u64 epoch,
			 struct lend_borrowed **out, struct netlink_ext_ack *extack)
{
	struct lend_borrowed *b;
	int ret;

	b = lend_borrowed_alloc(link, remote_id, epoch);
	if (IS_ERR(b))
		return PTR_ERR(b);
	kref_get(&b->ref);
	lend_borrowed_list(b);

	mutex_lock(&link->lock);
	ret = lend_borrowed_attach_locked(b, extack);
	/* Nobody else may detach what has failed; it may be gone as soon as the lock is. */
	if (ret)
		b->state = NTB_LEND_BORROWED_STATE_DETACHING;
	else
		lend_borrowed_set_state(b, NTB_LEND_BORROWED_STATE_ATTACHED);
	mutex_unlock(&link->lock);
	trace_lend_lease(dev_name(&link->ntb->dev), link->id, epoch, "attach", ret);
	if (ret) {
		lend_borrowed_unlist(b);
		lend_borrowed_put(b);
		return ret;
	}
	dev_info(&link->ntb->dev, "borrowed device %u attached as %05x:00:00.0\n", b->id,
		 b->sysdata.domain);
	*out = b;
	return 0;
}

/**
 * lend_borrowed_detach() - remove a borrowed device
 * @b: the borrowed device
 * @extack: says what is wrong
 *
 * Context: process; takes the link's lock, may take as long as a driver's
 * remove.
 * Return: 0; -EBUSY it is being detached already.
 */
int lend_borrowed_detach(struct lend_borrowed *b, struct netlink_ext_ack *extack)
{
	struct lend_link *link = b->link;

	mutex_lock(&link->lock);
	if (b->state == NTB_LEND_BORROWED_STATE_DETACHING) {
		mutex_unlock(&link->lock);
		NL_SET_ERR_MSG(extack, "being detached already");
		return -EBUSY;
	}
	lend_borrowed_set_state(b, NTB_LEND_BORROWED_STATE_DETACHING);
	if (!percpu_ref_is_dying(&b->dma_ref))
		lend_borrowed_quiesce(b);
	mutex_unlock(&link->lock);
	trace_lend_lease(dev_name(&link->ntb->dev), link->id, b->epoch, "detach", 0);
	dev_info(&link->ntb->dev, "borrowed device %u detached\n", b->id);
	lend_borrowed_unlist(b);
	return 0;
}

/**
 * lend_borrowed_link_dead() - the peer is lost: accesses return all-ones
 * @link: the link, marked dead
 *
 * Context: process; takes no link's lock, so that a probe under way ends soon.
 */
void lend_borrowed_link_dead(struct lend_link *link)
{
	struct lend_borrowed *b;

	mutex_lock(&lend_borroweds_lock);
	list_for_each_entry(b, &lend_borroweds, node) {
		if (b->link == link)
			lend_borrowed_mark_gone(b);
	}
	mutex_unlock(&lend_borroweds_lock);
}

/**
 * lend_borrowed_revoke() - the owner has ended a lease by force
 * @link: the owner's link
 * @remote_id: handle on the owner
 * @epoch: of the lease
 *
 * Accesses return all-ones at once; the driver is removed soon.
 *
 * Context: process; takes no link's lock.
 */
void lend_borrowed_revoke(struct lend_link *link, u32 remote_id, u64 epoch)
{
	struct lend_borrowed *b;

	mutex_lock(&lend_borroweds_lock);
	list_for_each_entry(b, &lend_borroweds, node)
		if (b->link == link && b->remote_id == remote_id && b->epoch == epoch)
			lend_borrowed_lease_over(b);
	mutex_unlock(&lend_borroweds_lock);
}

/* With a reference, or NULL. */
static struct lend_borrowed *lend_borrowed_next_on(struct lend_link *link)
{
	struct lend_borrowed *b;

	mutex_lock(&lend_borroweds_lock);
	list_for_each_entry(b, &lend_borroweds, node) {
		if (b->link == link && b->bus) {
			kref_get(&b->ref);
			mutex_unlock(&lend_borroweds_lock);
			return b;
		}
	}
	mutex_unlock(&lend_borroweds_lock);
	return NULL;
}

/**
 * lend_borrowed_link_lost() - remove the drivers of all devices of a lost peer
 * @link: the link
 *
 * The devices stay listed as gone until user space detaches them.
 *
 * Context: process; caller holds @link->lock.
 */
void lend_borrowed_link_lost(struct lend_link *link)
{
	struct lend_borrowed *b;

	lend_borrowed_link_dead(link);
	while ((b = lend_borrowed_next_on(link))) {
		lend_borrowed_quiesce(b);
		lend_borrowed_set_state(b, NTB_LEND_BORROWED_STATE_GONE);
		lend_borrowed_put(b);
	}
}

static int lend_borrowed_notify(struct notifier_block *nb, unsigned long action, void *data)
{
	struct pci_dev *pdev = to_pci_dev(data);

	if (action == BUS_NOTIFY_ADD_DEVICE && lend_is_borrowed(pdev)) {
		lend_dma_adopt(pdev);
		lend_intx_adopt(pdev);
	}
	return NOTIFY_OK;
}

/* Runs after the IOMMU's notifier and before any driver is bound. */
static struct notifier_block lend_borrowed_nb = {
	.notifier_call = lend_borrowed_notify,
	.priority = -1,
};

/**
 * lend_borrowed_register() - prepare for borrowed devices
 *
 * Context: process.
 * Return: 0 or a negative errno.
 */
int lend_borrowed_register(void)
{
	return bus_register_notifier(&pci_bus_type, &lend_borrowed_nb);
}

/**
 * lend_borrowed_unregister() - wait until nobody holds a borrowed device
 *
 * Context: process; all are detached.
 */
void lend_borrowed_unregister(void)
{
	bus_unregister_notifier(&pci_bus_type, &lend_borrowed_nb);
	wait_var_event(&lend_borrowed_alive, !atomic_read(&lend_borrowed_alive));
}
