// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owner side: the driver that holds a function while it may be lent, its lease
 * from the beginning to the end, and the answers to the borrower's requests. From
 * top to bottom:
 *
 *   functions by handle and address, and those that are open
 *   reset and health
 *   what others of the same borrower hold
 *   the lease: lease_begin(), lease_end()
 *   requests: nothing in one is trusted; the device must be leased to this very
 *   link with this very epoch, and each access goes through the filter
 *   the driver
 *
 * Called by netlink.c (lend, unlend), by main.c for links (requests, loss), and
 * by the PCI core.
 *
 * Locks: see main.c. The peer's reads of registers are served in any context, so
 * they cannot take lent_device.lock. They see the list of open functions, under
 * owner_open_lock: a function is on it while the peer has it attached.
 */

#include <linux/dma-mapping.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/netlink.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "borrower_config.h"
#include "channel.h"
#include "compat.h"
#include "filter.h"
#include "link.h"
#include "owner.h"
#include "owner_irq.h"
#include "owner_place.h"
#include "proto.h"
#include "trace.h"
#include "trust.h"
#include "window.h"

static LIST_HEAD(owner_opened);
/* Whoever reads a borrowed device for user space holds the raw pci_lock. */
static DEFINE_RAW_SPINLOCK(owner_open_lock);

static void owner_release(struct lend_object *object)
{
	struct lent_device *lent = container_of(object, struct lent_device, object);

	lend_registry_free(&owner_lent, object);
	kfree(lent->saved);
	kvfree(lent->filter);
	owner_irq_exit(&lent->irq);
	pci_dev_put(lent->pdev);
	kfree(lent);
}

struct lend_registry owner_lent = LEND_REGISTRY(owner_lent, owner_release);

/**
 * owner_put() - drop a reference
 * @lent: the lent device
 *
 * Context: process.
 */
void owner_put(struct lent_device *lent)
{
	lend_registry_put(&owner_lent, &lent->object);
}

/**
 * owner_get() - find a lent device
 * @id: its handle
 *
 * Context: process.
 * Return: it with a reference, or NULL.
 */
struct lent_device *owner_get(u32 id)
{
	struct lend_object *object = lend_registry_get(&owner_lent, id);

	return object ? container_of(object, struct lent_device, object) : NULL;
}

/**
 * struct owner_search - for owner_has_address()
 * @address: what is searched
 * @found: with a reference, or NULL
 */
struct owner_search {
	const char *address;
	struct lent_device *found;
};

static int owner_has_address(struct lend_object *object, void *arg)
{
	struct lent_device *lent = container_of(object, struct lent_device, object);
	struct owner_search *search = arg;

	if (strcmp(pci_name(lent->pdev), search->address))
		return 0;
	kref_get(&object->ref);
	search->found = lent;
	return 1;
}

/**
 * owner_find() - find a lent device
 * @address: its PCI address, domain included
 *
 * Context: process.
 * Return: it with a reference, or NULL.
 */
struct lent_device *owner_find(const char *address)
{
	struct owner_search search = { .address = address };

	lend_registry_for_each(&owner_lent, 0, owner_has_address, &search);
	return search.found;
}

/* Process context, @lent->lock held. Its lease does not change while it is open. */
static void owner_open(struct lent_device *lent)
{
	raw_spin_lock_irq(&owner_open_lock);
	list_add_tail(&lent->open, &owner_opened);
	raw_spin_unlock_irq(&owner_open_lock);
}

/* Process context, @lent->lock held. No read is under way afterwards. */
static void owner_close(struct lent_device *lent)
{
	raw_spin_lock_irq(&owner_open_lock);
	list_del_init(&lent->open);
	raw_spin_unlock_irq(&owner_open_lock);
}

/*
 * Any context. Calls @fn, with interrupts off, for a lent device that the peer has
 * open; it stays open meanwhile. Returns what @fn does, or LEND_ERR_STALE.
 */
