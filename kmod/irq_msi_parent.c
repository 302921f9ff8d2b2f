// SPDX-License-Identifier: GPL-2.0-only
/*
 * The interrupt domain of a borrowed device, on kernels where each PCI device
 * has a domain of its own: ours is its parent, and below it is the domain of
 * the NTB function.
 */

#include <linux/irq.h>
#include <linux/irqchip/irq-msi-lib.h>
#include <linux/irqdomain.h>
#include <linux/msi.h>
#include <linux/pci.h>

#include "borrowed.h"
#include "irq.h"

/* Any context; irq_desc lock held. */
static void lend_msi_compose(struct irq_data *data, struct msi_msg *msg)
{
	lend_msi_compose_for(data->domain->host_data, data, msg);
}

static struct irq_chip lend_msi_chip = {
	.name = "NTB-LEND",
	.irq_ack = irq_chip_ack_parent,
	.irq_set_affinity = irq_chip_set_affinity_parent,
	.irq_retrigger = irq_chip_retrigger_hierarchy,
	.irq_compose_msi_msg = lend_msi_compose,
	.flags = IRQCHIP_SKIP_SET_WAKE | IRQCHIP_AFFINITY_PRE_STARTUP,
};

/*
 * Process context. Interrupt remapping checks the requester ID of a message, and
 * that is the NTB function's: let it think that the function asks for the vector
 * itself.
 */
static int lend_msi_alloc(struct irq_domain *domain, unsigned int virq, unsigned int count,
			  void *arg)
{
	struct borrowed_device *b = domain->host_data;
	msi_alloc_info_t *info = arg;
	struct msi_desc *desc = info->desc;
	unsigned int i;
	int ret;

	info->desc = &b->msi_desc;
	ret = irq_domain_alloc_irqs_parent(domain, virq, count, arg);
	info->desc = desc;
	if (ret < 0)
		return ret;
	for (i = 0; i < count; i++)
		irq_domain_set_hwirq_and_chip(domain, virq + i, virq + i, &lend_msi_chip, b);
	return 0;
}

static const struct irq_domain_ops lend_msi_domain_ops = {
	.alloc = lend_msi_alloc,
	.free = irq_domain_free_irqs_common,
};

static int lend_msi_prepare(struct irq_domain *domain, struct device *dev, int count,
			    msi_alloc_info_t *arg)
{
	const struct msi_domain_info *info = domain->host_data;
	int ret = pci_msi_prepare(domain, dev, count, arg);

	/* At this time the device does not say yet which of them it uses. */
	if (!ret && info->bus_token == DOMAIN_BUS_PCI_DEVICE_MSIX)
		arg->type = X86_IRQ_ALLOC_TYPE_PCI_MSIX;
	return ret;
}

/* Process context. Completes the domain of a borrowed device. */
static bool lend_msi_init_dev(struct device *dev, struct irq_domain *domain,
			      struct irq_domain *real_parent, struct msi_domain_info *info)
{
	struct borrowed_device *b = domain->host_data;

	if (!msi_lib_init_dev_msi_info(dev, domain, real_parent, info))
		return false;
	info->ops->msi_prepare = lend_msi_prepare;
	info->chip->irq_set_affinity = lend_msi_set_affinity;
	info->chip->irq_retrigger = irq_chip_retrigger_hierarchy;
	if (b->msi_relayed)
		lend_msi_relay_chip(info->chip);
	info->chip->flags |= IRQCHIP_SKIP_SET_WAKE | IRQCHIP_AFFINITY_PRE_STARTUP;
	/* Without interrupt remapping a vector moves when its next interrupt comes. */
	if (domain->parent->bus_token == DOMAIN_BUS_ANY)
		info->chip->flags |= IRQCHIP_MOVE_DEFERRED;
	info->handler = handle_edge_irq;
	info->handler_name = "edge";
	return true;
}

#define LEND_MSI_PARENT_OPS(flags) { \
	.supported_flags = MSI_GENERIC_FLAGS_MASK | MSI_FLAG_PCI_MSIX | \
			   MSI_FLAG_PCI_MSIX_ALLOC_DYN | (flags), \
	.required_flags = MSI_FLAG_USE_DEF_DOM_OPS | MSI_FLAG_USE_DEF_CHIP_OPS, \
	.chip_flags = MSI_CHIP_FLAG_SET_ACK, \
	.bus_select_token = DOMAIN_BUS_PCI_MSI, \
	.prefix = "NTB-LEND-", \
	.init_dev_msi_info = lend_msi_init_dev, \
}

static const struct msi_parent_ops lend_msi_parent_ops = LEND_MSI_PARENT_OPS(0);
static const struct msi_parent_ops lend_msi_rows_parent_ops =
	LEND_MSI_PARENT_OPS(MSI_FLAG_MULTI_PCI_MSI);

/**
 * lend_msi_domain_create() - make an interrupt domain, for lend_irq_init()
 * @b: the borrowed device
 * @fwnode: names the domain
 * @parent: the domain of the NTB function
 *
 * Context: process.
 * Return: the domain, to be removed by irq_domain_remove(), or NULL.
 */
struct irq_domain *lend_msi_domain_create(struct borrowed_device *b, struct fwnode_handle *fwnode,
					  struct irq_domain *parent)
{
	struct irq_domain_info info = {
		.fwnode = fwnode,
		.ops = &lend_msi_domain_ops,
		.host_data = b,
		.parent = parent,
	};

	return msi_create_parent_irq_domain(&info, lend_msi_has_rows(b, parent) ?
					    &lend_msi_rows_parent_ops : &lend_msi_parent_ops);
}
