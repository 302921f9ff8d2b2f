/* SPDX-License-Identifier: GPL-2.0-only */
/* Trust: what of the owner a lent device, or its borrower, could reach beyond the lease. */
#ifndef LEND_TRUST_H
#define LEND_TRUST_H

#include <linux/types.h>

struct device;
struct device_driver;
struct lend_windows;
struct pci_dev;

/* Why it could be more than the lease says; lend_trust_text() says it in words. */
enum lend_risk {
	LEND_RISK_BRIDGE,	/* no IOMMU translates what comes over the bridge */
	LEND_RISK_BRIDGE_GROUP,	/* what does takes the bridge and another device for one */
	LEND_RISK_BRIDGE_MESSAGES,	/* the borrower can raise any interrupt of the owner */
	LEND_RISK_BRIDGE_ATS,	/* the bridge translates addresses by itself */
	LEND_RISK_BRIDGE_RESERVED,	/* firmware has memory of the owner mapped for it */
	LEND_RISK_DEVICE,	/* no IOMMU translates the device's DMA */
	LEND_RISK_GROUP,	/* what does takes it and another one for one device */
	LEND_RISK_MESSAGES,	/* the device can raise any interrupt of the owner */
	LEND_RISK_ATS,		/* the device translates addresses by itself */
	LEND_RISK_RESERVED,	/* firmware has memory of the owner mapped for it */
	LEND_RISKS,
};

/**
 * struct lend_trust - what limits a device's DMA, and what a borrower reaches
 * @translated: an IOMMU translates the device's DMA
 * @risks: bits of enum lend_risk; 0: the windows are all it can reach
 * @why: the first of them, with the names of those concerned
 */
struct lend_trust {
	bool translated;
	unsigned long risks;
	char why[96];
};

void lend_trust_check(const struct lend_windows *w, struct pci_dev *pdev,
		      struct lend_trust *trust);
void lend_trust_shared(struct lend_trust *trust, struct pci_dev *other);
bool lend_trust_is_used(struct device *dev, const struct device_driver *driver);
bool lend_trust_is_alone(struct pci_dev *pdev);
bool lend_trust_same_group(struct pci_dev *pdev, struct pci_dev *other);
const char *lend_trust_text(enum lend_risk risk);
const char *lend_trust_link(const struct lend_windows *w);
bool lend_trust_required(void);

#endif