static enum lend_status owner_with_open(struct lend_link *link, u32 id, u64 epoch,
					enum lend_status (*fn)(struct lent_device *lent,
							       void *arg),
					void *arg)
{
	enum lend_status status = LEND_ERR_STALE;
	struct lent_device *lent;
	unsigned long flags;

	raw_spin_lock_irqsave(&owner_open_lock, flags);
	list_for_each_entry(lent, &owner_opened, open) {
		if (lent->object.id == id && lent->link == link && lent->epoch == epoch) {
			status = fn(lent, arg);
			break;
		}
	}
	raw_spin_unlock_irqrestore(&owner_open_lock, flags);
	return status;
}

/* Any context. Reads a register for the filter. */
static u32 owner_filter_read(void *ctx, u32 where, u32 size)
{
	u32 value = ~0U;

	pci_read_config_dword(ctx, where & ~3U, &value);
	return lend_part(value, where, size);
}

/* Process context. A virtual function answers all-ones for its IDs; the kernel knows them. */
static void owner_build_filter(struct lent_device *lent)
{
	struct lend_filter *f = lent->filter;
	struct pci_dev *pdev = lent->pdev;

	lend_filter_build(f, pdev->cfg_size, owner_filter_read, pdev);
	if (!pdev->is_virtfn)
		return;
	lend_filter_show(f, PCI_VENDOR_ID, 2, pdev->vendor);
	lend_filter_show(f, PCI_DEVICE_ID, 2, pdev->device);
}

static void owner_set_state(struct lent_device *lent, enum ntb_lend_lent_state state,
			    const char *message)
{
	mutex_lock(&lent->lock);
	lent->state = state;
	lent->message = message;
	mutex_unlock(&lent->lock);
	lend_registry_changed(&owner_lent, &lent->object);
}

/* Process context. No DMA begins any more, and what the device has sent has left it. */
static void owner_stop_dma(struct lent_device *lent)
{
	u32 id;

	pci_clear_master(lent->pdev);
	/* The completion of the read pushes the device's posted writes ahead. */
	pci_read_config_dword(lent->pdev, PCI_VENDOR_ID, &id);
}

/* Process context. A virtual function has no IDs of its own to ask for. */
static bool owner_answers(struct lent_device *lent)
{
	u16 command = ~0;

	return pci_device_is_present(lent->pdev) &&
	       !pci_read_config_word(lent->pdev, PCI_COMMAND, &command) && command != 0xffff;
}

/*
 * Process context, device lock held. The kernel tries what the device has in its
 * own order, and resets the bus only for a function that is alone on it: siblings
 * are never disturbed. Returns NULL, or why it must be quarantined.
 */
static const char *owner_reset(struct lent_device *lent)
{
	struct pci_dev *pdev = lent->pdev;
	int ret;

	pci_clear_master(pdev);
	ret = __pci_reset_function_locked(pdev);
	if (ret == -ENOTTY)
		set_bit(LEND_LIMIT_RESET, &lent->limits);
	else if (ret)
		return "the reset failed";
	pci_load_saved_state(pdev, lent->saved);
	pci_restore_state(pdev);
	/* The state at bind time may have it on; whoever drives the device next decides. */
	pci_clear_master(pdev);
	return owner_answers(lent) ? NULL : "no answer after the reset";
}

/**
 * owner_limit() - what a lent device lacks, in words
 * @limit: what
 *
 * Context: any.
 */
const char *owner_limit(enum lent_limit limit)
{
	switch (limit) {
	case LEND_LIMIT_RESET:
		return "no reset method: what one user leaves in the device, the next one finds";
	case LEND_LIMIT_IO:
		return "I/O port BARs are hidden: windows carry memory only";
	case LEND_LIMIT_ROM:
		return "the expansion ROM is hidden: it has no address, or no window reaches it";
	default:
		return "unknown";
	}
}

/**
 * struct owner_others - for owner_looks_at_other()
 * @lent: the device that is to be lent, or whose lease ends
 * @link: the borrower's link
 * @trust: what would limit its DMA; others may have a say; or NULL
 * @in_use: another one holds the BAR window of @link where it is
 */
