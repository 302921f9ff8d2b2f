// SPDX-License-Identifier: GPL-2.0-only
/*
 * What bridges differ in, apart from their windows: docs/bridges.md says which
 * family is covered by what.
 */

#include <linux/moduleparam.h>
#include <linux/pci.h>

#include "bridge.h"
#include "link.h"

static bool any_requester;
module_param(any_requester, bool, 0644);
MODULE_PARM_DESC(any_requester,
		 "Lend over bridges that let only listed functions pass, because lent ones were listed by hand (default no)");

/**
 * lend_bridge_check() - can this bridge do what a link needs
 * @ntb: the NTB device
 *
 * Says in the kernel log what is missing.
 *
 * Context: process.
 * Return: 0; -ENODEV it cannot.
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
 * @ntb: the NTB device, with our context
 *
 * Context: process; may sleep.
 * Return: 0 or a negative errno, which is in the kernel log too.
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
 * @link: the link
 *
 * Switchtec drops requests of functions that are not in a table, in which its
 * driver puts the bridge's own ones only, and which the NTB API cannot change.
 *
 * Context: process.
 */
bool lend_bridge_admits(const struct lend_link *link)
{
	if (READ_ONCE(any_requester))
		return true;
	return strcmp(link->pdev->driver->name, "switchtec");
}
