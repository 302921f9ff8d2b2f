// SPDX-License-Identifier: GPL-2.0-only
/*
 * MSI and MSI-X of borrowed devices where no window reaches this host's
 * interrupt controller: the owner takes the messages and relays them. Each
 * still has a vector of a CPU here, which is triggered when the owner has
 * counted up: affinity and hot-unplug work as they do without the relay.
 */

#include <linux/irq.h>
#include <linux/irqdomain.h>
#include <linux/moduleparam.h>
#include <linux/msi.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "borrowed.h"
#include "link.h"
#include "relay.h"

/* Where x86 takes messages. */
#define LEND_MSI_BASE	0xfee00000ULL
#define LEND_MSI_SIZE	0x100000ULL

static bool relay_msi;
module_param(relay_msi, bool, 0644);
MODULE_PARM_DESC(relay_msi,
		 "Have MSI relayed by the owner even where a window reaches the interrupt controller (default no)");

/**
 * struct lend_msi_sink - one relayed message
 * @sink: what the owner raises
 * @irq: interrupt number
 */
struct lend_msi_sink {
	struct lend_sink sink;
	unsigned int irq;
};

/**
 * lend_msi_needs_relay() - can the device not interrupt this host itself
 * @b: the borrowed device, opened
 *
 * Context: process.
 */
bool lend_msi_needs_relay(const struct lend_borrowed *b)
{
	const struct lend_window *win = &b->link->win[b->link->dma_win];
	u64 shown = b->views.view[0].size;

	return READ_ONCE(relay_msi) || LEND_MSI_BASE < win->inbound_base ||
	       LEND_MSI_BASE + LEND_MSI_SIZE - win->inbound_base > shown;
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
bool lend_msi_has_rows(const struct lend_borrowed *b, const struct irq_domain *parent)
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

static struct lend_borrowed *lend_msi_borrowed(struct irq_data *data)
{
	return lend_borrowed_of(msi_desc_to_pci_dev(irq_data_get_msi_desc(data)));
}

/* Process context: a driver requests the interrupt. */
static int lend_msi_request(struct irq_data *data)
{
	struct lend_borrowed *b = lend_msi_borrowed(data);
	struct lend_msi_sink *s = kzalloc(sizeof(*s), GFP_KERNEL);
	int ret;

	if (!s)
		return -ENOMEM;
	s->irq = data->irq;
	s->sink.deliver = lend_msi_deliver;
	ret = xa_err(xa_store(&b->msi_sinks, data->irq, s, GFP_KERNEL));
	if (ret)
		goto free;
	ret = lend_borrowed_listen(b, &s->sink, lend_msi_which(data));
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
	struct lend_borrowed *b = lend_msi_borrowed(data);
	struct lend_msi_sink *s = xa_erase(&b->msi_sinks, data->irq);

	if (!s)
		return;
	lend_borrowed_unlisten(b, &s->sink, lend_msi_which(data));
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
