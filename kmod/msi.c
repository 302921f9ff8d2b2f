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

/* The message of the nearest level that can compose one, from @data on. */
static void lend_msi_compose_from(struct irq_data *data, struct msi_msg *msg)
{
	for (; data; data = data->parent_data) {
		if (data->chip && data->chip->irq_compose_msi_msg) {
			data->chip->irq_compose_msi_msg(data, msg);
			return;
		}
	}
}

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
	u64 addr;

	lend_msi_compose_from(data->parent_data, msg);
	/* The DMA window shows the interrupt controller, if any does. */
	addr = b->views.view[0].bus + ((u64)msg->address_hi << 32 | msg->address_lo);
	msg->address_hi = upper_32_bits(addr);
	msg->address_lo = lower_32_bits(addr);
}

/**
 * lend_msi_set_affinity() - move an interrupt of a borrowed device to another CPU
 * @data: the interrupt at the level of the device's domain
 * @mask: the CPUs to choose from
 * @force: also those that are not online
 *
 * Without interrupt remapping the message changes, its address before its data.
 * Where it cannot be masked meanwhile, the device may send it half changed, and
 * nobody gets it: an interrupt of our own stands in for it. If none got lost, it
 * is one that handlers find nothing to do for.
 *
 * Context: any; irq_desc lock held.
 * Return: as irq_set_affinity of &struct irq_chip.
 */
int lend_msi_set_affinity(struct irq_data *data, const struct cpumask *mask, bool force)
{
	int ret = irq_chip_set_affinity_parent(data, mask, force);
	struct msi_desc *desc = irq_data_get_msi_desc(data);
	struct msi_msg old = desc->msg, msg = {};

	if (ret < 0 || ret == IRQ_SET_MASK_OK_DONE)
		return ret;
	lend_msi_compose_from(data, &msg);
	data->chip->irq_write_msi_msg(data, &msg);
	if (!desc->pci.msi_attrib.is_msix && !desc->pci.msi_attrib.can_mask &&
	    desc->msg.address_lo != old.address_lo && desc->msg.data != old.data &&
	    irqd_is_started(data))
		irq_chip_retrigger_hierarchy(data);
	return ret;
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
