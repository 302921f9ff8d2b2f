// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts of borrowed devices.
 *
 * MSI and MSI-X messages are those that the NTB function itself would send, moved
 * into the owner's window, so that they arrive here straight through the bridge.
 *
 * Where no window reaches this host's interrupt controller, the owner takes the
 * messages and relays them. Each still has a vector of a CPU here, which is
 * triggered when the owner has counted up: affinity and hot-unplug work as they do
 * without the relay.
 *
 * INTx: the owner takes it, masks it, and relays it; when the driver here has
 * handled it, the owner lets the device go on.
 *
 * Called by borrower.c for the device's life, by the interrupt core, and by the
 * domain of messages, whose stacking differs between kernels: irq_msi_domain.c or
 * irq_msi_parent.c. No lock of its own.
 */

#include <linux/irq.h>
#include <linux/irqdesc.h>
#include <linux/irqdomain.h>
#include <linux/moduleparam.h>
#include <linux/msi.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "borrowed.h"
#include "channel.h"
#include "irq.h"
#include "link.h"
#include "relay.h"
#include "sequence.h"

/* Where x86 takes messages. */
#define LEND_MSI_BASE	0xfee00000ULL
#define LEND_MSI_SIZE	0x100000ULL

static bool relay_msi;
module_param(relay_msi, bool, 0644);
MODULE_PARM_DESC(relay_msi,
		 "Have MSI relayed by the owner even where a window reaches the interrupt controller (default no)");

/*
 * Process context. Has an interrupt relayed by the owner: @sink has level and
 * deliver filled in, @irq is LEND_IRQ() of which. Returns 0; -EPROTO the owner's
 * answer cannot be; or what lend_channel_call() says.
 */
static int lend_irq_listen(struct borrowed_device *b, struct lend_sink *sink, u32 irq)
{
	struct lend_call call = {
		.op = LEND_OP_IRQ_OPEN, .handle = b->remote_id, .epoch = b->epoch, .arg = irq,
	};
	int ret;

	ret = lend_channel_call(&b->link->channel, &call);
	if (ret) {
		dev_warn(&b->link->ntb->dev,
			 "borrowed device %u: the owner does not relay its interrupt: %d\n",
			 b->object.id, ret);
		return ret;
	}
	sink->relay = b->link->relay;
	sink->tag = lend_relay_tag(b->epoch);
	sink->slot = min_t(u64, call.val[LEND_IRQ_SLOT], LEND_RELAYS);
	sink->seen = call.val[LEND_IRQ_COUNT];
	ret = lend_sink_add(sink);
	if (ret) {
		call.op = LEND_OP_IRQ_CLOSE;
		lend_channel_call(&b->link->channel, &call);
	}
	return ret;
}

/* Process context. @sink: what lend_irq_listen() has filled in. */
static void lend_irq_unlisten(struct borrowed_device *b, struct lend_sink *sink, u32 irq)
{
	struct lend_call call = {
		.op = LEND_OP_IRQ_CLOSE, .handle = b->remote_id, .epoch = b->epoch, .arg = irq,
	};

	/* An owner that does not hear it stops when the device is detached. */
	lend_channel_call(&b->link->channel, &call);
	lend_sink_remove(sink);
}

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
void lend_msi_compose_for(struct borrowed_device *b, struct irq_data *data, struct msi_msg *msg)
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

/**
 * struct lend_msi_sink - one relayed message
 * @sink: what the owner raises
 * @irq: interrupt number
 */
struct lend_msi_sink {
	struct lend_sink sink;
	unsigned int irq;
};

/* Process context; the device is opened. Can it not interrupt this host itself? */
static bool lend_msi_needs_relay(const struct borrowed_device *b)
{
	const struct lend_window *win = &b->link->windows.win[b->link->windows.dma];
	u64 shown = b->views.view[0].size;

	return READ_ONCE(relay_msi) || LEND_MSI_BASE < win->inbound_base ||
	       LEND_MSI_BASE + LEND_MSI_SIZE - win->inbound_base > shown;
}

/**
 * lend_msi_region() - where the messages of a device go
 * @b: the borrowed device
 * @region: result, in addresses of ours
 *
 * Context: any.
 * Return: false: to its owner.
 */
bool lend_msi_region(const struct borrowed_device *b, struct lend_region *region)
{
	*region = (struct lend_region) { .first = LEND_MSI_BASE, .size = LEND_MSI_SIZE };
	return !b->msi_relayed;
}

/**
 * lend_msi_has_rows() - may a device have several vectors of MSI
 * @b: the borrowed device
 * @parent: the domain of the NTB function
 *
 * They must be in a row, which is what interrupt remapping gives, and no bare
 * vector domain, which has nothing below it.
 *
 * Context: process.
 */
bool lend_msi_has_rows(const struct borrowed_device *b, const struct irq_domain *parent)
{
	return parent->parent && !b->msi_relayed;
}

/* Interrupt context. */
static void lend_msi_deliver(struct lend_sink *sink)
{
	struct lend_msi_sink *s = container_of(sink, struct lend_msi_sink, sink);
	struct irq_data *data = irq_get_irq_data(s->irq);

	if (data && irqd_is_activated(data))
		irq_chip_retrigger_hierarchy(data);
	else
		/* It has no vector yet: not seen, so that the next look finds it. */
		WRITE_ONCE(sink->seen, sink->seen - 1);
}

static u32 lend_msi_which(struct irq_data *data)
{
	struct msi_desc *desc = irq_data_get_msi_desc(data);

	return LEND_IRQ(desc->pci.msi_attrib.is_msix ? LEND_IRQ_MSIX : LEND_IRQ_MSI,
			desc->msi_index + (data->irq - desc->irq));
}

