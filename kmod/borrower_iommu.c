// SPDX-License-Identifier: GPL-2.0-only
/*
 * Borrowed devices in user space: where an IOMMU translates the NTB function, its
 * borrowed devices have an IOMMU group and domains, so that vfio-pci can take
 * them. A domain is a range of the NTB function's DMA addresses, the arena. What
 * user space maps at an address of the device's is mapped for the NTB function at
 * the address in the arena which the owner's window makes of it. The kernel's own
 * drivers are not concerned: for them the default domain is one that does nothing,
 * and dma.c goes on.
 *
 * All devices that are borrowed over a link send as the NTB function does. Where their
 * owner's IOMMU limits each to its own arena, see borrower_reach.c, each is a group. Else
 * what one of them is shown the others reach as well, and they are one group.
 *
 * A domain outlives its devices, where user space holds it for longer. So it knows
 * by itself what is mapped, and has it in the arena as long as a device is attached.
 *
 * Called by the IOMMU core, in process context, and by main.c. Locks: see there.
 */

#include <linux/iommu.h>
#include <linux/lockdep.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/property.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "borrowed.h"
#include "borrower.h"
#include "borrower_arena.h"
#include "borrower_config.h"
#include "borrower_iommu.h"
#include "borrower_reach.h"
#include "compat.h"
#include "link.h"

/**
 * struct borrower_domain - what user space has mapped for borrowed devices of a link
 * @domain: what the IOMMU core knows of it
 * @arena: where; holds a reference
 * @bus: what the devices call its first address
 * @lock: serialises what is mapped with who is attached
 * @pages: by number of the page in the arena: its physical address and, in the
 *	lowest bits, what may be done with it
 * @attached: devices
 */
struct borrower_domain {
	struct iommu_domain domain;
	struct borrower_arena *arena;
	u64 bus;
	struct mutex lock; /* what is mapped, and who is attached */
	struct xarray pages;
	unsigned int attached;
};

static struct iommu_device borrower_iommu;

static struct borrower_domain *borrower_domain_of(struct iommu_domain *domain)
{
	return container_of(domain, struct borrower_domain, domain);
}

static struct device *borrower_domain_ntb(const struct borrower_domain *d)
{
	return &d->arena->link->pdev->dev;
}

/* Process context, domain's lock held. */
static void borrower_domain_clear(struct borrower_domain *d, unsigned long index,
				  unsigned long count)
{
	struct iommu_domain *ntb = iommu_get_domain_for_dev(borrower_domain_ntb(d));

	if (ntb && count)
		iommu_unmap(ntb, d->arena->first + (index << PAGE_SHIFT),
			    count << PAGE_SHIFT);
}

/* Process context, domain's lock held. Of what is mapped, what follows one another at once. */
static void borrower_domain_clear_all(struct borrower_domain *d)
{
	unsigned long index, start = 0, count = 0;
	void *entry;

	xa_for_each(&d->pages, index, entry) {
		if (index != start + count) {
			borrower_domain_clear(d, start, count);
			start = index;
			count = 0;
		}
		count++;
	}
	borrower_domain_clear(d, start, count);
}

/* Process context, domain's lock held. */
static int borrower_domain_fill(struct borrower_domain *d)
{
	struct iommu_domain *ntb = iommu_get_domain_for_dev(borrower_domain_ntb(d));
	unsigned long index, value, refused;
	void *entry;
	int ret;

	if (!ntb)
		return -ENODEV;
	xa_for_each(&d->pages, index, entry) {
		value = xa_to_value(entry);
		ret = iommu_map(ntb, d->arena->first + (index << PAGE_SHIFT), value & PAGE_MASK,
				PAGE_SIZE, value & ~PAGE_MASK, GFP_KERNEL);
		if (ret)
			goto undo;
	}
	return 0;

undo:
	refused = index;
	xa_for_each(&d->pages, index, entry) {
		if (index == refused)
			break;
		borrower_domain_clear(d, index, 1);
	}
	return ret;
}

/* Process context, the group's mutex held. */
static void borrower_domain_leave(struct borrower_domain *d)
{
	mutex_lock(&d->lock);
	if (!--d->attached)
		borrower_domain_clear_all(d);
	mutex_unlock(&d->lock);
}

/* Process context, the group's mutex held. */
static int borrower_domain_enter(struct borrower_domain *d)
{
	int ret = 0;

	mutex_lock(&d->lock);
	if (!d->attached)
		ret = borrower_domain_fill(d);
	if (!ret)
		d->attached++;
	mutex_unlock(&d->lock);
	return ret;
}

/*
 * Process context, the group's mutex held. @to: NULL for none of ours. It reaches already
 * what it may reach there.
 */
