// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owner side: what of this host a lent device can reach by DMA. With an IOMMU
 * the windows that the borrower may show its memory through are mapped into the
 * device's own domain, and are all there is in it.
 */

#include <linux/dma-mapping.h>
#include <linux/iommu.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/netlink.h>
#include <linux/pci.h>

#include "compat.h"
#include "contain.h"
#include "lent.h"
#include "link.h"
#include "window.h"

static bool require_iommu;
module_param(require_iommu, bool, 0644);
MODULE_PARM_DESC(require_iommu,
		 "Refuse to lend a device that no IOMMU limits to the window (default no)");

struct lend_neighbours {
	struct lend_lent *lent;
	struct lend_link *link;
	struct iommu_group *group;
	struct lend_containment *result;
};

/*
 * A device that the IOMMU cannot tell from the one to be lent has its mappings
 * in the same domain. Bridges do no DMA of their own; those that ntb_lend holds
 * have none. Process context, the group's lock held.
 */
static int lend_contain_used_here(struct device *dev, void *arg)
{
	struct lend_neighbours *n = arg;
	struct device_driver *driver = READ_ONCE(dev->driver);

	if (!driver || driver == n->lent->pdev->dev.driver)
		return 0;
	if (dev_is_pci(dev) && to_pci_dev(dev)->hdr_type == PCI_HEADER_TYPE_BRIDGE)
		return 0;
	snprintf(n->result->why, sizeof(n->result->why),
		 "it shares its IOMMU group with %s, which this host uses", dev_name(dev));
	return 1;
}

/* Process context; lease and list locks held. */
static int lend_contain_lent_elsewhere(struct lend_lent *other, void *arg)
{
	struct lend_neighbours *n = arg;
	struct iommu_group *group;

	if (other == n->lent || !other->link || other->link == n->link)
		return 0;
	group = iommu_group_get(&other->pdev->dev);
	iommu_group_put(group);
	if (group != n->group)
		return 0;
	snprintf(n->result->why, sizeof(n->result->why),
		 "it shares its IOMMU group with %s, which another peer borrows",
		 pci_name(other->pdev));
	return 1;
}

/**
 * lend_contain_probe() - find out whether a device can be limited to the window
 * @lent: the device, not lent yet
 * @link: the borrower's link
 * @result: the answer
 *
 * Context: process; caller holds the device lock and @link->lease_lock, not
 * @lent->lock.
 */
void lend_contain_probe(struct lend_lent *lent, struct lend_link *link,
			struct lend_containment *result)
{
	struct lend_neighbours n = { .lent = lent, .link = link, .result = result };

	memset(result, 0, sizeof(*result));
	result->translated = lend_is_translated(&lent->pdev->dev);
	if (!result->translated) {
		strscpy(result->why, "no IOMMU translates its DMA", sizeof(result->why));
		return;
	}
	n.group = iommu_group_get(&lent->pdev->dev);
	if (!iommu_group_for_each_dev(n.group, &n, lend_contain_used_here))
		lend_lent_for_each(0, lend_contain_lent_elsewhere, &n);
	iommu_group_put(n.group);
}

/*
 * Map the window as low in the device's domain as it goes, so that devices with
 * few address bits reach it, too. Process context, the device lock held.
 */
static dma_addr_t lend_contain_map(struct device *dev, const struct lend_window *win)
{
	dma_addr_t addr;
	int bits;

	for (bits = max(32, order_base_2(win->size)); bits <= 64; bits++) {
		if (dma_set_mask_and_coherent(dev, DMA_BIT_MASK(bits)))
			continue;
		addr = dma_map_resource(dev, win->base, win->size, DMA_BIDIRECTIONAL, 0);
		if (!dma_mapping_error(dev, addr))
			return addr;
	}
	return DMA_MAPPING_ERROR;
}

/* Process context; lease and lent locks held. False if its domain has no room for it. */
static bool lend_contain_show(struct lend_lent *lent, const struct lend_link *link, int i,
			      bool translated)
{
	const struct lend_window *win = &link->win[i];
	u64 bus = win->bus;

	if (translated)
		bus = lend_contain_map(&lent->pdev->dev, win);
	if (bus == DMA_MAPPING_ERROR)
		return false;
	lent->window[i] = (struct lend_lent_window) {
		.bus = bus, .size = win->size, .mapped = translated,
	};
	return true;
}

/* Process context; lease and lent locks held. One that is left out is not missed. */
static void lend_contain_show_free(struct lend_lent *lent, const struct lend_link *link,
				   bool translated)
{
	int i;

	for (i = 0; i < link->nwin; i++) {
		if (!link->win[i].size || !lend_window_is_free(link, i))
			continue;
		if (lend_contain_show(lent, link, i, translated))
			pci_info(lent->pdev, "reaches window %d at 0x%llx as well\n", i,
				 lent->window[i].bus);
		else
			pci_info(lent->pdev, "does not reach window %d: no room in its domain\n",
				 i);
	}
}

/**
 * lend_contain_open() - let a device reach the DMA window, and free ones
 * @lent: the device
 * @link: the borrower's link
 * @how: what lend_contain_probe() found
 * @extack: says what is wrong
 *
 * Context: process; caller holds @link->lease_lock and @lent->lock.
 * Return: 0; -EPERM it would not be contained; -ENOSPC no room in its domain.
 */
int lend_contain_open(struct lend_lent *lent, struct lend_link *link,
		      const struct lend_containment *how, struct netlink_ext_ack *extack)
{
	const struct lend_lent_window *dma = &lent->window[link->dma_win];

	if (require_iommu && how->why[0]) {
		NL_SET_ERR_MSG_FMT(extack,
				   "not limited to the window: %s; change that, or unset require_iommu",
				   how->why);
		return -EPERM;
	}
	if (!lend_contain_show(lent, link, link->dma_win, how->translated)) {
		NL_SET_ERR_MSG(extack, "the IOMMU cannot map the window for this device");
		return -ENOSPC;
	}
	lent->contained = !how->why[0];
	if (lent->contained)
		pci_info(lent->pdev, "reaches the window at 0x%llx, and nothing else\n",
			 dma->bus);
	else
		pci_warn(lent->pdev, "reaches more than the window at 0x%llx: %s\n",
			 dma->bus, how->why);
	lend_contain_show_free(lent, link, how->translated);
	return 0;
}

/**
 * lend_contain_close() - take the windows away from a device
 * @lent: the device, cut off
 *
 * Context: process; caller holds @lent->lock.
 */
void lend_contain_close(struct lend_lent *lent)
{
	struct lend_lent_window *win;
	int i;

	for (i = 0; i < LEND_WINDOWS_MAX; i++) {
		win = &lent->window[i];
		if (win->mapped)
			dma_unmap_resource(&lent->pdev->dev, win->bus, win->size,
					   DMA_BIDIRECTIONAL, 0);
	}
	memset(lent->window, 0, sizeof(lent->window));
	lent->contained = false;
}
