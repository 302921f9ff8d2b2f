// SPDX-License-Identifier: GPL-2.0-only
/*
 * Borrower side: a borrowed device is a virtual function on a root bus of its
 * own PCI domain, with its BARs inside the window, so that its driver's
 * register accesses go straight to the device. From top to bottom:
 *
 *   devices by number
 *   the end: no driver, no DMA, no mapping
 *   attach, detach
 *
 * Called by netlink.c (attach, detach), by main.c for links (loss, revocation),
 * and by the PCI core. Locks: see main.c.
 */

#include <linux/module.h>
#include <linux/netlink.h>
#include <linux/pci.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>

#include "borrowed.h"
#include "borrower.h"
#include "borrower_config.h"
#include "borrower_place.h"
#include "channel.h"
#include "compat.h"
#include "dma.h"
#include "dma_count.h"
#include "irq.h"
#include "link.h"
#include "trace.h"
#include "window.h"

/*
 * IOMMU drivers cut the domain to 16 bits, so that 0x10000 would be taken for
 * segment 0. No segment of a real machine is 0xff00 or above.
 */
#define LEND_DOMAIN_BASE	0x1ff00
#define LEND_DOMAINS		0x100

/* Objects that are not freed yet, whoever holds them. */
static atomic_t borrower_alive = ATOMIC_INIT(0);
/* borrowed_device.bus comes and goes under it. */
static DEFINE_MUTEX(borrower_bus_lock);

static void borrower_release(struct lend_object *object)
{
	struct borrowed_device *b = container_of(object, struct borrowed_device, object);

	lend_irq_exit(b);
	lend_dma_exit(b);
	lend_registry_free(&borrower_borrowed, object);
	lend_link_put(b->link);
	kfree(b);
	if (atomic_dec_and_test(&borrower_alive))
		wake_up_var(&borrower_alive);
}

struct lend_registry borrower_borrowed = LEND_REGISTRY(borrower_borrowed, borrower_release);

/**
 * borrower_put() - drop a reference
 * @b: the borrowed device
 *
 * Context: process.
 */
void borrower_put(struct borrowed_device *b)
{
	lend_registry_put(&borrower_borrowed, &b->object);
}

/**
 * borrower_get() - find a borrowed device
 * @id: its number
 *
 * Context: process.
 * Return: it with a reference, or NULL.
 */
struct borrowed_device *borrower_get(u32 id)
{
	struct lend_object *object = lend_registry_get(&borrower_borrowed, id);

	return object ? container_of(object, struct borrowed_device, object) : NULL;
}

/**
 * struct borrower_mapped - for borrower_add_mapped()
 * @link: the link
 * @mapped: octets
 */
struct borrower_mapped {
	const struct lend_link *link;
	u64 mapped;
};

static int borrower_add_mapped(struct lend_object *object, void *arg)
{
	struct borrowed_device *b = container_of(object, struct borrowed_device, object);
	struct borrower_mapped *sum = arg;
	struct lend_dma_stats s;

	if (b->link != sum->link)
		return 0;
	lend_dma_stats_sum(b, &s);
	sum->mapped += s.mapped - s.unmapped;
	return 0;
}

/**
 * borrower_mapped() - how much is mapped for the borrowed devices of a link
 * @link: the link
 *
 * Context: process.
 * Return: octets.
 */
u64 borrower_mapped(const struct lend_link *link)
{
	struct borrower_mapped sum = { .link = link };

	lend_registry_for_each(&borrower_borrowed, 0, borrower_add_mapped, &sum);
	return sum.mapped;
}

static void borrower_set_state(struct borrowed_device *b, enum ntb_lend_borrowed_state state)
{
	WRITE_ONCE(b->state, state);
	lend_registry_changed(&borrower_borrowed, &b->object);
}

/*
 * Process context. The owner stops the device's DMA, which it may have done before.
 * Returns 0, or what lend_channel_call() says: then the device may still run.
 */
