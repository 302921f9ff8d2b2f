/* SPDX-License-Identifier: GPL-2.0-only */
/* Borrowed devices in user space: an IOMMU group for them, and domains. */
#ifndef LEND_BORROWER_IOMMU_H
#define LEND_BORROWER_IOMMU_H

#ifdef LEND_HAVE_IOMMU_PER_DEVICE
int borrower_iommu_register(void);
void borrower_iommu_unregister(void);
#else
/* Older kernels take one IOMMU driver for all of PCI: there, user space gets none. */
static inline int borrower_iommu_register(void)
{
	return 0;
}

static inline void borrower_iommu_unregister(void)
{
}
#endif

#endif
