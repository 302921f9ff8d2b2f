// SPDX-License-Identifier: GPL-2.0-only
/*
 * The interrupt domain of a borrowed device, on kernels where one domain serves
 * all PCI devices below it.
 */

#include <linux/irq.h>
#include <linux/irqdomain.h>
#include <linux/msi.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "borrowed.h"
#include "irq.h"

/* Any context; irq_desc lock held. */
static void lend_msi_compose(struct irq_data *data, struct msi_msg *msg)
{
	struct msi_domain_info *info = data->domain->host_data;

	lend_msi_compose_for(info->data, data, msg);
}

/*
 * Interrupt remapping checks the requester ID of a message, and that is the
 * NTB function's: let it think that the function asks for the vector itself.
 */
static void lend_msi_set_desc(msi_alloc_info_t *arg, struct msi_desc *desc)
{
	struct pci_dev *pdev = msi_desc_to_pci_dev(desc);
	struct borrowed_device *b = lend_borrowed_of(pdev);

	arg->desc = &b->msi_desc;
	arg->hwirq = (irq_hw_number_t)desc->msi_index | pci_dev_id(pdev) << 11 |
		     (irq_hw_number_t)pci_domain_nr(pdev->bus) << 27;
}

/* Creating a domain fills in what is missing, each time the same. */
static struct msi_domain_ops lend_msi_ops = {
	.set_desc = lend_msi_set_desc,
	.msi_prepare = pci_msi_prepare,
};

static const struct irq_chip lend_msi_chip = {
	.name = "NTB-LEND",
	.irq_ack = irq_chip_ack_parent,
	.irq_set_affinity = lend_msi_set_affinity,
	.irq_retrigger = irq_chip_retrigger_hierarchy,
	.irq_compose_msi_msg = lend_msi_compose,
	.flags = IRQCHIP_SKIP_SET_WAKE | IRQCHIP_AFFINITY_PRE_STARTUP,
};

/**
 * struct lend_msi_domain - what a domain is made from
 * @info: what the domain knows
 * @chip: of @info
 */
struct lend_msi_domain {
	struct msi_domain_info info;
	struct irq_chip chip;
};

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
	struct lend_msi_domain *d = kzalloc(sizeof(*d), GFP_KERNEL);
	struct msi_domain_info *info;
	struct irq_domain *domain;

	if (!d)
		return NULL;
	d->chip = lend_msi_chip;
	if (b->msi_relayed)
		lend_msi_relay_chip(&d->chip);
	info = &d->info;
	info->flags = MSI_FLAG_USE_DEF_DOM_OPS | MSI_FLAG_USE_DEF_CHIP_OPS | MSI_FLAG_PCI_MSIX;
	if (lend_msi_has_rows(b, parent))
		info->flags |= MSI_FLAG_MULTI_PCI_MSI;
	info->ops = &lend_msi_ops;
	info->chip = &d->chip;
	info->data = b;
	info->handler = handle_edge_irq;
	info->handler_name = "edge";
	domain = pci_msi_create_irq_domain(fwnode, info, parent);
	if (domain)
		b->msi_info = d;
	else
		kfree(d);
	return domain;
}