static int borrower_move(struct borrowed_device *b, struct borrower_domain *to)
{
	struct borrower_domain *from = b->domain;
	int ret = 0;

	if (from == to)
		return 0;
	if (to)
		ret = borrower_domain_enter(to);
	if (ret)
		return ret;
	b->domain = to;
	if (from)
		borrower_domain_leave(from);
	return 0;
}

/* iommu_domain_ops.attach_dev. Process context, the group's mutex held. */
static int borrower_domain_attach(LEND_IOMMU_ATTACH_ARGS)
{
	struct borrowed_device *b = lend_borrowed_of(to_pci_dev(dev));
	struct borrower_domain *d = borrower_domain_of(domain);
	const struct borrower_arena *arena = d->arena;
	int ret;

	/* The arena has to be what this device finds in its window, at the same place. */
	if (b->link != arena->link ||
	    !lend_views_show(&b->views, U64_MAX, arena->first, arena->size) ||
	    lend_views_to_device(&b->views, arena->first) != d->bus)
		return -EINVAL;
	ret = borrower_reach_only(b, arena->first, arena->size);
	return ret ?: borrower_move(b, d);
}

/*
 * iommu_domain_ops.attach_dev. Process context, the group's mutex held. The kernel has it
 * back, which cannot be refused: an owner that does not answer has lost it.
 */
static int borrower_identity_attach(LEND_IOMMU_ATTACH_ARGS)
{
	struct borrowed_device *b = lend_borrowed_of(to_pci_dev(dev));

	borrower_reach_all(b);
	return borrower_move(b, NULL);
}

/*
 * iommu_domain_ops.attach_dev. Process context, the group's mutex held. User space is
 * about to have it, or has let go, which cannot be refused.
 */
static int borrower_blocked_attach(LEND_IOMMU_ATTACH_ARGS)
{
	struct borrowed_device *b = lend_borrowed_of(to_pci_dev(dev));
	int ret = borrower_reach_nothing(b);

	if (ret && !b->domain)
		return ret;
	return borrower_move(b, NULL);
}

/* iommu_domain_ops.map_pages. Process context; addresses are within the domain's geometry. */
static int borrower_domain_map(struct iommu_domain *domain, unsigned long iova, phys_addr_t phys,
			       size_t pgsize, size_t pgcount, int prot, gfp_t gfp, size_t *mapped)
{
	struct borrower_domain *d = borrower_domain_of(domain);
	unsigned long i, first = (iova - d->bus) >> PAGE_SHIFT;
	struct iommu_domain *ntb;
	int ret = 0;

	prot &= IOMMU_READ | IOMMU_WRITE | IOMMU_CACHE | IOMMU_NOEXEC | IOMMU_MMIO;
	mutex_lock(&d->lock);
	for (i = 0; i < pgcount && !ret; i++)
		ret = xa_insert(&d->pages, first + i,
				xa_mk_value((phys + (i << PAGE_SHIFT)) | prot), gfp);
	if (!ret && d->attached) {
		ntb = iommu_get_domain_for_dev(borrower_domain_ntb(d));
		ret = ntb ? iommu_map(ntb, d->arena->first + (iova - d->bus), phys,
				      pgcount << PAGE_SHIFT, prot, gfp) : -ENODEV;
	} else if (ret) {
		i--; /* the one that was refused */
	}
	if (ret)
		while (i--)
			xa_erase(&d->pages, first + i);
	else
		*mapped = pgcount << PAGE_SHIFT;
	mutex_unlock(&d->lock);
	return ret;
}

/* iommu_domain_ops.unmap_pages. Process context; when it returns, no device reaches them. */
static size_t borrower_domain_unmap(struct iommu_domain *domain, unsigned long iova, size_t pgsize,
				    size_t pgcount, struct iommu_iotlb_gather *gather)
{
	struct borrower_domain *d = borrower_domain_of(domain);
	unsigned long i, first = (iova - d->bus) >> PAGE_SHIFT;

	mutex_lock(&d->lock);
	for (i = 0; i < pgcount; i++)
		if (!xa_erase(&d->pages, first + i))
			break;
	if (d->attached)
		borrower_domain_clear(d, first, i);
	mutex_unlock(&d->lock);
	return i << PAGE_SHIFT;
}

static phys_addr_t borrower_domain_phys(struct iommu_domain *domain, dma_addr_t iova)
{
	struct borrower_domain *d = borrower_domain_of(domain);
	void *entry = xa_load(&d->pages, (iova - d->bus) >> PAGE_SHIFT);

	return entry ? (xa_to_value(entry) & PAGE_MASK) + offset_in_page(iova) : 0;
}

static void borrower_domain_free(struct iommu_domain *domain)
{
	struct borrower_domain *d = borrower_domain_of(domain);

	xa_destroy(&d->pages);
	borrower_arena_put(d->arena);
	kfree(d);
	module_put(THIS_MODULE);
}

