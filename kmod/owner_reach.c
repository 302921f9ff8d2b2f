// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owner side: what a lent function reaches of the windows that it was shown. Where its
 * borrower hands it on to user space, that is no more than what that program may have.
 * The windows keep their addresses in the function's domain, which owner_place.c has
 * from the DMA layer; what lies there is mapped and unmapped here.
 *
 * Called by owner_place.c and owner_serve.c. Locks: lent_device.lock, held by them.
 */

#include <linux/iommu.h>
#include <linux/pci.h>

#include "compat.h"
#include "lent.h"
#include "link.h"
#include "owner_reach.h"
#include "window.h"

/* As the DMA layer maps registers. */
#define OWNER_REACH_PROT	(IOMMU_READ | IOMMU_WRITE | IOMMU_MMIO)

static struct iommu_domain *owner_reach_domain(struct lease *lease)
{
	return iommu_get_domain_for_dev(&lease->lent->pdev->dev);
}

/* Process context, the lent lock held. Of window @i, what is at @offset. */
static int owner_reach_map(struct lease *lease, int i, u64 offset, u64 size)
{
	return lend_iommu_map(owner_reach_domain(lease), lease->window[i].bus + offset,
			      lease->link->windows.win[i].base + offset, size,
			      OWNER_REACH_PROT);
}

/* Process context, the lent lock held. When it returns, the function reaches it no more. */
static void owner_reach_unmap(struct lease *lease, int i, u64 offset, u64 size)
{
	iommu_unmap(owner_reach_domain(lease), lease->window[i].bus + offset, size);
}

/* Process context, the lent lock held. The first @count windows. */
static void owner_reach_unmap_windows(struct lease *lease, int count)
{
	int i;

	for (i = 0; i < count; i++)
		if (lease->window[i].mapped)
			owner_reach_unmap(lease, i, 0, lease->window[i].size);
}

/**
 * owner_reach_nothing() - let a function reach nothing of any window
 * @lease: of the function, which narrows
 *
 * Context: process; caller holds the lent lock.
 */
void owner_reach_nothing(struct lease *lease)
{
	int dma = lease->link->windows.dma;
	struct lend_region *part;

	if (!lease->reach.narrow)
		owner_reach_unmap_windows(lease, LEND_WINDOWS_MAX);
	for (part = lease->reach.part; part < lease->reach.part + lease->reach.count; part++)
		owner_reach_unmap(lease, dma, part->first, part->size);
	lease->reach = (struct lend_reach) { .narrow = true };
}

/**
 * owner_reach_part() - let a function reach a part of the DMA window as well
 * @lease: of the function, which narrows
 * @offset: in the window
 * @size: octets
 *
 * Context: process; caller holds the lent lock.
 * Return: 0; -EINVAL there is no such part, or the function reaches some of it already;
 * -ENOSPC too many parts; -ENOMEM.
 */
int owner_reach_part(struct lease *lease, u64 offset, u64 size)
{
	const struct lend_region part = { .first = offset, .size = size };
	int ret, dma = lease->link->windows.dma;

	ret = lend_reach_check(&lease->reach, lease->window[dma].size, &part);
	if (!ret)
		ret = owner_reach_map(lease, dma, offset, size);
	if (!ret)
		lease->reach.part[lease->reach.count++] = part;
	return ret;
}

/**
 * owner_reach_all() - let a function reach all windows again
 * @lease: of the function
 *
 * Context: process; caller holds the lent lock.
 * Return: 0; -ENOMEM, then it reaches nothing.
 */
int owner_reach_all(struct lease *lease)
{
	int i, ret;

	if (!lease->reach.narrow)
		return 0;
	owner_reach_nothing(lease);
	for (i = 0; i < LEND_WINDOWS_MAX; i++) {
		if (!lease->window[i].mapped)
			continue;
		ret = owner_reach_map(lease, i, 0, lease->window[i].size);
		if (ret) {
			owner_reach_unmap_windows(lease, i);
			return -ENOMEM;
		}
	}
	lease->reach.narrow = false;
	return 0;
}