struct owner_others {
	struct lent_device *lent;
	struct lend_link *link;
	struct lend_trust *trust;
	bool in_use;
};

/* Process context; the lease lock of @arg's link held, under which its leases come and go. */
static int owner_looks_at_other(struct lend_object *object, void *arg)
{
	struct lent_device *other = container_of(object, struct lent_device, object);
	struct owner_others *o = arg;
	struct lend_link *link = READ_ONCE(other->link);

	if (other == o->lent || !link)
		return 0;
	if (link == o->link)
		o->in_use |= owner_holds_bar_window(other, link);
	else if (o->trust && lend_trust_same_group(o->lent->pdev, other->pdev))
		lend_trust_shared(o->trust, other->pdev);
	return 0;
}

/* Process context, device lock held. */
static int lease_begin(struct lent_device *lent, struct lend_link *link, u64 epoch,
		       struct netlink_ext_ack *extack)
{
	struct lend_trust trust;
	struct owner_others others = { .lent = lent, .link = link, .trust = &trust };
	const char *ill;
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
	lent->risks = 0;
	ill = owner_reset(lent);
	if (ill) {
		owner_set_state(lent, NTB_LEND_LENT_STATE_QUARANTINED, ill);
		NL_SET_ERR_MSG_FMT(extack, "quarantined: %s", ill);
		return -EIO;
	}
	owner_build_filter(lent);
	lend_filter_set_pin(lent->filter, owner_intx_pin(lent->pdev));

	mutex_lock(&link->lease_lock);
	lend_trust_check(&link->windows, lent->pdev, &trust);
	lend_registry_for_each(&owner_lent, 0, owner_looks_at_other, &others);
	mutex_lock(&lent->lock);
	if (!lend_link_is_ready(link)) {
		NL_SET_ERR_MSG(extack, "the link is not ready");
		ret = -ENOTCONN;
	} else {
		ret = owner_place(lent, link, others.in_use, &trust, extack);
	}
	if (!ret) {
		lend_link_hold(link);
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
		owner_irq_begin(&lent->irq, link->relay, epoch);
		lent->state = NTB_LEND_LENT_STATE_LENT;
	}
	mutex_unlock(&lent->lock);
	mutex_unlock(&link->lease_lock);
	return ret;
}

static void owner_log_limits(struct lent_device *lent)
{
	enum lent_limit limit;
	enum lend_risk risk;

	for (limit = 0; limit < LEND_LIMITS; limit++)
		if (test_bit(limit, &lent->limits))
			pci_info(lent->pdev, "%s\n", owner_limit(limit));
	for (risk = 0; risk < LEND_RISKS; risk++)
		if (test_bit(risk, &lent->risks))
			pci_info(lent->pdev, "%s\n", lend_trust_text(risk));
}

/**
 * owner_lend() - lease a function to the peer of a link
 * @lent: the function
 * @link: the borrower's link
 * @epoch: of the lease
 * @extack: says what is wrong
 *
 * Context: process; takes the device, lease and lent locks, may take seconds.
 * Return: 0 or a negative errno; see the netlink spec.
 */
int owner_lend(struct lent_device *lent, struct lend_link *link, u64 epoch,
	       struct netlink_ext_ack *extack)
{
	int ret = -ENODEV;

	device_lock(&lent->pdev->dev);
	if (!lent->gone)
		ret = lease_begin(lent, link, epoch, extack);
	device_unlock(&lent->pdev->dev);
	trace_lend_lease(pci_name(lent->pdev), link->object.id, epoch, "lend", ret);
	if (!ret) {
		owner_log_limits(lent);
		pci_info(lent->pdev, "lent over link %u, epoch %llu\n", link->object.id, epoch);
		lend_registry_changed(&owner_lent, &lent->object);
	}
	return ret;
}

/*
 * Process context; lease and lent locks held. The fence: nothing of the borrower
 * reaches the device any more, and the device nothing of the borrower, whatever
 * either of them does. Waits for no driver and asks the peer for nothing.
 */
