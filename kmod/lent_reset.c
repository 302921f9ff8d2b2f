// SPDX-License-Identifier: GPL-2.0-only
/* Owner side: stopping and resetting a function. */

#include <linux/pci.h>

#include "lent.h"
#include "lent_irq.h"

/**
 * lend_lent_cut_off() - stop a device's interrupts and DMA and push what is under way
 * @lent: the lent device
 *
 * The completion of the read pushes the device's posted writes ahead of it.
 *
 * Context: process; caller holds @lent->lock or the device lock.
 */
void lend_lent_cut_off(struct lend_lent *lent)
{
	u32 id;

	lend_lent_irq_stop(lent);
	pci_clear_master(lent->pdev);
	pci_read_config_dword(lent->pdev, PCI_VENDOR_ID, &id);
}

/**
 * lend_lent_answers() - does the function answer
 * @lent: the lent device
 *
 * A virtual function has no IDs of its own to ask for, hence the command register.
 *
 * Context: process.
 */
bool lend_lent_answers(struct lend_lent *lent)
{
	u16 command = ~0;

	return pci_device_is_present(lent->pdev) &&
	       !pci_read_config_word(lent->pdev, PCI_COMMAND, &command) && command != 0xffff;
}

/**
 * lend_lent_reset() - reset the function and look whether it came back
 * @lent: the lent device
 *
 * The kernel tries what the device has in its own order, and resets the bus
 * only for a function that is alone on it: siblings are never disturbed.
 *
 * Context: process; device lock held.
 * Return: NULL, or why it must be quarantined.
 */
const char *lend_lent_reset(struct lend_lent *lent)
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
	return lend_lent_answers(lent) ? NULL : "no answer after the reset";
}
