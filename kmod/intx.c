// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts of borrowed devices that the owner relays. INTx: the owner takes
 * it, masks it, and relays it; when the driver here has handled it, the owner
 * lets the device go on.
 */

#include <linux/irq.h>
#include <linux/irqdesc.h>
#include <linux/irqdomain.h>
#include <linux/pci.h>

#include "borrowed.h"
#include "channel.h"
#include "link.h"
#include "relay.h"
#include "sequence.h"

/**
 * lend_borrowed_listen() - have an interrupt relayed by the owner
 * @b: the borrowed device
 * @sink: level and deliver are filled in
 * @irq: LEND_IRQ() of which
 *
 * Context: process.
 * Return: 0; -EPROTO the owner's answer cannot be; or what lend_channel_call()
 * says.
 */
int lend_borrowed_listen(struct lend_borrowed *b, struct lend_sink *sink, u32 irq)
{
	struct lend_call call = {
		.op = LEND_OP_IRQ_OPEN, .handle = b->remote_id, .epoch = b->epoch, .arg = irq,
	};
	int ret;

	ret = lend_channel_call(b->link, &call);
	if (ret) {
		dev_warn(&b->link->ntb->dev,
			 "borrowed device %u: the owner does not relay its interrupt: %d\n",
			 b->id, ret);
		return ret;
	}
	sink->link = b->link;
	sink->tag = lend_relay_tag(b->epoch);
	sink->slot = min_t(u64, call.val[LEND_IRQ_SLOT], LEND_RELAYS);
	sink->seen = call.val[LEND_IRQ_COUNT];
	ret = lend_sink_add(sink);
	if (ret) {
		call.op = LEND_OP_IRQ_CLOSE;
		lend_channel_call(b->link, &call);
	}
	return ret;
}

/**
 * lend_borrowed_unlisten() - have it relayed no longer
 * @b: the borrowed device
 * @sink: what lend_borrowed_listen() has filled in
 * @irq: LEND_IRQ() of which
 *
 * Context: process.
 */
void lend_borrowed_unlisten(struct lend_borrowed *b, struct lend_sink *sink, u32 irq)
{
	struct lend_call call = {
		.op = LEND_OP_IRQ_CLOSE, .handle = b->remote_id, .epoch = b->epoch, .arg = irq,
	};

	/* An owner that does not hear it stops when the device is detached. */
	lend_channel_call(b->link, &call);
	lend_sink_remove(sink);
}

/* Interrupt context. */
static void lend_intx_deliver(struct lend_sink *sink)
{
	struct lend_borrowed *b = container_of(sink, struct lend_borrowed, intx);

	generic_handle_irq_safe(b->intx_irq);
}

/* Process context: a driver requests the interrupt. */
static int lend_intx_request(struct irq_data *data)
{
	struct lend_borrowed *b = irq_data_get_irq_chip_data(data);

	b->intx.level = true;
	b->intx.deliver = lend_intx_deliver;
	return lend_borrowed_listen(b, &b->intx, LEND_IRQ(LEND_IRQ_INTX, 0));
}

/* Process context: it has freed the interrupt. */
static void lend_intx_release(struct irq_data *data)
{
	struct lend_borrowed *b = irq_data_get_irq_chip_data(data);

	lend_borrowed_unlisten(b, &b->intx, LEND_IRQ(LEND_IRQ_INTX, 0));
}

/* It is masked at the owner since it was raised: that is what "level" needs. */
static void lend_intx_mask(struct irq_data *data)
{
}

/* Any context; irq_desc lock held. */
static void lend_intx_unmask(struct irq_data *data)
{
	struct lend_borrowed *b = irq_data_get_irq_chip_data(data);

	lend_sink_handled(&b->intx);
}

static struct irq_chip lend_intx_chip = {
	.name = "NTB-LEND-INTx",
	.irq_request_resources = lend_intx_request,
	.irq_release_resources = lend_intx_release,
	.irq_mask = lend_intx_mask,
	.irq_unmask = lend_intx_unmask,
	.flags = IRQCHIP_SKIP_SET_WAKE,
};

static int lend_intx_map(struct irq_domain *domain, unsigned int irq, irq_hw_number_t hwirq)
{
	irq_set_chip_data(irq, domain->host_data);
	irq_set_chip_and_handler(irq, &lend_intx_chip, handle_level_irq);
	irq_set_status_flags(irq, IRQ_LEVEL);
	irq_set_noprobe(irq);
	return 0;
}

static const struct irq_domain_ops lend_intx_ops = {
	.map = lend_intx_map,
};

/**
 * lend_intx_adopt() - give a borrowed device its interrupt line
 * @pdev: the function, before any driver is bound
 *
 * Without one it has what the owner can relay no INTx for: drivers that need it
 * find that out when they request interrupt 0.
 *
 * Context: process.
 */
void lend_intx_adopt(struct pci_dev *pdev)
{
	struct lend_borrowed *b = lend_borrowed_of(pdev);
	struct fwnode_handle *fwnode;

	pdev->irq = 0;
	if (!pdev->pin || b->intx_domain)
		return;
	fwnode = irq_domain_alloc_named_id_fwnode("NTB-LEND-INTx", b->id);
	if (!fwnode)
		return;
	b->intx_domain = irq_domain_create_linear(fwnode, 1, &lend_intx_ops, b);
	if (!b->intx_domain) {
		irq_domain_free_fwnode(fwnode);
		return;
	}
	b->intx_irq = irq_create_mapping(b->intx_domain, 0);
	if (!b->intx_irq) {
		dev_warn(&pdev->dev, "no interrupt number left for INTx\n");
		return;
	}
	pdev->irq = b->intx_irq;
	/* Else ACPI would look for the line and complain: it is none of its own. */
	pdev->pin = 0;
	pci_write_config_byte(pdev, PCI_INTERRUPT_LINE, pdev->irq);
}

/**
 * lend_intx_exit() - free what lend_intx_adopt() made
 * @b: the borrowed device, without interrupts
 *
 * Context: process.
 */
void lend_intx_exit(struct lend_borrowed *b)
{
	struct fwnode_handle *fwnode;

	if (!b->intx_domain)
		return;
	fwnode = b->intx_domain->fwnode;
	irq_dispose_mapping(b->intx_irq);
	irq_domain_remove(b->intx_domain);
	irq_domain_free_fwnode(fwnode);
	b->intx_domain = NULL;
}