static void lease_fence(struct lent_device *lent)
{
	struct owner_others others = { .lent = lent, .link = lent->link };

	/* Twice does no harm: what is closed stays so. */
	if (lent->ended)
		return;
	/* Requests are refused for good, and none that reads is under way. */
	owner_close(lent);
	lent->ended = true;
	owner_stop_dma(lent);
	/* What has left the device has arrived at the borrower. */
	lend_channel_flush(&lent->link->channel);
	lend_registry_for_each(&owner_lent, 0, owner_looks_at_other, &others);
	owner_unplace(lent, lent->link, others.in_use);
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
 * Process context, device lock held. The end of a lease, whatever it is for; @tell
 * the borrower, which has the device attached. Does nothing without a lease.
 *
 *   fence -> tell the borrower -> take its interrupts down
 */
static void lease_finish(struct lent_device *lent, bool tell)
{
	struct lend_link *link = lent->link;

	if (!link)
		return;
	mutex_lock(&link->lease_lock);
	mutex_lock(&lent->lock);
	lease_fence(lent);
	mutex_unlock(&lent->lock);
	mutex_unlock(&link->lease_lock);

	if (tell)
		lease_revoke(lent, link, lent->epoch);

	mutex_lock(&lent->lock);
	owner_irq_stop(&lent->irq);
	lent->link = NULL;
	lent->epoch = 0;
	mutex_unlock(&lent->lock);
	module_put(link->bridge);
	module_put(THIS_MODULE);
	lend_link_put(link);
}

/* Process context, device lock held. Finishes the lease, then resets and looks at the device. */
static int lease_end(struct lent_device *lent, bool force, struct netlink_ext_ack *extack)
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
	attached = lent->state == NTB_LEND_LENT_STATE_ATTACHED;
	lent->state = NTB_LEND_LENT_STATE_RETURNING;
	mutex_unlock(&lent->lock);

	lease_finish(lent, attached);
	lend_registry_changed(&owner_lent, &lent->object);
	ill = owner_reset(lent);
	owner_set_state(lent, ill ? NTB_LEND_LENT_STATE_QUARANTINED :
				    NTB_LEND_LENT_STATE_BOUND, ill);
	if (ill)
		pci_err(lent->pdev, "quarantined: %s\n", ill);
	return 0;
}

/**
 * owner_unlend() - end the lease of a function
 * @lent: the function
 * @force: also while it is attached at the borrower
 * @extack: says what is wrong
 *
 * Context: process; takes the device, lease and lent locks, may take seconds.
 * Return: 0, also when quarantined; -EBUSY attached; -ENODEV unbound.
 */
int owner_unlend(struct lent_device *lent, bool force, struct netlink_ext_ack *extack)
{
	u64 epoch = lent->epoch;
	int ret = -ENODEV;

	device_lock(&lent->pdev->dev);
	if (!lent->gone)
		ret = lease_end(lent, force, extack);
	device_unlock(&lent->pdev->dev);
	trace_lend_lease(pci_name(lent->pdev), 0, epoch, "unlend", ret);
	return ret;
}

/*
 * Process context; lease and lent locks held. Fences the lease, which user space
 * finishes when it takes the device back. Returns whether it was not over yet.
 */
static bool lease_fence_because(struct lent_device *lent, const char *why)
{
	if (lent->ended)
		return false;
	lease_fence(lent);
	lent->message = why;
	lent->state = NTB_LEND_LENT_STATE_LENT;
	return true;
}

static int lease_fence_on(struct lend_object *object, void *arg)
{
	struct lent_device *lent = container_of(object, struct lent_device, object);
	bool event = false;

	mutex_lock(&lent->lock);
	if (lent->link == arg)
		event = lease_fence_because(lent, "the borrower is lost");
	mutex_unlock(&lent->lock);
	if (event)
		lend_registry_changed(&owner_lent, &lent->object);
	return 0;
}

