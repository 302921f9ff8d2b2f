// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lent devices: by handle and address, their reset, and whether they are healthy.
 *
 * Called by owner.c, which makes them, by lease.c, and by netlink.c.
 *
 * Locks: see main.c; lent_device.lock is taken where the comment says so.
 */

#include <linux/delay.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#include "lent.h"
#include "owner_irq.h"

/* When listeners are told of what changes too often to be told each time. */
#define LENT_SOON	(HZ / 4)

static void lent_release(struct lend_object *object)
{
	struct lent_device *lent = container_of(object, struct lent_device, object);

	lend_registry_free(&lent_devices, object);
	kfree(lent->saved);
	kvfree(lent->filter);
	owner_irq_exit(&lent->irq);
	pci_dev_put(lent->pdev);
	kfree(lent);
}

struct lend_registry lent_devices = LEND_REGISTRY(lent_devices, lent_release);

/**
 * lent_put() - drop a reference
 * @lent: the lent device
 *
 * Context: process.
 */
void lent_put(struct lent_device *lent)
{
	lend_registry_put(&lent_devices, &lent->object);
}

/**
 * lent_get() - find a lent device
 * @id: its handle
 *
 * Context: process.
 * Return: it with a reference, or NULL.
 */
struct lent_device *lent_get(u32 id)
{
	struct lend_object *object = lend_registry_get(&lent_devices, id);

	return object ? container_of(object, struct lent_device, object) : NULL;
}

/**
 * struct lent_search - for lent_has_address()
 * @address: what is searched
 * @found: with a reference, or NULL
 */
struct lent_search {
	const char *address;
	struct lent_device *found;
};

static int lent_has_address(struct lend_object *object, void *arg)
{
	struct lent_device *lent = container_of(object, struct lent_device, object);
	struct lent_search *search = arg;

	if (strcmp(pci_name(lent->pdev), search->address))
		return 0;
	kref_get(&object->ref);
	search->found = lent;
	return 1;
}

/**
 * lent_find() - find a lent device
 * @address: its PCI address, domain included
 *
 * Context: process.
 * Return: it with a reference, or NULL.
 */
struct lent_device *lent_find(const char *address)
{
	struct lent_search search = { .address = address };

	lend_registry_for_each(&lent_devices, 0, lent_has_address, &search);
	return search.found;
}

/**
 * lent_changed() - tell listeners that a lent device has changed
 * @lent: the lent device
 *
 * Context: process; may sleep; takes the lent lock.
 */
void lent_changed(struct lent_device *lent)
{
	lend_registry_changed(&lent_devices, &lent->object);
}

/* Process context. */
static int lent_tell_one(struct lend_object *object, void *arg)
{
	struct lent_device *lent = container_of(object, struct lent_device, object);

	if (atomic_xchg(&lent->news, 0))
		lent_changed(lent);
	return 0;
}

/**
 * lent_tell() - tell listeners now of what has changed
 *
 * Context: process; may sleep; takes the lent lock of what has changed.
 */
void lent_tell(void)
{
	lend_registry_for_each(&lent_devices, 0, lent_tell_one, NULL);
}

static void lent_tell_work(struct work_struct *work)
{
	lent_tell();
}

static DECLARE_DELAYED_WORK(lent_telling, lent_tell_work);

/**
 * lent_has_changed() - note that a lent device has changed, for lent_tell()
 * @lent: the lent device
 *
 * Context: any.
 */
void lent_has_changed(struct lent_device *lent)
{
	atomic_set(&lent->news, 1);
}

/**
 * lent_changed_soon() - tell listeners that a lent device has changed, but not each time
 * @lent: the lent device
 *
 * Context: any.
 */
void lent_changed_soon(struct lent_device *lent)
{
	lent_has_changed(lent);
	schedule_delayed_work(&lent_telling, LENT_SOON);
}

/**
 * lent_exit() - tell nobody any more
 *
 * Context: process; no lent device is left, and no link.
 */
void lent_exit(void)
{
	cancel_delayed_work_sync(&lent_telling);
}

/**
 * lent_state() - where a lent device is between two leases
 * @lent: the lent device
 *
 * Context: process; caller holds the lent lock or the device lock.
 * Return: see the netlink spec.
 */
enum ntb_lend_lent_state lent_state(const struct lent_device *lent)
{
	if (lent->lease) {
		switch (lent->lease->state) {
		case LEASE_BEGINNING:
			return NTB_LEND_LENT_STATE_BOUND;
		case LEASE_LENT:
		case LEASE_OVER:
			return NTB_LEND_LENT_STATE_LENT;
		case LEASE_ATTACHED:
			return NTB_LEND_LENT_STATE_ATTACHED;
		case LEASE_RETURNING:
			return NTB_LEND_LENT_STATE_RETURNING;
		}
	}
	return lent->ill ? NTB_LEND_LENT_STATE_QUARANTINED : NTB_LEND_LENT_STATE_BOUND;
}

/**
 * lent_answers() - is the function there
 * @lent: the lent device
 *
 * Context: process. A virtual function has no IDs of its own to ask for.
 */
bool lent_answers(struct lent_device *lent)
{
	u16 command = ~0;

	return pci_device_is_present(lent->pdev) &&
	       !pci_read_config_word(lent->pdev, PCI_COMMAND, &command) && command != 0xffff;
}

/* Process context. Clears bits of a register. */
static void lent_clear(struct pci_dev *pdev, int where, u16 bits)
{
	u16 value;

	if (!pci_read_config_word(pdev, where, &value) && value & bits)
		pci_write_config_word(pdev, where, value & ~bits);
}

/*
 * Process context. A device without a reset still has the messages of its last user,
 * which are not among what is restored: the next one might switch its DMA on and
 * think that they are off.
 */
static void lent_silence(struct pci_dev *pdev)
{
	if (pdev->msi_cap)
		lent_clear(pdev, pdev->msi_cap + PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE);
	if (pdev->msix_cap)
		lent_clear(pdev, pdev->msix_cap + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE);
}

/**
 * lent_reset() - let nothing of one user be left for the next
 * @lent: the lent device
 *
 * The kernel tries what the device has in its own order, and resets the bus only
 * for a function that is alone on it: siblings are never disturbed.
 *
 * Context: process; caller holds the device lock. May take seconds.
 * Return: NULL, or why it must be quarantined.
 */
const char *lent_reset(struct lent_device *lent)
{
	struct pci_dev *pdev = lent->pdev;
	int ret;

	/* One that its borrower has asked for may have begun just before. */
	if (READ_ONCE(lent->irq.resetting))
		msleep(LENT_RESET_MS);
	pci_clear_master(pdev);
	ret = __pci_reset_function_locked(pdev);
	if (ret == -ENOTTY)
		set_bit(LEND_LIMIT_RESET, &lent->limits);
	else if (ret)
		return "the reset failed";
	pci_load_saved_state(pdev, lent->saved);
	pci_restore_state(pdev);
	lent_silence(pdev);
	/* The state at bind time may have it on; whoever drives the device next decides. */
	pci_clear_master(pdev);
	return lent_answers(lent) ? NULL : "no answer after the reset";
}

/**
 * lent_limit_text() - what a lent device lacks, in words
 * @limit: what
 *
 * Context: any.
 */
const char *lent_limit_text(enum lent_limit limit)
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