static int borrower_close(struct borrowed_device *b)
{
	struct lend_channel *channel = &b->link->channel;
	struct lend_call call = {
		.op = LEND_OP_CLOSE, .handle = b->remote_id, .epoch = b->epoch,
	};
	int ret;

	/* What another attachment has opened is not ours to close. */
	if (!READ_ONCE(b->opened))
		return 0;
	ret = lend_channel_call(channel, &call);
	if (ret && ret != -ESTALE)
		return ret;
	lend_channel_flush(channel);
	WRITE_ONCE(b->opened, false);
	return 0;
}

/*
 * Process context. Before its driver is told that the device is gone: it leaves it
 * running then, and gives back memory to which it writes. Returns 0; else the peer is
 * given up, which closes the way, and ends the attachment.
 */
static int borrower_stop(struct borrowed_device *b)
{
	int ret;

	/* Its owner, or the session's end, has closed the way: the next session is not given up. */
	if (READ_ONCE(b->gone))
		return 0;
	ret = borrower_close(b);
	if (ret)
		lend_link_lose(b->link, "the peer's kernel does not stop a device");
	return ret;
}

static void borrower_set_bus(struct borrowed_device *b, struct pci_bus *bus)
{
	/* borrower_link_dead() looks at it under this lock. */
	mutex_lock(&borrower_bus_lock);
	b->bus = bus;
	mutex_unlock(&borrower_bus_lock);
}

/* Process context, link lock held. */
static void borrower_remove_bus(struct borrowed_device *b)
{
	struct pci_bus *bus = b->bus;
	struct device *bridge;

	if (!bus)
		return;
	borrower_set_bus(b, NULL);
	bridge = bus->bridge;
	pci_lock_rescan_remove();
	pci_stop_root_bus(bus);
	pci_remove_root_bus(bus);
	pci_unlock_rescan_remove();
	/* The reference of pci_create_root_bus(), which nobody else drops. */
	put_device(bridge);
}

/* Process context, link lock held: no DMA, no driver, no mapping is left. */
static void borrower_quiesce(struct borrowed_device *b)
{
	struct lend_dma_stats s;

	borrower_remove_bus(b);
	if (!lend_dma_drain(b)) {
		lend_dma_stats_sum(b, &s);
		dev_err(&b->link->ntb->dev,
			"borrowed device %u: its driver left %llu DMA mappings behind\n",
			b->object.id, s.maps - s.unmaps);
		/* They may still be unmapped: never free what they need. */
		kref_get(&b->object.ref);
	}
	borrower_close(b);
	WRITE_ONCE(b->gone, true);
	if (b->windows_used)
		lend_link_unuse_windows(b->link);
	b->windows_used = false;
}

/* What comes is all-ones, or may be soon: nothing that its driver does counts. Any context. */
static bool borrower_is_lost(const struct borrowed_device *b)
{
	return READ_ONCE(b->gone) || READ_ONCE(b->mute);
}

static int borrower_mark_pdev_gone(struct pci_dev *pdev, void *arg)
{
	/* What pci_dev_set_disconnected() does, which modules cannot call. */
	xchg(&pdev->error_state, pci_channel_io_perm_failure);
	return 0;
}

/* Process context. */
static void borrower_mark_gone(struct borrowed_device *b)
{
	WRITE_ONCE(b->gone, true);
	mutex_lock(&borrower_bus_lock);
	if (b->bus)
		pci_walk_bus(b->bus, borrower_mark_pdev_gone, NULL);
	mutex_unlock(&borrower_bus_lock);
}