/**
 * owner_link_dead() - the peer of a link is lost: its leases are fenced
 * @link: the link, marked dead
 *
 * The devices stay so until user space takes them back.
 *
 * Context: process; takes the lease and lent locks, waits for no driver.
 */
void owner_link_dead(struct lend_link *link)
{
	mutex_lock(&link->lease_lock);
	lend_registry_for_each(&owner_lent, 0, lease_fence_on, link);
	mutex_unlock(&link->lease_lock);
}

/*
 * Process context, device lock held. Something has happened to the device or this
 * host that no lease outlasts: it is fenced, and the borrower told.
 */
static void lease_cut(struct lent_device *lent, const char *why)
{
	struct lend_link *link = lent->link;
	bool attached, event;

	if (!link)
		return;
	mutex_lock(&link->lease_lock);
	mutex_lock(&lent->lock);
	attached = lent->state == NTB_LEND_LENT_STATE_ATTACHED;
	event = lease_fence_because(lent, why);
	mutex_unlock(&lent->lock);
	mutex_unlock(&link->lease_lock);
	if (!event)
		return;
	pci_warn(lent->pdev, "the lease is over: %s\n", why);
	if (attached)
		lease_revoke(lent, link, lent->epoch);
	lend_registry_changed(&owner_lent, &lent->object);
}

/* Process context. The link of a lease, with a reference, or NULL. */
static struct lend_link *lease_link(struct lent_device *lent)
{
	struct lend_link *link;

	mutex_lock(&lent->lock);
	link = lent->link;
	if (link)
		lend_link_hold(link);
	mutex_unlock(&lent->lock);
	return link;
}

/*
 * Process context; @arg's device lock held, not that of the lent function. @arg is
 * about to get a driver of this host. A lent function whose domain it shares could
 * reach what that driver maps.
 */
static int lease_meet_neighbour(struct lend_object *object, void *arg)
{
	struct lent_device *lent = container_of(object, struct lent_device, object);
	bool event = false, tell = false;
	struct pci_dev *pdev = arg;
	struct lend_link *link;
	u64 epoch;

	if (pdev == lent->pdev || !lend_trust_same_group(lent->pdev, pdev))
		return 0;
	link = lease_link(lent);
	if (!link)
		return 0;
	mutex_lock(&link->lease_lock);
	mutex_lock(&lent->lock);
	epoch = lent->epoch;
	if (lent->link == link && !lent->ended) {
		__set_bit(LEND_RISK_GROUP, &lent->risks);
		lent->contained = false;
		event = true;
		tell = lend_trust_required() && lent->state == NTB_LEND_LENT_STATE_ATTACHED;
		if (lend_trust_required())
			lease_fence_because(lent, "this host uses a device of its IOMMU group");
	}
	mutex_unlock(&lent->lock);
	mutex_unlock(&link->lease_lock);
	if (tell)
		lease_revoke(lent, link, epoch);
	lend_link_put(link);
	if (event) {
		pci_warn(lent->pdev, "is not contained any more: this host uses %s of its IOMMU group\n",
			 pci_name(pdev));
		lend_registry_changed(&owner_lent, &lent->object);
	}
	return 0;
}

static int lease_stop_irq_on(struct lend_object *object, void *arg)
{
	struct lent_device *lent = container_of(object, struct lent_device, object);

	mutex_lock(&lent->lock);
	if (lent->link == arg)
		owner_irq_stop(&lent->irq);
	mutex_unlock(&lent->lock);
	return 0;
}

/**
 * owner_link_lost() - take the interrupts of a lost peer's devices down
 * @link: the link; a lease that begins later finds that it is not ready
 *
 * Context: process; takes the lease and lent locks.
 */
void owner_link_lost(struct lend_link *link)
{
	owner_link_dead(link);
	lend_registry_for_each(&owner_lent, 0, lease_stop_irq_on, link);
}

