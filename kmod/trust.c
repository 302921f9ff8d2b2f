// SPDX-License-Identifier: GPL-2.0-only
/*
 * Trust: what of this host a device that is lent could reach by DMA. Looks at
 * the host and at the device alone; what is lent to whom is known to owner.c,
 * which calls it.
 *
 * Locks: the caller holds the device's lock.
 */

#include <linux/iommu.h>
#include <linux/moduleparam.h>
#include <linux/pci.h>
#include <linux/string.h>

#include "trust.h"
#include "window.h"

static bool require_iommu;
module_param(require_iommu, bool, 0644);
MODULE_PARM_DESC(require_iommu,
		 "Refuse to lend a device that no IOMMU limits to the window (default no)");

struct lend_neighbours {
	struct pci_dev *pdev;
	struct lend_trust *trust;
};

/*
 * A device that the IOMMU cannot tell from the one to be lent has its mappings
 * in the same domain. Bridges do no DMA of their own; those that ntb_lend holds
 * have none. Process context, the group's lock held.
 */
static int lend_trust_used_here(struct device *dev, void *arg)
{
	struct lend_neighbours *n = arg;
	struct device_driver *driver = READ_ONCE(dev->driver);

	if (!driver || driver == n->pdev->dev.driver)
		return 0;
	if (dev_is_pci(dev) && to_pci_dev(dev)->hdr_type == PCI_HEADER_TYPE_BRIDGE)
		return 0;
	snprintf(n->trust->why, sizeof(n->trust->why),
		 "it shares its IOMMU group with %s, which this host uses", dev_name(dev));
	return 1;
}

/**
 * lend_trust_check() - find out whether a device can be limited to the window
 * @pdev: the device, not lent yet
 * @trust: the answer
 *
 * Context: process; caller holds the device lock.
 */
void lend_trust_check(struct pci_dev *pdev, struct lend_trust *trust)
{
	struct lend_neighbours n = { .pdev = pdev, .trust = trust };
	struct iommu_group *group;

	memset(trust, 0, sizeof(*trust));
	trust->translated = lend_is_translated(&pdev->dev);
	if (!trust->translated) {
		strscpy(trust->why, "no IOMMU translates its DMA", sizeof(trust->why));
		return;
	}
	group = iommu_group_get(&pdev->dev);
	iommu_group_for_each_dev(group, &n, lend_trust_used_here);
	iommu_group_put(group);
}

/**
 * lend_trust_same_group() - does the IOMMU take two devices for one
 * @pdev: a device
 * @other: another
 *
 * Context: process.
 */
bool lend_trust_same_group(struct pci_dev *pdev, struct pci_dev *other)
{
	struct iommu_group *group = iommu_group_get(&pdev->dev);
	struct iommu_group *others = iommu_group_get(&other->dev);

	iommu_group_put(group);
	iommu_group_put(others);
	return group && group == others;
}

/**
 * lend_trust_required() - is a device refused that can reach more
 *
 * Context: any.
 */
bool lend_trust_required(void)
{
	return READ_ONCE(require_iommu);
}