static const struct iommu_domain_ops borrower_domain_ops = {
	.attach_dev = borrower_domain_attach,
	.map_pages = borrower_domain_map,
	.unmap_pages = borrower_domain_unmap,
	.iova_to_phys = borrower_domain_phys,
	.free = borrower_domain_free,
};

static struct iommu_domain *borrower_domain_alloc(struct device *dev)
{
	struct borrowed_device *b = lend_borrowed_of(to_pci_dev(dev));
	struct borrower_arena *arena;
	struct borrower_domain *d;

	d = kzalloc(sizeof(*d), GFP_KERNEL);
	if (!d)
		return ERR_PTR(-ENOMEM);
	arena = borrower_arena_get(b);
	if (IS_ERR(arena)) {
		kfree(d);
		return ERR_CAST(arena);
	}
	__module_get(THIS_MODULE);
	mutex_init(&d->lock);
	xa_init(&d->pages);
	d->arena = arena;
	d->bus = lend_views_to_device(&b->views, arena->first);
	d->domain.ops = &borrower_domain_ops;
	d->domain.pgsize_bitmap = PAGE_SIZE;
	d->domain.geometry = (struct iommu_domain_geometry) {
		.aperture_start = d->bus,
		.aperture_end = d->bus + arena->size - 1,
		.force_aperture = true,
	};
	return &d->domain;
}

static const struct iommu_domain_ops borrower_identity_ops = {
	.attach_dev = borrower_identity_attach,
};

static const struct iommu_domain_ops borrower_blocked_ops = {
	.attach_dev = borrower_blocked_attach,
};

/* What dma.c maps; and nothing that user space has mapped. */
static struct iommu_domain borrower_identity = {
	.type = IOMMU_DOMAIN_IDENTITY,
	.ops = &borrower_identity_ops,
};

static struct iommu_domain borrower_blocked = {
	.type = IOMMU_DOMAIN_BLOCKED,
	.ops = &borrower_blocked_ops,
};

static int borrower_default_domain(struct device *dev)
{
	return IOMMU_DOMAIN_IDENTITY;
}

static bool borrower_iommu_capable(struct device *dev, enum iommu_cap cap)
{
	const struct borrowed_device *b = lend_borrowed_of(to_pci_dev(dev));

	return cap == IOMMU_CAP_CACHE_COHERENCY && device_iommu_capable(&b->link->pdev->dev, cap);
}

static struct iommu_device *borrower_iommu_probe(struct device *dev)
{
	return &borrower_iommu;
}

/* Process context. @size: 0 for none. */
static void borrower_reserve(struct list_head *head, u64 first, u64 size)
{
	struct iommu_resv_region *region;

	if (!size)
		return;
	region = iommu_alloc_resv_region(first, size, 0, IOMMU_RESV_RESERVED, GFP_KERNEL);
	if (region)
		list_add_tail(&region->list, head);
}

/* iommu_ops.get_resv_regions. Process context. All but what the DMA window shows. */
static void borrower_iommu_reserved(struct device *dev, struct list_head *head)
{
	const struct lend_view *view = &lend_borrowed_of(to_pci_dev(dev))->views.view[0];
	u64 end = view->bus + view->size;

	borrower_reserve(head, 0, view->bus);
	borrower_reserve(head, end, U64_MAX - end + 1);
}

/* Process context. The device is to be closed, which undoes what its owner was asked for. */
static void borrower_iommu_release(struct device *dev)
{
	struct borrowed_device *b = lend_borrowed_of(to_pci_dev(dev));

	borrower_move(b, NULL);
	borrower_arena_forget(b);
}

/**
 * struct borrower_neighbours - the other borrowed devices of a link
 * @link: the link
 * @shared: the group of those that reach what others are shown, with a reference; or NULL
 * @own: there are some with a group of their own
 */
struct borrower_neighbours {
	const struct lend_link *link;
	struct iommu_group *shared;
	bool own;
};

static int borrower_group_of(struct lend_object *object, void *arg)
{
	struct borrowed_device *b = container_of(object, struct borrowed_device, object);
	struct borrower_neighbours *others = arg;
	struct iommu_group *group;
	struct pci_dev *pdev;

	if (b->link != others->link || !b->bus)
		return 0;
	pdev = pci_get_slot(b->bus, 0);
	if (!pdev)
		return 0;
	/* The one that is being added has none yet. */
	group = iommu_group_get(&pdev->dev);
	pci_dev_put(pdev);
	if (group && b->narrows)
		others->own = true;
	if (!group || b->narrows || others->shared)
		iommu_group_put(group);
	else
		others->shared = group;
	return 0;
}