/* Process context, @lent->lock held. */
static enum lend_status owner_serve_open(struct lent_device *lent, struct lend_response *resp)
{
	const struct lent_window *dma = &lent->window[lent->link->windows.dma];
	struct pci_dev *pdev = lent->pdev;

	if (lent->state == NTB_LEND_LENT_STATE_ATTACHED)
		return LEND_ERR_BUSY;
	resp->val[LEND_OPEN_ADDRESS] = cpu_to_le64((u64)pci_domain_nr(pdev->bus) << 16 |
						   pci_dev_id(pdev));
	resp->val[LEND_OPEN_DMA_BASE] = cpu_to_le64(dma->bus);
	resp->val[LEND_OPEN_DMA_SIZE] = cpu_to_le64(dma->size);
	resp->val[LEND_OPEN_CFG_SIZE] = cpu_to_le64(lent->filter->size);
	resp->val[LEND_OPEN_DMA_WINDOW] = cpu_to_le64(lent->link->windows.dma);
	lent->state = NTB_LEND_LENT_STATE_ATTACHED;
	owner_open(lent);
	return LEND_OK;
}

/*
 * Process context, @lent->lock held. What is written goes to the borrower, or
 * nowhere: the response, which follows it, says where to look for it.
 */
static enum lend_status owner_serve_window(struct lent_device *lent, u32 place, u32 value,
					   struct lend_response *resp)
{
	u64 offset = (u64)LEND_PLACE_PAGE(place) << LEND_PLACE_SHIFT;
	const struct lent_window *found;
	u32 i = LEND_PLACE_WINDOW(place);
	void __iomem *at;

	/* Windows of ours that are for something else are none that it finds. */
	if (i >= lent->link->windows.count || !lend_window_is_free(&lent->link->windows, i))
		return LEND_OK;
	found = &lent->window[i];
	if (!found->size || offset > found->size - sizeof(value))
		return LEND_OK;
	at = ioremap_wc(lent->link->windows.win[i].base + offset, sizeof(value));
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
static enum lend_status owner_serve_bar(struct lent_device *lent, u32 index,
					struct lend_response *resp)
{
	const struct lent_bar *bar;

	if (index >= LEND_BARS)
		return LEND_ERR_INVALID;
	bar = &lent->bar[index];
	resp->val[LEND_BAR_SIZE] = cpu_to_le64(bar->size);
	resp->val[LEND_BAR_OFFSET] = cpu_to_le64(bar->offset);
	resp->val[LEND_BAR_PLACE] = cpu_to_le64((u64)bar->flags << 8 | bar->window);
	return LEND_OK;
}

static bool owner_is_command(u32 where)
{
	return (where & ~3U) == PCI_COMMAND;
}

/*
 * Any context, @lent->lock held or @lent open: what a register says, to the owner
 * (@raw).
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

/**
 * struct owner_read - for owner_serve_open_read()
 * @req: the request
 * @resp: its answer
 */
struct owner_read {
	const struct lend_request *req;
	struct lend_response *resp;
};

/* Any context, interrupts off; @lent is open. */
static enum lend_status owner_serve_open_read(struct lent_device *lent, void *arg)
{
	const struct owner_read *read = arg;
	u32 raw, where = le32_to_cpu(read->req->arg);
	enum lend_status status;

	status = owner_serve_raw(lent, read->req, &raw);
	if (status)
		return status;
	atomic64_inc(&lent->config_reads);
	read->resp->val[0] = cpu_to_le64(lend_filter_read(lent->filter, where, read->req->size,
							  raw));
	return LEND_OK;
}

/* Process context, @lent->lock held. */
static enum lend_status owner_serve_write(struct lent_device *lent, const struct lend_request *req)
{
	u32 where = le32_to_cpu(req->arg), value = le32_to_cpu(req->value), raw;
	const struct lent_window *dma = &lent->window[lent->link->windows.dma];
	const struct lend_filter_range range = { dma->bus, dma->size };
	const struct lend_filter *f = lent->filter;
	enum lend_status status;
	int ret;