/* Work item, with a reference; takes the link's lock. */
static void borrower_gone_work(struct work_struct *work)
{
	struct borrowed_device *b = container_of(work, struct borrowed_device, gone_work);
	struct lend_link *link = b->link;

	if (borrower_stop(b))
		goto put;
	borrower_mark_gone(b);
	mutex_lock(&link->lock);
	if (b->bus) {
		dev_warn(&link->ntb->dev, "borrowed device %u: %s\n", b->object.id,
			 READ_ONCE(b->gone_because));
		borrower_quiesce(b);
		borrower_set_state(b, NTB_LEND_BORROWED_STATE_GONE);
	}
	mutex_unlock(&link->lock);
put:
	borrower_put(b);
}

/*
 * Any context; a reference or its bus is held. From now on no access waits; the driver
 * is told, and removed soon. @fenced: the owner has ended the lease, else it does not
 * answer.
 */
static void borrower_lease_over(struct borrowed_device *b, bool fenced)
{
	if (!READ_ONCE(b->gone_because))
		WRITE_ONCE(b->gone_because, fenced ? "the owner has taken it back" :
			   "the owner does not answer for it");
	if (fenced)
		WRITE_ONCE(b->gone, true);
	else
		WRITE_ONCE(b->mute, true);
	kref_get(&b->object.ref);
	if (!queue_work(system_unbound_wq, &b->gone_work))
		/* The work holds a reference already, so this is not the last. */
		lend_registry_put(&borrower_borrowed, &b->object);
}

/* Process context, link lock held. */
static int borrower_use_windows(struct borrowed_device *b, struct netlink_ext_ack *extack)
{
	int ret = lend_link_use_windows(b->link);

	if (ret)
		NL_SET_ERR_MSG(extack, "the bridge refuses to show the device this host's memory");
	b->windows_used = !ret;
	return ret;
}

/* Process context, link lock held. */
static int borrower_open(struct borrowed_device *b, struct netlink_ext_ack *extack)
{
	struct lend_call call = {
		.op = LEND_OP_OPEN, .handle = b->remote_id, .epoch = b->epoch,
	};
	int ret;

	ret = lend_channel_call(&b->link->channel, &call);
	/* Without an answer it may have opened it all the same. */
	WRITE_ONCE(b->opened, !ret || ret == -ETIMEDOUT);
	if (ret) {
		NL_SET_ERR_MSG_FMT(extack, "the owner refuses device %u, epoch %llu",
				   b->remote_id, b->epoch);
		return ret;
	}
	b->remote_address = call.val[LEND_OPEN_ADDRESS];
	b->cfg_size = call.val[LEND_OPEN_CFG_SIZE];
	if (b->cfg_size != PCI_CFG_SPACE_SIZE && b->cfg_size != PCI_CFG_SPACE_EXP_SIZE)
		return -EPROTO;
	b->narrows = call.val[LEND_OPEN_FLAGS] & LEND_OPEN_NARROWS;
	ret = borrower_ask_views(b, call.val[LEND_OPEN_DMA_WINDOW],
				 call.val[LEND_OPEN_DMA_BASE], call.val[LEND_OPEN_DMA_SIZE],
				      extack);
	if (ret)
		return ret;
	return borrower_ask_bars(b, extack);
}

static void borrower_bridge_release(struct pci_host_bridge *bridge)
{
	borrower_put(bridge->release_data);
}

static bool borrower_domain_is_free(int domain)
{
	return !pci_find_bus(domain, 0);
}

/* Process context, rescan lock held. */
static struct pci_bus *borrower_create_bus(struct borrowed_device *b)
{
	struct lend_link *link = b->link;
	LIST_HEAD(resources);
	struct pci_bus *bus;
	int i;

	for (i = 0; i < link->windows.count; i++)
		if (link->windows.win[i].claimed)
			pci_add_resource(&resources, &link->windows.win[i].res);
	bus = pci_create_root_bus(&link->pdev->dev, 0, &borrower_config_ops, &b->sysdata,
				  &resources);
	if (!bus) {
		pci_free_resource_list(&resources);
		return NULL;
	}
	kref_get(&b->object.ref);
	pci_set_host_bridge_release(to_pci_host_bridge(bus->bridge),
				    borrower_bridge_release, b);
	dev_set_msi_domain(&bus->dev, b->msi_domain);
	return bus;
}

