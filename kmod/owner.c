// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owner side: the driver that holds a function while it may be lent, and what the
 * PCI core has to say to it.
 *
 * Called by the PCI core, and by main.c. Locks: the device lock, which the PCI core
 * holds.
 */

#include <linux/module.h>
#include <linux/pci.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

#include "borrower_config.h"
#include "lease.h"
#include "lent.h"
#include "owner.h"
#include "owner_flr.h"
#include "owner_irq.h"
#include "trust.h"

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
	/* Firmware may have left it on; what is saved is what a reset ends with. */
	pci_clear_master(pdev);
	/* Nobody listens to it but under a lease. The next driver unmasks it as it enables it. */
	pci_intx(pdev, 0);
	pci_save_state(pdev);
	lent->saved = pci_store_saved_state(pdev);
	if (!lent->saved) {
		ret = -ENOMEM;
		goto release;
	}
	ret = lend_registry_alloc(&lent_devices, &lent->object, U32_MAX);
	if (ret)
		goto release;
	mutex_init(&lent->lock);
	lent->pdev = pci_dev_get(pdev);
	owner_irq_init(&lent->irq, pdev, lent->filter);
	owner_flr_init(lent);
	pci_set_drvdata(pdev, lent);
	lend_registry_add(&lent_devices, &lent->object);
	lent_changed(lent);
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

	lease_unbind(lent);
	owner_flr_exit(lent);
	/* Not before the fence: who is not found has its lease ended, the borrower takes it. */
	lend_registry_remove(&lent_devices, &lent->object);
	pci_release_selected_regions(pdev, pci_select_bars(pdev, IORESOURCE_MEM));
	pci_disable_device(pdev);
	lent_put(lent);
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

	/* It may have been taken back and lent again since the error. */
	lease_cut(lent, "the device was reset after an error");
	pci_load_saved_state(pdev, lent->saved);
	pci_restore_state(pdev);
	pci_clear_master(pdev);
	return lent_answers(lent) ? PCI_ERS_RESULT_RECOVERED : PCI_ERS_RESULT_DISCONNECT;
}

static const struct pci_error_handlers owner_error_handlers = {
	.error_detected = owner_error_detected,
	.slot_reset = owner_slot_reset,
};

/* Device lock held. A daemon that still runs, as with "reboot -f", begins no other lease. */
static void owner_shutdown(struct pci_dev *pdev)
{
	struct lent_device *lent = pci_get_drvdata(pdev);

	mutex_lock(&lent->lock);
	lent->gone = true;
	mutex_unlock(&lent->lock);
	lease_cut(lent, "this host is shut down");
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
		lease_meet_neighbour(to_pci_dev(dev));
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
	lent_exit();
	/* Of leases, which are freed by our code. */
	rcu_barrier();
}
