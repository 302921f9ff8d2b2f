// SPDX-License-Identifier: GPL-2.0-only
/*
 * Trust: what of this host a device that is lent could reach by DMA, and what its
 * borrower could by the bridge. Looks at the host, the bridge and the device; what
 * is lent to whom is known to owner.c, which calls it.
 *
 * Locks: the caller holds the device's lock.
 */

#include <linux/iommu.h>
#include <linux/moduleparam.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "compat.h"
#include "trust.h"
#include "window.h"

static bool require_iommu;
module_param(require_iommu, bool, 0644);
MODULE_PARM_DESC(require_iommu,
		 "Refuse links and devices that IOMMUs do not limit to what is lent (default no)");

/**
 * lend_trust_text() - a risk in words
 * @risk: which
 *
 * Context: any.
 */
const char *lend_trust_text(enum lend_risk risk)
{
	switch (risk) {
	case LEND_RISK_BRIDGE:
		return "not fenced: no IOMMU translates what comes over the bridge";
	case LEND_RISK_BRIDGE_GROUP:
		return "the bridge shares its IOMMU group: the borrower can reach what others map";
	case LEND_RISK_BRIDGE_MESSAGES:
		return "the bridge's interrupts are not isolated: its peer can raise any";
	case LEND_RISK_BRIDGE_ATS:
		return "the bridge translates by itself (ATS): its peer can reach all memory";
	case LEND_RISK_BRIDGE_RESERVED:
		return "firmware has memory of this host mapped for the bridge (RMRR or IVMD)";
	case LEND_RISK_DEVICE:
		return "no IOMMU translates its DMA";
	case LEND_RISK_GROUP:
		return "its IOMMU group has other devices: it can reach what they can";
	case LEND_RISK_MESSAGES:
		return "interrupts are not isolated: it can raise any of this host";
	case LEND_RISK_ATS:
		return "it translates addresses by itself (ATS): it can reach all memory";
	case LEND_RISK_RESERVED:
		return "firmware has memory of this host mapped for it (RMRR or IVMD)";
	default:
		return "unknown";
	}
}

/* @why: with names, or NULL. */
static void lend_trust_add(struct lend_trust *trust, enum lend_risk risk, const char *why)
{
	if (!trust->risks)
		strscpy(trust->why, why ?: lend_trust_text(risk), sizeof(trust->why));
	__set_bit(risk, &trust->risks);
}

/**
 * struct lend_neighbours - for lend_trust_used_here()
 * @dev: whose group it is
 * @lends: holds devices that are lent; for the bridge NULL, for its peer reaches theirs
 * @what: what that is to whoever reads @why
 * @why: says which one of the group this host uses; empty: none
 */
struct lend_neighbours {
	struct device *dev;
	const struct device_driver *lends;
	const char *what;
	char why[sizeof_field(struct lend_trust, why)];
};

/**
 * lend_trust_is_used() - does this host have a device do DMA
 * @dev: the device
 * @driver: holds those that are lent, which have no mappings of this host
 *
 * A device that the IOMMU cannot tell from another has its mappings in the same
 * domain. Bridges do no DMA of their own.
 *
 * Context: any.
 */
bool lend_trust_is_used(struct device *dev, const struct device_driver *driver)
{
	const struct device_driver *own = READ_ONCE(dev->driver);

	if (!own || own == driver)
		return false;
	return !dev_is_pci(dev) || to_pci_dev(dev)->hdr_type != PCI_HEADER_TYPE_BRIDGE;
}

/* Process context, the group's lock held. */
static int lend_trust_used_here(struct device *dev, void *arg)
{
	struct lend_neighbours *n = arg;

	if (dev == n->dev || !lend_trust_is_used(dev, n->lends))
		return 0;
	snprintf(n->why, sizeof(n->why), "%s shares its IOMMU group with %s, which this host uses",
		 n->what, dev_name(dev));
	return 1;
}

/* Process context. Whether a group has others that are used, which @n says in words. */
static bool lend_trust_has_neighbours(struct lend_neighbours *n)
{
	struct iommu_group *group = iommu_group_get(n->dev);

	if (!group)
		return false;
	iommu_group_for_each_dev(group, n, lend_trust_used_here);
	iommu_group_put(group);
	return n->why[0];
}

/* Process context. Is memory of this host mapped for the device, whoever drives it? */
static bool lend_trust_has_reserved(struct pci_dev *pdev)
{
	struct iommu_group *group = iommu_group_get(&pdev->dev);
	struct iommu_resv_region *region, *next;
	LIST_HEAD(regions);
	bool found = false;

	if (!group)
		return false;
	iommu_get_group_resv_regions(group, &regions);
	list_for_each_entry_safe(region, next, &regions, list) {
		found |= region->type == IOMMU_RESV_DIRECT ||
			 region->type == IOMMU_RESV_DIRECT_RELAXABLE;
		kfree(region);
	}
	iommu_group_put(group);
	return found;
}