static struct borrowed_device *lend_msi_borrowed(struct irq_data *data)
{
	return lend_borrowed_of(msi_desc_to_pci_dev(irq_data_get_msi_desc(data)));
}

/* Process context: a driver requests the interrupt. */
static int lend_msi_request(struct irq_data *data)
{
	struct borrowed_device *b = lend_msi_borrowed(data);
	struct lend_msi_sink *s = kzalloc(sizeof(*s), GFP_KERNEL);
	int ret;

	if (!s)
		return -ENOMEM;
	s->irq = data->irq;
	s->sink.deliver = lend_msi_deliver;
	ret = xa_err(xa_store(&b->msi_sinks, data->irq, s, GFP_KERNEL));
	if (ret)
		goto free;
	ret = lend_irq_listen(b, &s->sink, lend_msi_which(data));
	if (ret)
		goto erase;
	return 0;
erase:
	xa_erase(&b->msi_sinks, data->irq);
free:
	kfree(s);
	return ret;
}

/* Process context: it has freed the interrupt. */
static void lend_msi_release(struct irq_data *data)
{
	struct borrowed_device *b = lend_msi_borrowed(data);
	struct lend_msi_sink *s = xa_erase(&b->msi_sinks, data->irq);

	if (!s)
		return;
	lend_irq_unlisten(b, &s->sink, lend_msi_which(data));
	kfree(s);
}

/* The device's messages are the owner's, and go to the owner. */
static void lend_msi_no_message(struct irq_data *data, struct msi_msg *msg)
{
}

/**
 * lend_msi_relay_chip() - make an interrupt chip that of relayed messages
 * @chip: the chip of PCI messages
 *
 * Context: process.
 */
void lend_msi_relay_chip(struct irq_chip *chip)
{
	chip->irq_request_resources = lend_msi_request;
	chip->irq_release_resources = lend_msi_release;
	chip->irq_write_msi_msg = lend_msi_no_message;
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
 * lend_irq_init() - make the interrupt domain of a borrowed device
 * @b: the borrowed device
 * @create: makes one below that of the NTB function, with a name: how they are
 *	stacked differs between kernels
 *
 * Context: process.
 * Return: 0 or a negative errno.
 */
int lend_irq_init(struct borrowed_device *b,
		  struct irq_domain *(*create)(struct borrowed_device *b,
					       struct fwnode_handle *fwnode,
					       struct irq_domain *parent))
{
	struct device *ntb = &b->link->pdev->dev;
	struct irq_domain *parent = lend_msi_ntb_parent(ntb);
	struct fwnode_handle *fwnode;

	if (!parent)
		return -ENODEV;
	fwnode = irq_domain_alloc_named_id_fwnode("NTB-LEND", b->object.id);
	if (!fwnode)
		return -ENOMEM;

	b->msi_desc.dev = ntb;
	b->msi_relayed = lend_msi_needs_relay(b);
	b->msi_domain = create(b, fwnode, parent);
	if (!b->msi_domain) {
		irq_domain_free_fwnode(fwnode);
		return -ENOMEM;
	}
	return 0;
}

/* Interrupt context. */
static void lend_intx_deliver(struct lend_sink *sink)
{
	struct borrowed_device *b = container_of(sink, struct borrowed_device, intx);

	generic_handle_irq_safe(b->intx_irq);
}

/* Process context: a driver requests the interrupt. */
static int lend_intx_request(struct irq_data *data)
{
	struct borrowed_device *b = irq_data_get_irq_chip_data(data);

	b->intx.level = true;
	b->intx.deliver = lend_intx_deliver;
	return lend_irq_listen(b, &b->intx, LEND_IRQ(LEND_IRQ_INTX, 0));
}

/* Process context: it has freed the interrupt. */
static void lend_intx_release(struct irq_data *data)
{
	struct borrowed_device *b = irq_data_get_irq_chip_data(data);

	lend_irq_unlisten(b, &b->intx, LEND_IRQ(LEND_IRQ_INTX, 0));
}

/* It is masked at the owner since it was raised: that is what "level" needs. */
static void lend_intx_mask(struct irq_data *data)
{
}

/* Any context; irq_desc lock held. */
static void lend_intx_unmask(struct irq_data *data)
{
	struct borrowed_device *b = irq_data_get_irq_chip_data(data);

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
 * lend_irq_adopt() - give a borrowed device its interrupt line
 * @pdev: the function, before any driver is bound
 *
 * Without one it has what the owner can relay no INTx for: drivers that need it
 * find that out when they request interrupt 0.
 *
 * Context: process.
 */
void lend_irq_adopt(struct pci_dev *pdev)
{
	struct borrowed_device *b = lend_borrowed_of(pdev);
	struct fwnode_handle *fwnode;

	pdev->irq = 0;
	if (!pdev->pin || b->intx_domain)
		return;
	fwnode = irq_domain_alloc_named_id_fwnode("NTB-LEND-INTx", b->object.id);
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
 * lend_irq_exit() - free what was made for a borrowed device's interrupts
 * @b: the borrowed device, without interrupts
 *
 * Context: process.
 */
void lend_irq_exit(struct borrowed_device *b)
{
	struct fwnode_handle *fwnode;

	if (b->intx_domain) {
		fwnode = b->intx_domain->fwnode;
		irq_dispose_mapping(b->intx_irq);
		irq_domain_remove(b->intx_domain);
		irq_domain_free_fwnode(fwnode);
	}
	if (b->msi_domain) {
		fwnode = b->msi_domain->fwnode;
		irq_domain_remove(b->msi_domain);
		irq_domain_free_fwnode(fwnode);
		kfree(b->msi_info);
	}
}
