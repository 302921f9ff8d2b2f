/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The only place that knows how kernels differ. probe.mk says what their
 * headers have; never ask for a kernel's version.
 */
#ifndef LEND_COMPAT_H
#define LEND_COMPAT_H

#include <linux/device.h>
#include <linux/dma-map-ops.h>
#include <linux/iommu.h>
#include <linux/irqdomain.h>
#include <linux/mm.h>
#include <linux/msi.h>
#include <linux/netlink.h>
#include <linux/pci.h>

/* A string field and its source have the same name: newer kernels want it once. */
#ifdef LEND_HAVE_ASSIGN_STR_1
#define LEND_ASSIGN_STR(field)	__assign_str(field)
#else
#define LEND_ASSIGN_STR(field)	__assign_str(field, field)
#endif

/* Error messages with values in them: older kernels only take constant ones. */
#ifndef NL_SET_ERR_MSG_FMT
#define LEND_NEEDS_EXTACK_FORMAT
__printf(1, 2) const char *lend_extack_format(const char *format, ...);

#define NL_SET_ERR_MSG_FMT(extack, format, args...) do {		\
	struct netlink_ext_ack *__extack = (extack);			\
									\
	if (__extack)							\
		__extack->_msg = lend_extack_format(format, ##args);	\
} while (0)
#endif

/**
 * lend_clear_dma_iommu() - let a device's dma_map_ops be used
 * @dev: a device without mappings
 *
 * Context: process.
 */
static inline void lend_clear_dma_iommu(struct device *dev)
{
#if defined(LEND_HAVE_DMA_IOMMU_FLAG)
	dev_clear_dma_iommu(dev);
#elif defined(LEND_HAVE_DMA_IOMMU_FIELD) && defined(CONFIG_IOMMU_DMA)
	dev->dma_iommu = false;
#endif
}

/**
 * lend_messages_isolated() - can a device raise no interrupts but its own
 * @dev: the device
 *
 * Context: process.
 */
static inline bool lend_messages_isolated(struct device *dev)
{
#ifdef LEND_HAVE_ISOLATED_MSI
	return msi_device_has_isolated_msi(dev);
#else
	return irq_domain_check_msi_remap() ||
	       device_iommu_capable(dev, IOMMU_CAP_INTR_REMAP);
#endif
}

#ifdef LEND_HAVE_ALLOC_PAGES_OP
#define LEND_DMA_ALLOC_PAGES_OPS(alloc) \
	.alloc_pages_op = alloc
#else
#define LEND_DMA_ALLOC_PAGES_OPS(alloc) \
	.alloc_pages = alloc
#endif

/*
 * Mappings of memory, which older kernels know by its pages, and of what is none
 * are one operation in newer ones. LEND_DEFINE_DMA_MAP_OPS() makes operations of
 * functions that take addresses, LEND_DMA_MAP_OPS() puts them among the others.
 */
#ifdef LEND_HAVE_MAP_PHYS
#define LEND_DMA_MAP_OPS(name) \
	.map_phys = name##_op_map, \
	.unmap_phys = name##_op_unmap
#define LEND_DEFINE_DMA_MAP_OPS(name, map, unmap, map_resource, unmap_resource) \
static dma_addr_t name##_op_map(struct device *dev, phys_addr_t phys, size_t size, \
				enum dma_data_direction dir, unsigned long attrs) \
{ \
	if (unlikely(attrs & DMA_ATTR_MMIO)) \
		return map_resource(dev, phys, size, dir, attrs); \
	return map(dev, phys, size, dir, attrs); \
} \
\
static void name##_op_unmap(struct device *dev, dma_addr_t addr, size_t size, \
			    enum dma_data_direction dir, unsigned long attrs) \
{ \
	if (unlikely(attrs & DMA_ATTR_MMIO)) \
		unmap_resource(dev, addr, size, dir, attrs); \
	else \
		unmap(dev, addr, size, dir, attrs); \
}
#else
#define LEND_DMA_MAP_OPS(name) \
	.map_page = name##_op_map, \
	.unmap_page = name##_op_unmap, \
	.map_resource = name##_op_map_resource, \
	.unmap_resource = name##_op_unmap_resource