static bool lend_trust_has_ats(struct pci_dev *pdev)
{
#ifdef CONFIG_PCI_ATS
	return pdev->ats_enabled;
#else
	return false;
#endif
}

/* Process context. What the peer could reach by the bridge, which an IOMMU translates. */
static void lend_trust_check_bridge(const struct lend_windows *w, struct lend_trust *trust)
{
	struct lend_neighbours n = { .dev = &w->pdev->dev, .what = "the bridge" };

	if (lend_trust_has_neighbours(&n))
		lend_trust_add(trust, LEND_RISK_BRIDGE_GROUP, n.why);
	if (!lend_messages_isolated(&w->pdev->dev))
		lend_trust_add(trust, LEND_RISK_BRIDGE_MESSAGES, NULL);
	if (lend_trust_has_ats(w->pdev))
		lend_trust_add(trust, LEND_RISK_BRIDGE_ATS, NULL);
	if (lend_trust_has_reserved(w->pdev))
		lend_trust_add(trust, LEND_RISK_BRIDGE_RESERVED, NULL);
}

/**
 * lend_trust_check() - find out whether a device can be limited to the windows
 * @w: of the link to its borrower
 * @pdev: the device, not lent yet
 * @trust: the answer
 *
 * Context: process; caller holds the device lock.
 */
void lend_trust_check(const struct lend_windows *w, struct pci_dev *pdev,
		      struct lend_trust *trust)
{
	struct lend_neighbours n = {
		.dev = &pdev->dev, .lends = pdev->dev.driver, .what = "it",
	};

	memset(trust, 0, sizeof(*trust));
	trust->translated = lend_is_translated(&pdev->dev);
	if (!w->translated)
		lend_trust_add(trust, LEND_RISK_BRIDGE, NULL);
	else
		lend_trust_check_bridge(w, trust);
	if (!trust->translated) {
		lend_trust_add(trust, LEND_RISK_DEVICE, NULL);
		return;
	}
	if (lend_trust_has_neighbours(&n))
		lend_trust_add(trust, LEND_RISK_GROUP, n.why);
	if (!lend_messages_isolated(&pdev->dev))
		lend_trust_add(trust, LEND_RISK_MESSAGES, NULL);
	if (lend_trust_has_ats(pdev))
		lend_trust_add(trust, LEND_RISK_ATS, NULL);
	if (lend_trust_has_reserved(pdev))
		lend_trust_add(trust, LEND_RISK_RESERVED, NULL);
}

/**
 * lend_trust_shared() - the device has a neighbour that another peer borrows
 * @trust: of the device
 * @other: the neighbour, of the same group
 *
 * Context: process.
 */
void lend_trust_shared(struct lend_trust *trust, struct pci_dev *other)
{
	char why[sizeof(trust->why)];

	snprintf(why, sizeof(why), "it shares its IOMMU group with %s, which another peer borrows",
		 pci_name(other));
	lend_trust_add(trust, LEND_RISK_GROUP, why);
}

static int lend_trust_is_other(struct device *dev, void *arg)
{
	/* A bridge sends nothing of its own. */
	return dev != arg && !(dev_is_pci(dev) && pci_is_bridge(to_pci_dev(dev)));
}

/**
 * lend_trust_is_alone() - does the IOMMU tell a device from all others
 * @pdev: a device
 *
 * Context: process.
 */
bool lend_trust_is_alone(struct pci_dev *pdev)
{
	struct iommu_group *group = iommu_group_get(&pdev->dev);
	bool alone;

	if (!group)
		return false;
	alone = !iommu_group_for_each_dev(group, &pdev->dev, lend_trust_is_other);
	iommu_group_put(group);
	return alone;
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
 * lend_trust_link() - may windows open to the peer of a link
 * @w: of the link
 *
 * Context: process.
 * Return: NULL, or why they stay closed, a literal.
 */
const char *lend_trust_link(const struct lend_windows *w)
{
	struct lend_trust trust = {};

	if (!lend_trust_required())
		return NULL;
	if (!w->translated)
		return "no IOMMU translates this bridge: enable it, or unset require_iommu";
	lend_trust_check_bridge(w, &trust);
	return trust.risks ? lend_trust_text(__ffs(trust.risks)) : NULL;
}

/**
 * lend_trust_required() - is refused what could reach more
 *
 * Context: any.
 */
bool lend_trust_required(void)
{
	return READ_ONCE(require_iommu);
}
