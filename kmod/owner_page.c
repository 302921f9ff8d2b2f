// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owner side: an IOMMU shows whole pages. Where a BAR is smaller, the borrower
 * reaches what else is in its page: so that must be nothing, and stay nothing. The
 * gaps between a function's BARs are taken in the kernel's tree of resources, as
 * vfio does; whoever has something there, or wants to put it there, is refused.
 *
 * Called by owner.c. Locks: what the caller keeps the list with.
 */

#include <linux/align.h>
#include <linux/ioport.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "owner_page.h"

/**
 * struct owner_gap - a gap that is taken
 * @node: on the list of a lease's
 * @res: what is taken
 */
struct owner_gap {
	struct list_head node;
	struct resource res;
};

/* The first address from @addr on that is not the function's own. */
static resource_size_t owner_gap_begin(struct pci_dev *pdev, resource_size_t addr)
{
	struct resource *res;
	int i;

again:
	for (i = 0; i <= PCI_ROM_RESOURCE; i++) {
		res = &pdev->resource[i];
		if (res->parent && res->flags & IORESOURCE_MEM && res->start <= addr &&
		    addr <= res->end) {
			addr = res->end + 1;
			goto again;
		}
	}
	return addr;
}

/* The first address above @addr, up to @end, that is the function's own; or @end. */
static resource_size_t owner_gap_end(struct pci_dev *pdev, resource_size_t addr,
				     resource_size_t end)
{
	struct resource *res;
	int i;

	for (i = 0; i <= PCI_ROM_RESOURCE; i++) {
		res = &pdev->resource[i];
		if (res->parent && res->flags & IORESOURCE_MEM && res->start > addr)
			end = min(end, res->start);
	}
	return end;
}

static bool owner_gap_is_ours(const struct list_head *gaps, resource_size_t addr)
{
	struct owner_gap *gap;

	list_for_each_entry(gap, gaps, node)
		if (gap->res.start == addr)
			return true;
	return false;
}

static int owner_gap_take(struct resource *parent, resource_size_t start, resource_size_t end,
			  struct list_head *gaps)
{
	struct owner_gap *gap;
	int ret;

	/* Of a page that two BARs share. */
	if (owner_gap_is_ours(gaps, start))
		return 0;
	gap = kzalloc(sizeof(*gap), GFP_KERNEL);
	if (!gap)
		return -ENOMEM;
	gap->res = (struct resource) {
		.name = "ntb_lend: rest of a page",
		.start = start,
		.end = end - 1,
		.flags = IORESOURCE_MEM,
	};
	ret = request_resource(parent, &gap->res);
	if (ret) {
		kfree(gap);
		return ret;
	}
	list_add(&gap->node, gaps);
	return 0;
}

/**
 * owner_page_own() - let nobody else have something in a BAR's pages
 * @pdev: the function
 * @res: its BAR or ROM, which has an address
 * @gaps: what is taken is added to it, also where not all can be
 *
 * Context: process.
 * Return: 0; -EBUSY something else is there; -ENOMEM.
 */
int owner_page_own(struct pci_dev *pdev, const struct resource *res, struct list_head *gaps)
{
	resource_size_t at = ALIGN_DOWN(res->start, PAGE_SIZE);
	resource_size_t end = ALIGN(res->end + 1, PAGE_SIZE), next;
	int ret;

	while ((at = owner_gap_begin(pdev, at)) < end) {
		next = owner_gap_end(pdev, at, end);
		ret = owner_gap_take(res->parent, at, next, gaps);
		if (ret)
			return ret;
		at = next;
	}
	return 0;
}

/**
 * owner_page_disown() - give the gaps back
 * @gaps: as filled by owner_page_own(); empty afterwards
 *
 * Context: process.
 */
void owner_page_disown(struct list_head *gaps)
{
	struct owner_gap *gap, *next;

	list_for_each_entry_safe(gap, next, gaps, node) {
		list_del(&gap->node);
		release_resource(&gap->res);
		kfree(gap);
	}
}