	status = owner_serve_raw(lent, req, &raw);
	if (status)
		return status;
	lent->config_writes++;
	if (lend_filter_denied(f, where, req->size, raw, value))
		lent->config_denied++;
	if (!lend_filter_writable(f, where, req->size))
		return LEND_OK;
	if (lent->irq.vectors.count && lend_filter_is_msi(f, where)) {
		/* This host's kernel has set it up for itself. */
		lent->config_denied++;
		return LEND_OK;
	}
	if (lend_filter_msi_leaves(f, where, req->size, value, &range, owner_filter_read,
				   lent->pdev)) {
		/* A driver that frees its interrupt writes an address of zero. */
		if (value)
			lent->config_denied++;
		return LEND_OK;
	}
	if (owner_is_command(where))
		ret = owner_command_write(&lent->irq, where, req->size, value);
	else
		ret = owner_config_write(lent->pdev, where, req->size,
					 lend_filter_write(f, where, req->size, raw, value));
	return ret ? LEND_ERR_DEVICE : LEND_OK;
}

/* Process context. */
static enum lend_status owner_serve_lent(struct lend_link *link, struct lent_device *lent,
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
		status = owner_serve_open(lent, resp);
		event = status == LEND_OK;
		break;
	case LEND_OP_BAR:
		status = owner_serve_bar(lent, le32_to_cpu(req->arg), resp);
		break;
	case LEND_OP_WINDOW:
		status = owner_serve_window(lent, le32_to_cpu(req->arg), le32_to_cpu(req->value),
					    resp);
		break;
	case LEND_OP_CLOSE:
		owner_close(lent);
		owner_stop_dma(lent);
		owner_irq_stop(&lent->irq);
		lent->state = NTB_LEND_LENT_STATE_LENT;
		event = true;
		status = LEND_OK;
		break;
	case LEND_OP_CONFIG_WRITE:
		status = owner_serve_write(lent, req);
		break;
	case LEND_OP_IRQ_OPEN:
		status = owner_irq_open(&lent->irq, le32_to_cpu(req->arg), resp);
		break;
	case LEND_OP_IRQ_CLOSE:
		status = owner_irq_close(&lent->irq, le32_to_cpu(req->arg));
		break;
	default:
		status = LEND_ERR_INVALID;
	}
unlock:
	mutex_unlock(&lent->lock);
	if (event)
		lend_registry_changed(&owner_lent, &lent->object);
	return status;
}

/* Any context. */
static enum lend_status owner_serve_read(struct lend_link *link, const struct lend_request *req,
					 struct lend_response *resp)
{
	struct owner_read read = { req, resp };

	return owner_with_open(link, le32_to_cpu(req->handle), le64_to_cpu(req->epoch),
				   owner_serve_open_read, &read);
}

/* Process context. */
static enum lend_status owner_serve_handle(struct lend_link *link, const struct lend_request *req,
					   struct lend_response *resp)
{
	struct lent_device *lent = owner_get(le32_to_cpu(req->handle));
	enum lend_status status;

