// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owner side: what of this host a lent device can reach by DMA. With an IOMMU
 * the window is mapped into the device's own domain, and is all there is in it.
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

/**
 * lend_contain_open() - let a device reach the DMA window
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
	struct lend_window *win = &link->win[link->dma_win];
	dma_addr_t addr;

	if (require_iommu && how->why[0]) {
		NL_SET_ERR_MSG_FMT(extack,
				   "not limited to the window: %s; change that, or unset require_iommu",
				   how->why);
		return -EPERM;
	}
	lent->dma_size = win->size;
	if (!how->translated) {
		lent->dma_base = win->bus;
		goto opened;
	}
	addr = lend_contain_map(&lent->pdev->dev, win);
	if (addr == DMA_MAPPING_ERROR) {
		NL_SET_ERR_MSG(extack, "the IOMMU cannot map the window for this device");
		return -ENOSPC;
	}
	lent->dma_mapped = true;
	lent->dma_base = addr;
	lent->contained = !how->why[0];
opened:
	if (lent->contained)
		pci_info(lent->pdev, "reaches the window at 0x%llx, and nothing else\n",
			 lent->dma_base);
	else
		pci_warn(lent->pdev, "reaches more than the window at 0x%llx: %s\n",
			 lent->dma_base, how->why);
	return 0;
}

/**
 * lend_contain_close() - take the DMA window away from a device
 * @lent: the device, cut off
 *
 * Context: process; caller holds @lent->lock.
 */
void lend_contain_close(struct lend_lent *lent)
{
	if (lent->dma_mapped)
		dma_unmap_resource(&lent->pdev->dev, lent->dma_base, lent->dma_size,
				   DMA_BIDIRECTIONAL, 0);
	lent->dma_mapped = false;
	lent->contained = false;
	lent->dma_base = 0;
	lent->dma_size = 0;
}