/*
 * Process context, link lock held, as a device is added: no other of the link comes or
 * goes. One that would reach what another group is shown gets none.
 */
static struct iommu_group *borrower_iommu_group(struct device *dev)
{
	struct borrowed_device *b = lend_borrowed_of(to_pci_dev(dev));
	struct borrower_neighbours others = { .link = b->link };

	lend_registry_for_each(&borrower_borrowed, 0, borrower_group_of, &others);
	if (others.shared) {
		b->narrows = false;
		return others.shared;
	}
	if (!b->narrows && others.own) {
		dev_warn(dev,
			 "no IOMMU group: its owner cannot keep it from what other devices of the link are shown\n");
		return ERR_PTR(-EPERM);
	}
	return iommu_group_alloc();
}

static const struct iommu_ops borrower_iommu_ops = {
	.capable = borrower_iommu_capable,
	.domain_alloc_paging = borrower_domain_alloc,
	.probe_device = borrower_iommu_probe,
	.release_device = borrower_iommu_release,
	.device_group = borrower_iommu_group,
	.get_resv_regions = borrower_iommu_reserved,
	.def_domain_type = borrower_default_domain,
	.default_domain_ops = &borrower_domain_ops,
	.identity_domain = &borrower_identity,
	.blocked_domain = &borrower_blocked,
	.owner = THIS_MODULE,
};

/*
 * Process context. The IOMMU core has its users of firmware call this with a lock that
 * modules cannot take. It is there for a device that the core looks at meanwhile, as
 * when a driver of another IOMMU registers; that of this host has, or there would be
 * nothing that translates the NTB function.
 */
static int borrower_iommu_name(struct pci_dev *pdev)
{
	int ret;

	lockdep_off();
	ret = iommu_fwspec_init(&pdev->dev, borrower_iommu.fwnode);
	lockdep_on();
	return ret;
}

static int borrower_iommu_notify(struct notifier_block *nb, unsigned long action, void *data)
{
	struct pci_dev *pdev = to_pci_dev(data);

	if (action == BUS_NOTIFY_ADD_DEVICE && lend_is_borrowed(pdev) &&
	    lend_borrowed_of(pdev)->link->windows.translated && borrower_iommu_name(pdev))
		dev_warn(&pdev->dev, "no IOMMU group: user space cannot take this device\n");
	return NOTIFY_OK;
}

/* Runs before the IOMMU core's, which then finds whose device it is. */
static struct notifier_block borrower_iommu_nb = {
	.notifier_call = borrower_iommu_notify,
	.priority = 1,
};

/* Process context. Whether any function is translated: where none is, nobody is to think so. */
static bool borrower_iommu_is_of_use(void)
{
	struct pci_dev *pdev = NULL;

	for_each_pci_dev(pdev) {
		if (device_iommu_mapped(&pdev->dev)) {
			pci_dev_put(pdev);
			return true;
		}
	}
	return false;
}

/**
 * borrower_iommu_register() - prepare for borrowed devices in user space
 *
 * Without an IOMMU there are none, and it does nothing.
 *
 * Context: process.
 * Return: 0 or a negative errno.
 */
int borrower_iommu_register(void)
{
	struct fwnode_handle *fwnode;
	int ret;

	if (!borrower_iommu_is_of_use())
		return 0;
	fwnode = fwnode_create_software_node(NULL, NULL);
	if (IS_ERR(fwnode))
		return PTR_ERR(fwnode);
	ret = iommu_device_sysfs_add(&borrower_iommu, NULL, NULL, "ntb_lend");
	if (ret)
		goto node;
	borrower_iommu.fwnode = fwnode;
	ret = iommu_device_register(&borrower_iommu, &borrower_iommu_ops, NULL);
	if (ret)
		goto sysfs;
	ret = bus_register_notifier(&pci_bus_type, &borrower_iommu_nb);
	if (ret)
		goto device;
	return 0;

device:
	iommu_device_unregister(&borrower_iommu);
sysfs:
	iommu_device_sysfs_remove(&borrower_iommu);
node:
	fwnode_remove_software_node(fwnode);
	borrower_iommu.fwnode = NULL;
	return ret;
}

/**
 * borrower_iommu_unregister() - what borrower_iommu_register() did, undone
 *
 * Context: process; there are no borrowed devices, nor domains. Who has freed the last
 * one may not have returned from there yet: borrower_unregister() comes after this.
 */
void borrower_iommu_unregister(void)
{
	if (!borrower_iommu.fwnode)
		return;
	bus_unregister_notifier(&pci_bus_type, &borrower_iommu_nb);
	iommu_device_unregister(&borrower_iommu);
	iommu_device_sysfs_remove(&borrower_iommu);
	fwnode_remove_software_node(borrower_iommu.fwnode);
}