/* Process context, link lock held. */
static int borrower_add_bus(struct borrowed_device *b, const char *driver,
			    struct netlink_ext_ack *extack)
{
	struct pci_bus *bus;
	struct pci_dev *pdev;
	int ret = 0;

	pci_lock_rescan_remove();
	bus = borrower_create_bus(b);
	if (!bus) {
		pci_unlock_rescan_remove();
		return -ENOMEM;
	}
	borrower_set_bus(b, bus);
	pci_scan_child_bus(bus);
	pdev = pci_get_slot(bus, 0);
	if (pdev)
		borrower_place(b, pdev);
	pci_bus_claim_resources(bus);
	if (borrower_is_lost(b)) {
		/* What was read since then is all-ones: it says nothing about the device. */
		NL_SET_ERR_MSG(extack, "the owner has not answered in time, or has taken it back");
		ret = -ETIMEDOUT;
	} else if (!pdev) {
		NL_SET_ERR_MSG(extack, "the device does not answer");
		ret = -ENODEV;
	} else if (!borrower_bars_claimed(b, pdev)) {
		NL_SET_ERR_MSG(extack, "no place for the BARs in the window");
		ret = -ENOSPC;
	} else {
		ret = driver ? lend_set_driver_override(pdev, driver) : 0;
		if (!ret)
			pci_bus_add_devices(bus);
	}
	pci_dev_put(pdev);
	pci_unlock_rescan_remove();
	return ret;
}

/* Process context. */
static struct borrowed_device *borrower_alloc(struct lend_link *link, u32 remote_id, u64 epoch)
{
	struct borrowed_device *b;
	int ret;

	b = kzalloc(sizeof(*b), GFP_KERNEL);
	if (!b)
		return ERR_PTR(-ENOMEM);
	ret = lend_registry_alloc(&borrower_borrowed, &b->object, LEND_DOMAINS - 1);
	if (ret) {
		kfree(b);
		return ERR_PTR(ret);
	}
	xa_init(&b->msi_sinks);
	INIT_WORK(&b->gone_work, borrower_gone_work);
	b->over = borrower_lease_over;
	atomic_inc(&borrower_alive);
	lend_link_hold(link);
	b->link = link;
	b->remote_id = remote_id;
	b->epoch = epoch;
	b->state = NTB_LEND_BORROWED_STATE_ATTACHING;
	b->sysdata.domain = LEND_DOMAIN_BASE + b->object.id;
	b->sysdata.node = dev_to_node(&link->pdev->dev);
	return b;
}

static void borrower_list(struct borrowed_device *b)
{
	__module_get(THIS_MODULE);
	lend_registry_add(&borrower_borrowed, &b->object);
}

/* Process context. Drops the list's reference. */
static void borrower_unlist(struct borrowed_device *b)
{
	lend_registry_remove(&borrower_borrowed, &b->object);
	module_put(b->bridge);
	module_put(THIS_MODULE);
	borrower_put(b);
}

/* Process context, link lock held. */
static int borrower_attach_locked(struct borrowed_device *b, const char *driver,
				  struct netlink_ext_ack *extack)
{
	int ret;

	b->bridge = lend_link_hold_bridge(b->link);
	if (!b->bridge) {
		NL_SET_ERR_MSG(extack, "the link is not ready");
		return -ENOTCONN;
	}
	if (!borrower_domain_is_free(b->sysdata.domain)) {
		NL_SET_ERR_MSG_FMT(extack, "PCI domain %x is in use", b->sysdata.domain);
		return -EBUSY;
	}
	ret = lend_dma_init(b);
	if (ret)
		return ret;
	ret = borrower_use_windows(b, extack);
	if (!ret)
		ret = borrower_open(b, extack);
	if (!ret)
		ret = lend_dma_reserve(b);
	if (!ret)
		ret = lend_irq_init(b, lend_msi_domain_create);
	if (!ret)
		ret = borrower_config_init(b);
	if (!ret)
		ret = borrower_add_bus(b, driver, extack);
	if (ret)
		borrower_quiesce(b);
	return ret;
}

