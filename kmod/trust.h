/* SPDX-License-Identifier: GPL-2.0-only */
/* Trust: what of the owner a lent device could reach by DMA. */
#ifndef LEND_TRUST_H
#define LEND_TRUST_H

#include <linux/types.h>

struct pci_dev;

/**
 * struct lend_trust - what would limit a device's DMA
 * @translated: an IOMMU translates it
 * @why: why the window is not all it can reach; empty when it is
 */
struct lend_trust {
	bool translated;
	char why[96];
};

void lend_trust_check(struct pci_dev *pdev, struct lend_trust *trust);
bool lend_trust_same_group(struct pci_dev *pdev, struct pci_dev *other);
bool lend_trust_required(void);

#endif
