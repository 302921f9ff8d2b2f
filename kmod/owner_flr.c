// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owner side: a function level reset that the borrower asks for, as vfio-pci does
 * whenever it is opened.
 *
 * Nothing waits for the function: until it answers, its registers read as all-ones and
 * what is written to them is lost, as with any device that is not ready. Then it gets
 * what it had when it was bound, BARs above all, and relayed messages; the rest is
 * restored by the borrower's kernel.
 *
 * Called by owner_serve.c, and by owner.c for the function's life. Locks:
 * lent_device.lock, under which the function is restored: not once a lease is over,
 * whose end has a reset of its own.
 */

#include <linux/jiffies.h>
#include <linux/pci.h>
#include <linux/workqueue.h>

#include "filter.h"
#include "lease.h"
#include "lent.h"
#include "owner_flr.h"
#include "owner_intx.h"

/* As long as Linux has patience with a function that does not answer after its reset. */
#define OWNER_FLR_AGAIN		msecs_to_jiffies(20)
#define OWNER_FLR_PATIENCE	(60 * HZ)

/* Process context, the lent lock held. */
static void owner_flr_end(struct lent_device *lent)
{
	pci_load_saved_state(lent->pdev, lent->saved);
	pci_restore_state(lent->pdev);
	owner_command_restored(&lent->irq);
}

static void owner_flr_work(struct work_struct *work)
{
	struct lent_device *lent = container_of(to_delayed_work(work), struct lent_device, flr);

	mutex_lock(&lent->lock);
	if (lease_is_open(lent->lease) && lent->irq.resetting) {
		if (time_after_eq(jiffies, lent->flr_ready) && lent_answers(lent))
			owner_flr_end(lent);
		else if (time_before(jiffies, lent->flr_ready + OWNER_FLR_PATIENCE))
			queue_delayed_work(system_highpri_wq, &lent->flr, OWNER_FLR_AGAIN);
		else
			pci_warn(lent->pdev, "no answer after the reset that its borrower has asked for\n");
	}
	mutex_unlock(&lent->lock);
}

/**
 * owner_flr_begin() - reset a function for its borrower
 * @lease: of the function, which is not being reset
 *
 * Context: process; caller holds the lent lock.
 */
void owner_flr_begin(struct lease *lease)
{
	struct lent_device *lent = lease->lent;

	lease_stop_dma(lease);
	owner_command_reset(&lent->irq);
	pcie_capability_set_word(lent->pdev, PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR);
	lent->flr_ready = jiffies + msecs_to_jiffies(LENT_RESET_MS);
	mod_delayed_work(system_highpri_wq, &lent->flr, msecs_to_jiffies(LENT_RESET_MS));
}

/**
 * owner_flr_init() - prepare a function that was bound
 * @lent: the function
 *
 * Context: process.
 */
void owner_flr_init(struct lent_device *lent)
{
	INIT_DELAYED_WORK(&lent->flr, owner_flr_work);
}

/**
 * owner_flr_exit() - have nothing under way any more
 * @lent: the function, without a lease
 *
 * Context: process; caller holds the device lock.
 */
void owner_flr_exit(struct lent_device *lent)
{
	cancel_delayed_work_sync(&lent->flr);
}