/**
 * borrower_attach() - make a lent device of the peer appear here
 * @link: the owner's link
 * @remote_id: its handle on the owner
 * @epoch: of the lease
 * @driver: the only one that may have it, or NULL
 * @out: the borrowed device, with a reference
 * @extack: says what is wrong
 *
 * Context: process; takes @link->lock, may take as long as a driver's probe.
 * Return: 0 or a negative errno, then nothing is left behind.
 */
int borrower_attach(struct lend_link *link, u32 remote_id, u64 epoch, const char *driver,
		    struct borrowed_device **out, struct netlink_ext_ack *extack)
{
	struct borrowed_device *b;
	int ret;

	b = borrower_alloc(link, remote_id, epoch);
	if (IS_ERR(b))
		return PTR_ERR(b);
	kref_get(&b->object.ref);
	borrower_list(b);

	mutex_lock(&link->lock);
	ret = borrower_attach_locked(b, driver, extack);
	/* Nobody else may detach what has failed; it may be gone as soon as the lock is. */
	if (ret)
		b->state = NTB_LEND_BORROWED_STATE_DETACHING;
	else
		borrower_set_state(b, NTB_LEND_BORROWED_STATE_ATTACHED);
	mutex_unlock(&link->lock);
	trace_lend_lease(pci_name(link->pdev), link->object.id, epoch, "attach", ret);
	if (ret) {
		borrower_unlist(b);
		borrower_put(b);
		return ret;
	}
	lend_link_info(link, "borrowed device %u attached as %05x:00:00.0\n", b->object.id,
		       b->sysdata.domain);
	*out = b;
	return 0;
}

/**
 * borrower_detach() - remove a borrowed device
 * @b: the borrowed device
 * @epoch: of its lease; numbers are given again
 * @extack: says what is wrong
 *
 * Context: process; takes the link's lock, may take as long as a driver's
 * remove.
 * Return: 0; -EAGAIN the owner has not stopped the device, and is given up; -EBUSY it
 * is being attached or detached already; -ESTALE it is of another lease.
 */
int borrower_detach(struct borrowed_device *b, u64 epoch, struct netlink_ext_ack *extack)
{
	struct lend_link *link = b->link;
	bool there;

	if (b->epoch != epoch) {
		NL_SET_ERR_MSG_FMT(extack, "borrowed device %u is of epoch %llu", b->object.id,
				   b->epoch);
		return -ESTALE;
	}
	mutex_lock(&link->lock);
	if (b->state == NTB_LEND_BORROWED_STATE_ATTACHING ||
	    b->state == NTB_LEND_BORROWED_STATE_DETACHING) {
		/* Its attach has not come to the lock yet, or its detach is not through. */
		mutex_unlock(&link->lock);
		NL_SET_ERR_MSG(extack, "being attached or detached by somebody else");
		return -EBUSY;
	}
	there = !READ_ONCE(b->dma_over);
	if (there && borrower_is_lost(b) && borrower_stop(b)) {
		mutex_unlock(&link->lock);
		NL_SET_ERR_MSG(extack,
			       "the owner does not say that the device has stopped: its link is ended first");
		return -EAGAIN;
	}
	borrower_set_state(b, NTB_LEND_BORROWED_STATE_DETACHING);
	if (there)
		borrower_quiesce(b);
	mutex_unlock(&link->lock);
	trace_lend_lease(pci_name(link->pdev), link->object.id, b->epoch, "detach", 0);
	lend_link_info(link, "borrowed device %u detached\n", b->object.id);
	borrower_unlist(b);
	return 0;
}

