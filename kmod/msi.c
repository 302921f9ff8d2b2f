// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts of borrowed devices: MSI and MSI-X messages are those that the
 * NTB function itself would send, moved into the owner's window, so that they
 * arrive here straight through the bridge.
 */

#include <linux/irq.h>
#include <linux/irqdomain.h>
#include <linux/msi.h>
#include <linux/pci.h>

#include "borrowed.h"
#include "link.h"

/* Any context; irq_desc lock held. The nearest parent that can compose wins. */
static void lend_msi_compose(struct irq_data *data, struct msi_msg *msg)
{
	struct msi_domain_info *info = data->domain->host_data;
	struct lend_borrowed *b = info->data;
	struct irq_data *parent;
	u64 addr;

	for (parent = data->parent_data; parent; parent = parent->parent_data) {
		if (parent->chip && parent->chip->irq_compose_msi_msg) {
			parent->chip->irq_compose_msi_msg(parent, msg);
			break;
		}
	}
	addr = b->dma_base + ((u64)msg->address_hi << 32 | msg->address_lo);
	msg->address_hi = upper_32_bits(addr);
	msg->address_lo = lower_32_bits(addr);
}

/*
 * Interrupt remapping checks the requester ID of a message, and that is the
 * NTB function's: let it think that the function asks for the vector itself.
 */
static void lend_msi_set_desc(msi_alloc_info_t *arg, struct msi_desc *desc)
{
	struct pci_dev *pdev = msi_desc_to_pci_dev(desc);
	struct lend_borrowed *b = lend_borrowed_of(pdev);

	arg->desc = &b->msi_desc;
	arg->hwirq = (irq_hw_number_t)desc->msi_index | pci_dev_id(pdev) << 11 |
		     (irq_hw_number_t)pci_domain_nr(pdev->bus) << 27;
}

/**
 * lend_msi_init() - make the interrupt domain of a borrowed device
 * @b: the borrowed device
 *
 * Context: process.
 * Return: 0 or a negative errno.
 */
int lend_msi_init(struct lend_borrowed *b)
{
	struct device *ntb = &b->link->pdev->dev;
	struct irq_domain *parent = dev_get_msi_domain(ntb);
	struct fwnode_handle *fwnode;

	if (!parent)
		return -ENODEV;
	fwnode = irq_domain_alloc_named_id_fwnode("NTB-LEND", b->id);
	if (!fwnode)
		return -ENOMEM;

	b->msi_desc.dev = ntb;
	b->msi_ops.set_desc = lend_msi_set_desc;
	b->msi_ops.msi_prepare = pci_msi_prepare;
	b->msi_chip.name = "NTB-LEND";
	b->msi_chip.irq_ack = irq_chip_ack_parent;
	b->msi_chip.irq_retrigger = irq_chip_retrigger_hierarchy;
	b->msi_chip.irq_compose_msi_msg = lend_msi_compose;
	b->msi_chip.flags = IRQCHIP_SKIP_SET_WAKE | IRQCHIP_AFFINITY_PRE_STARTUP;
	b->msi_info.flags = MSI_FLAG_USE_DEF_DOM_OPS | MSI_FLAG_USE_DEF_CHIP_OPS |
			    MSI_FLAG_PCI_MSIX;
	b->msi_info.ops = &b->msi_ops;
	b->msi_info.chip = &b->msi_chip;
	b->msi_info.data = b;
	b->msi_info.handler = handle_edge_irq;
	b->msi_info.handler_name = "edge";

	b->msi_domain = pci_msi_create_irq_domain(fwnode, &b->msi_info, parent);
	if (!b->msi_domain) {
		irq_domain_free_fwnode(fwnode);
		return -ENOMEM;
	}
	return 0;
}

/**
 * lend_msi_exit() - free what lend_msi_init() made
 * @b: the borrowed device, without interrupts
 *
 * Context: process.
 */
void lend_msi_exit(struct lend_borrowed *b)
{
	struct fwnode_handle *fwnode;

	if (!b->msi_domain)
		return;
	fwnode = b->msi_domain->fwnode;
	irq_domain_remove(b->msi_domain);
	irq_domain_free_fwnode(fwnode);
	b->msi_domain = NULL;
}
