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

/**
 * lend_msi_compose_for() - make the message of an interrupt of a borrowed device
 * @b: the borrowed device
 * @data: the interrupt at the level of our domain
 * @msg: result
 *
 * Context: any; irq_desc lock held.
 */
void lend_msi_compose_for(struct lend_borrowed *b, struct irq_data *data, struct msi_msg *msg)
{
	struct irq_data *parent;
	u64 addr;

	/* The nearest parent that can compose wins. */
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

/* The domain that the NTB function's own interrupts come from, or NULL. */
static struct irq_domain *lend_msi_ntb_parent(struct device *ntb)
{
	struct irq_domain *domain = dev_get_msi_domain(ntb);

	/* Kernels without domains of single devices have one of PCI in between. */
	if (domain && domain->bus_token == DOMAIN_BUS_PCI_MSI)
		domain = domain->parent;
	return domain;
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
	struct irq_domain *parent = lend_msi_ntb_parent(ntb);
	struct fwnode_handle *fwnode;

	if (!parent)
		return -ENODEV;
	fwnode = irq_domain_alloc_named_id_fwnode("NTB-LEND", b->id);
	if (!fwnode)
		return -ENOMEM;

	b->msi_desc.dev = ntb;
	b->msi_relayed = lend_msi_needs_relay(b);
	b->msi_domain = lend_msi_domain_create(b, fwnode, parent);
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
	lend_msi_domain_remove(b->msi_domain);
	irq_domain_free_fwnode(fwnode);
	b->msi_domain = NULL;
}