static int borrower_dead_on(struct lend_object *object, void *arg)
{
	struct borrowed_device *b = container_of(object, struct borrowed_device, object);

	if (b->link == arg)
		borrower_mark_gone(b);
	return 0;
}

/**
 * borrower_link_dead() - the peer is lost: accesses return all-ones
 * @link: the link, marked dead
 *
 * Context: process; takes no link's lock, so that a probe under way ends soon.
 */
void borrower_link_dead(struct lend_link *link)
{
	lend_registry_for_each(&borrower_borrowed, 0, borrower_dead_on, link);
}

/**
 * struct borrower_lease - for borrower_revoke_one()
 * @link: the owner's link
 * @remote_id: handle on the owner
 * @epoch: of the lease
 */
struct borrower_lease {
	struct lend_link *link;
	u32 remote_id;
	u64 epoch;
};

static int borrower_revoke_one(struct lend_object *object, void *arg)
{
	struct borrowed_device *b = container_of(object, struct borrowed_device, object);
	const struct borrower_lease *lease = arg;

	if (b->link == lease->link && b->remote_id == lease->remote_id &&
	    b->epoch == lease->epoch)
		borrower_lease_over(b, true);
	return 0;
}

/**
 * borrower_revoke() - the owner has ended a lease by force
 * @link: the owner's link
 * @remote_id: handle on the owner
 * @epoch: of the lease
 *
 * Accesses return all-ones at once; the driver is removed soon.
 *
 * Context: process; takes no link's lock.
 */
void borrower_revoke(struct lend_link *link, u32 remote_id, u64 epoch)
{
	struct borrower_lease lease = { link, remote_id, epoch };

	lend_registry_for_each(&borrower_borrowed, 0, borrower_revoke_one, &lease);
}

static int borrower_lost_on(struct lend_object *object, void *arg)
{
	struct borrowed_device *b = container_of(object, struct borrowed_device, object);

	if (b->link != arg || !b->bus)
		return 0;
	borrower_quiesce(b);
	borrower_set_state(b, NTB_LEND_BORROWED_STATE_GONE);
	return 0;
}

/**
 * borrower_link_lost() - remove the drivers of all devices of a lost peer
 * @link: the link
 *
 * The devices stay listed as gone until user space detaches them.
 *
 * Context: process; caller holds @link->lock.
 */
void borrower_link_lost(struct lend_link *link)
{
	borrower_link_dead(link);
	lend_registry_for_each(&borrower_borrowed, 0, borrower_lost_on, link);
}

static int borrower_notify(struct notifier_block *nb, unsigned long action, void *data)
{
	struct pci_dev *pdev = to_pci_dev(data);

	if (action == BUS_NOTIFY_ADD_DEVICE && lend_is_borrowed(pdev)) {
		lend_dma_adopt(pdev);
		lend_irq_adopt(pdev);
	}
	return NOTIFY_OK;
}

/* Runs after the IOMMU's notifier and before any driver is bound. */
static struct notifier_block borrower_nb = {
	.notifier_call = borrower_notify,
	.priority = -1,
};

/**
 * borrower_register() - prepare for borrowed devices
 *
 * Context: process.
 * Return: 0 or a negative errno.
 */
int borrower_register(void)
{
	return bus_register_notifier(&pci_bus_type, &borrower_nb);
}

/**
 * borrower_unregister() - wait until nobody holds a borrowed device, or lets go of one
 *
 * Context: process; all are detached.
 */
void borrower_unregister(void)
{
	bus_unregister_notifier(&pci_bus_type, &borrower_nb);
	wait_var_event(&borrower_alive, !atomic_read(&borrower_alive));
	/*
	 * Who has put the last one, from whatever context a bus or a device is let go in, may
	 * not have returned from here yet. It does not sleep on its way.
	 */
	synchronize_rcu_tasks();
}