#define LEND_DEFINE_DMA_MAP_OPS(name, map, unmap, map_resource, unmap_resource) \
static dma_addr_t name##_op_map(struct device *dev, struct page *page, unsigned long offset, \
				size_t size, enum dma_data_direction dir, \
				unsigned long attrs) \
{ \
	return map(dev, page_to_phys(page) + offset, size, dir, attrs); \
} \
\
static void name##_op_unmap(struct device *dev, dma_addr_t addr, size_t size, \
			    enum dma_data_direction dir, unsigned long attrs) \
{ \
	unmap(dev, addr, size, dir, attrs); \
} \
\
static dma_addr_t name##_op_map_resource(struct device *dev, phys_addr_t phys, size_t size, \
					 enum dma_data_direction dir, unsigned long attrs) \
{ \
	return map_resource(dev, phys, size, dir, attrs); \
} \
\
static void name##_op_unmap_resource(struct device *dev, dma_addr_t addr, size_t size, \
				     enum dma_data_direction dir, unsigned long attrs) \
{ \
	unmap_resource(dev, addr, size, dir, attrs); \
}
#endif

/* Single pages that can be moved out of the way or are free, at a place of one's choice. */
#ifdef LEND_HAVE_ACR_FLAGS
#define LEND_ALLOC_CONTIG_HOW	ACR_FLAGS_NONE
#else
#define LEND_ALLOC_CONTIG_HOW	MIGRATE_MOVABLE
#endif
#define lend_alloc_contig_range(start, end) \
	alloc_contig_range(start, end, LEND_ALLOC_CONTIG_HOW, GFP_KERNEL | __GFP_NOWARN)

/**
 * lend_set_driver_override() - let no other driver have a device
 * @pdev: the device, not offered to any yet
 * @name: of the driver
 *
 * Context: process.
 * Return: 0; -ENOMEM; -EINVAL no driver has such a name.
 */
static inline int lend_set_driver_override(struct pci_dev *pdev, const char *name)
{
#ifdef LEND_HAVE_DEVICE_DRIVER_OVERRIDE
	return device_set_driver_override(&pdev->dev, name);
#else
	return driver_set_override(&pdev->dev, &pdev->driver_override, name, strlen(name));
#endif
}

/**
 * lend_iommu_map() - map memory, or registers, for the devices of a domain
 * @domain: the domain
 * @iova: the address that they shall have
 * @phys: the one that they have
 * @size: octets, of whole pages as @iova and @phys
 * @prot: IOMMU_READ and the like
 *
 * Context: process; may sleep.
 * Return: 0 or a negative errno.
 */
static inline int lend_iommu_map(struct iommu_domain *domain, unsigned long iova,
				 phys_addr_t phys, size_t size, int prot)
{
#ifdef LEND_HAVE_IOMMU_MAP_ATOMIC
	return iommu_map(domain, iova, phys, size, prot);
#else
	return iommu_map(domain, iova, phys, size, prot, GFP_KERNEL);
#endif
}

/* What iommu_domain_ops.attach_dev takes: newer kernels tell it what the device leaves. */
#ifdef LEND_HAVE_IOMMU_OLD_DOMAIN
#define LEND_IOMMU_ATTACH_ARGS \
	struct iommu_domain *domain, struct device *dev, struct iommu_domain *old
#else
#define LEND_IOMMU_ATTACH_ARGS \
	struct iommu_domain *domain, struct device *dev
#endif

/* What pre_doit and post_doit of struct genl_family are given. */
#ifdef LEND_HAVE_GENL_SPLIT_OPS
#define LEND_GENL_OPS	struct genl_split_ops
#else
#define LEND_GENL_OPS	struct genl_ops
#endif

#endif
