# SPDX-License-Identifier: GPL-2.0-only
# What the headers of the kernel that is built for have. They are asked, not
# the kernel's version: distributions port interfaces back. compat.h, and
# Kbuild where a whole file depends on it, make use of the answers.

# $(call lend-probe,NAME,header under include/,basic regular expression)
define lend-probe
$(1) := $$(shell grep -qs '$(3)' $$(srctree)/include/$(2) && echo y)
ccflags-$$($(1)) += -D$(1)
endef

# The second argument of __assign_str() is gone.
$(eval $(call lend-probe,LEND_HAVE_ASSIGN_STR_1,trace/stages/stage6_event_callback.h,__assign_str.dst.[[:space:]]*[\]$$$$))
# dma_map_ops.alloc_pages is called alloc_pages_op.
$(eval $(call lend-probe,LEND_HAVE_ALLOC_PAGES_OP,linux/dma-map-ops.h,\*alloc_pages_op\>))
# dma_map_ops.map_phys replaces map_page and map_resource.
$(eval $(call lend-probe,LEND_HAVE_MAP_PHYS,linux/dma-map-ops.h,\*map_phys\>))
# A flag of a device wins over its dma_map_ops: as a field, or behind functions.
$(eval $(call lend-probe,LEND_HAVE_DMA_IOMMU_FIELD,linux/device.h,\<dma_iommu:1;))
$(eval $(call lend-probe,LEND_HAVE_DMA_IOMMU_FLAG,linux/device.h,__create_dev_flag_accessors.dma_iommu\>))
# PCI devices have MSI domains of their own, on top of a parent domain.
$(eval $(call lend-probe,LEND_HAVE_MSI_PARENT,linux/msi.h,\<msi_create_parent_irq_domain\>))
# alloc_contig_range() takes flags of its own instead of a migrate type.
$(eval $(call lend-probe,LEND_HAVE_ACR_FLAGS,linux/gfp.h,\<acr_flags_t\>))
# What is called before and after a generic netlink operation gets another type.
$(eval $(call lend-probe,LEND_HAVE_GENL_SPLIT_OPS,net/genetlink.h,\*pre_doit.*genl_split_ops\>))
# Whether a device's messages are isolated is asked of the device.
$(eval $(call lend-probe,LEND_HAVE_ISOLATED_MSI,linux/msi.h,\<msi_device_has_isolated_msi\>))
# Which IOMMU driver a device has is told by its firmware node alone: there may be several for PCI.
$(eval $(call lend-probe,LEND_HAVE_IOMMU_PER_DEVICE,linux/iommu.h,^int iommu_fwspec_init(struct device \*dev. struct fwnode_handle \*iommu_fwnode);))
# A device that is attached to a domain is told which one it leaves.
$(eval $(call lend-probe,LEND_HAVE_IOMMU_OLD_DOMAIN,linux/iommu.h,\<attach_dev..struct iommu_domain \*domain. struct device \*dev.$$$$))
# The driver that a device is kept for is a matter of all buses.
$(eval $(call lend-probe,LEND_HAVE_DEVICE_DRIVER_OVERRIDE,linux/device.h,\<device_set_driver_override\>))
# Mapping for a device that may not sleep is a function of its own, and not told by an argument.
$(eval $(call lend-probe,LEND_HAVE_IOMMU_MAP_ATOMIC,linux/iommu.h,\<iommu_map_atomic\>))