	if (!lent)
		return LEND_ERR_STALE;
	status = owner_serve_lent(link, lent, req, resp);
	owner_put(lent);
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

static const char *owner_unfit(struct pci_dev *pdev)
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

static int owner_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	const char *unfit = owner_unfit(pdev);
	struct lent_device *lent;
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
	ret = lend_registry_alloc(&owner_lent, &lent->object, U32_MAX);
	if (ret)
		goto release;
	mutex_init(&lent->lock);
	INIT_LIST_HEAD(&lent->open);
	INIT_LIST_HEAD(&lent->gaps);
	lent->pdev = pci_dev_get(pdev);
	owner_irq_init(&lent->irq, pdev, lent->filter);
	pci_set_drvdata(pdev, lent);
	lend_registry_add(&owner_lent, &lent->object);
	lend_registry_changed(&owner_lent, &lent->object);
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
static void owner_remove(struct pci_dev *pdev)
{
	struct lent_device *lent = pci_get_drvdata(pdev);
	const char *ill;
	bool there;

	lend_registry_remove(&owner_lent, &lent->object);
	mutex_lock(&lent->lock);
	lent->gone = true;
	mutex_unlock(&lent->lock);
	if (lent->link) {
		there = owner_answers(lent);
		pci_warn(pdev, "%s under a lease: the borrower loses it\n",
			 there ? "unbound" : "removed");
		lease_finish(lent, true);
		ill = there ? owner_reset(lent) : NULL;
		if (ill)
			pci_err(pdev, "not healthy: %s\n", ill);
	}
	pci_release_selected_regions(pdev, pci_select_bars(pdev, IORESOURCE_MEM));
	pci_disable_device(pdev);
	owner_put(lent);
}

/* Device lock held. The borrower's driver cannot know what of its work was lost. */
static pci_ers_result_t owner_error_detected(struct pci_dev *pdev, pci_channel_state_t state)
{
	lease_cut(pci_get_drvdata(pdev), "the device has reported an error");
	switch (state) {
	case pci_channel_io_normal:
		return PCI_ERS_RESULT_CAN_RECOVER;
	case pci_channel_io_frozen:
		return PCI_ERS_RESULT_NEED_RESET;
	default:
		return PCI_ERS_RESULT_DISCONNECT;
	}
}

/* Device lock held. Who takes the device back resets it once more, and looks at it. */
static pci_ers_result_t owner_slot_reset(struct pci_dev *pdev)
{
	struct lent_device *lent = pci_get_drvdata(pdev);

	pci_load_saved_state(pdev, lent->saved);
	pci_restore_state(pdev);
	pci_clear_master(pdev);
	return owner_answers(lent) ? PCI_ERS_RESULT_RECOVERED : PCI_ERS_RESULT_DISCONNECT;
}

static const struct pci_error_handlers owner_error_handlers = {
	.error_detected = owner_error_detected,
	.slot_reset = owner_slot_reset,
};

/* Device lock held. */
static void owner_shutdown(struct pci_dev *pdev)
{
	lease_cut(pci_get_drvdata(pdev), "this host is shut down");
}

/* Device lock held. A bridge that sleeps carries nothing. */
static int owner_suspend(struct device *dev)
{
	lease_cut(dev_get_drvdata(dev), "this host was suspended");
	return 0;
}

static DEFINE_SIMPLE_DEV_PM_OPS(owner_pm_ops, owner_suspend, NULL);

/* Bound by driver_override only: no table of IDs. */
static struct pci_driver owner_driver = {
	.name = "ntb_lend",
	.probe = owner_probe,
	.remove = owner_remove,
	.shutdown = owner_shutdown,
	.err_handler = &owner_error_handlers,
	.driver.pm = pm_sleep_ptr(&owner_pm_ops),
};

/* Process context; the device lock of what gets a driver held. */
static int owner_notify(struct notifier_block *nb, unsigned long action, void *data)
{
	struct device *dev = data;

	if (action == BUS_NOTIFY_BIND_DRIVER && lend_trust_is_used(dev, &owner_driver.driver))
		lend_registry_for_each(&owner_lent, 0, lease_meet_neighbour, to_pci_dev(dev));
	return NOTIFY_OK;
}

static struct notifier_block owner_nb = {
	.notifier_call = owner_notify,
};

/**
 * owner_register() - offer the driver for functions to lend
 *
 * Context: process.
 * Return: 0 or a negative errno.
 */
int owner_register(void)
{
	int ret = bus_register_notifier(&pci_bus_type, &owner_nb);

	if (ret)
		return ret;
	ret = pci_register_driver(&owner_driver);
	if (ret)
		bus_unregister_notifier(&pci_bus_type, &owner_nb);
	return ret;
}

/**
 * owner_unregister() - unbind all functions
 *
 * Context: process; no function is leased.
 */
void owner_unregister(void)
{
	pci_unregister_driver(&owner_driver);
	bus_unregister_notifier(&pci_bus_type, &owner_nb);
}
