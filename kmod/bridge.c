// SPDX-License-Identifier: GPL-2.0-only
/*
 * What bridges and their drivers differ in: docs/bridges.md says which family is
 * covered by what.
 *
 * Used by ntb_client.c, window.c and owner_place.c. Locks: none.
 */

#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/ntb.h>
#include <linux/pci.h>
#include <linux/string.h>

#include "bridge.h"
#include "proto.h"

static bool any_requester;
module_param(any_requester, bool, 0644);
MODULE_PARM_DESC(any_requester,
		 "Lend over bridges that let only listed functions pass, because lent ones were listed by hand (default no)");

/**
 * lend_bridge_check() - can this bridge do what a link needs
 * @ntb: the NTB device
 *
 * The kernel log says what is missing.
 *
 * Context: process.
 * Return: 0 or -ENODEV.
 */
int lend_bridge_check(struct ntb_dev *ntb)
{
	if (!ntb->ops->mw_set_trans) {
		/* ntb_mw_set_trans() would return 0 and do nothing. */
		dev_err(&ntb->dev, "only the peer can set this bridge's translations, which is not supported\n");
		return -ENODEV;
	}
	if (ntb_db_is_unsafe(ntb) || ntb_spad_is_unsafe(ntb)) {
		dev_err(&ntb->dev, "doorbells or scratchpads of this bridge are not safe to use\n");
		return -ENODEV;
	}
	if (ntb_spad_count(ntb) < LEND_SPAD_COUNT) {
		dev_err(&ntb->dev, "%d scratchpads, %d needed\n",
			ntb_spad_count(ntb), LEND_SPAD_COUNT);
		return -ENODEV;
	}
	if ((ntb_db_valid_mask(ntb) & LEND_ALL_DB) != LEND_ALL_DB) {
		dev_err(&ntb->dev, "doorbells 0 to %d needed\n", LEND_DB_COUNT - 1);
		return -ENODEV;
	}
	return 0;
}

/**
 * lend_bridge_enable_link() - tell the bridge that we want the link
 * @ntb: the NTB device
 *
 * Context: process; sleeps.
 * Return: 0, or what the bridge's driver says.
 */
int lend_bridge_enable_link(struct ntb_dev *ntb)
{
	int ret = ntb_link_enable(ntb, NTB_SPEED_AUTO, NTB_WIDTH_AUTO);

	/* AMD's secondary side refuses, although it does what is needed. */
	if (ret == -EINVAL && ntb->topo == NTB_TOPO_SEC)
		return 0;
	if (ret)
		dev_err(&ntb->dev, "the bridge refuses to enable the link: error %d\n", ret);
	return ret;
}

/**
 * lend_bridge_admits() - does what a lent device sends pass the bridge
 * @ntb: the NTB device
 *
 * Switchtec drops requests of functions that are not in a table, in which its
 * driver puts the bridge's own ones only, and which the NTB API cannot change.
 *
 * Context: process.
 */
bool lend_bridge_admits(const struct ntb_dev *ntb)
{
	if (READ_ONCE(any_requester))
		return true;
	return strcmp(ntb->pdev->driver->name, "switchtec");
}

/**
 * lend_bridge_moves_ends() - can a window's end be moved under traffic
 * @ntb: the NTB device
 *
 * These drivers write a register with the window's end, and what goes through at
 * that time arrives; others close the window in between.
 *
 * Context: process.
 */
bool lend_bridge_moves_ends(const struct ntb_dev *ntb)
{
	const char *driver = ntb->pdev->driver->name;

	return !strcmp(driver, "ntb_hw_intel") || !strcmp(driver, "ntb_hw_amd");
}
