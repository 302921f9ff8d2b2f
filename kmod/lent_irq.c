// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owner side: interrupts of lent devices that are taken here and relayed.
 *
 * INTx is level-triggered and shared: it is masked in the function when it
 * comes, and stays so until the borrower has handled it. While nobody listens
 * it is masked too, for the sake of whoever shares the line.
 *
 * MSI and MSI-X come here where they cannot reach the borrower by themselves.
 * Their table in the device's BAR is then written by this host, but for the mask
 * bits, which the borrower's kernel sets through the window as it needs them.
 */

#include <linux/interrupt.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "filter.h"
#include "lent.h"
#include "lent_irq.h"
#include "serve.h"

/* Lock held. */
static void lend_intx_mask(struct lend_lent_intx *intx)
{
	u16 command;

	if (!intx->maskable && !intx->line_off && intx->level.active) {
		intx->line_off = true;
		disable_irq_nosync(intx->pdev->irq);
	}
	if (!pci_read_config_word(intx->pdev, PCI_COMMAND, &command) &&
	    !(command & PCI_COMMAND_INTX_DISABLE))
		pci_write_config_word(intx->pdev, PCI_COMMAND,
				      command | PCI_COMMAND_INTX_DISABLE);
}

/* Lock held. Lets the device interrupt, or raises again what is still pending. */
static void lend_intx_unmask(struct lend_lent_intx *intx)
{
	u16 command;

	if (!intx->maskable) {
		if (!pci_read_config_word(intx->pdev, PCI_COMMAND, &command))
			pci_write_config_word(intx->pdev, PCI_COMMAND,
					      command & ~PCI_COMMAND_INTX_DISABLE);
		if (intx->line_off) {
			intx->line_off = false;
			enable_irq(intx->pdev->irq);
		}
		return;
	}
	if (!pci_check_and_unmask_intx(intx->pdev)) {
		intx->level.waiting = true;
		lend_source_raise(&intx->source);
	}
}

/* Hard interrupt; the line may be shared. */
static irqreturn_t lend_intx_handler(int irq, void *data)
{
	struct lend_lent_intx *intx = data;
	irqreturn_t ret = IRQ_NONE;
	unsigned long flags;

	spin_lock_irqsave(&intx->lock, flags);
	if (lend_level_open(&intx->level) &&
	    (!intx->maskable || pci_check_and_mask_intx(intx->pdev))) {
		if (!intx->maskable)
			lend_intx_mask(intx);
		intx->level.waiting = true;
		lend_source_raise(&intx->source);
		ret = IRQ_HANDLED;
	}
	spin_unlock_irqrestore(&intx->lock, flags);
	return ret;
}

/* Interrupt context: what the borrower says, which may be anything. */
static void lend_intx_handled(struct lend_source *source, u32 count)
{
	struct lend_lent_intx *intx = container_of(source, struct lend_lent_intx, source);
	unsigned long flags;

	spin_lock_irqsave(&intx->lock, flags);
	if (lend_level_handled(&intx->level, source->count, count))
		lend_intx_unmask(intx);
	spin_unlock_irqrestore(&intx->lock, flags);
}

/* Process context, @lent->lock held. */
static int lend_intx_start(struct lend_lent *lent)
{
	struct lend_lent_intx *intx = &lent->intx;
	int ret;

	if (intx->level.active)
		return -EBUSY;
	if (!lend_lent_intx_pin(lent))
		return -ENODEV;
	intx->source.link = lent->link;
	intx->source.tag = lend_relay_tag(lent->epoch);
	intx->source.handled = lend_intx_handled;
	ret = lend_source_add(&intx->source);
	if (ret)
		return ret;

	/* A line that is ours alone stays off until the borrower says "handled". */
	intx->line_off = !intx->maskable;
	ret = request_irq(lent->pdev->irq, lend_intx_handler,
			  intx->maskable ? IRQF_SHARED : IRQF_NO_AUTOEN, "ntb_lend", intx);
	if (ret) {
		pci_warn(lent->pdev, "cannot relay INTx: %d%s\n", ret,
			 intx->maskable ? "" : ": it cannot be masked, and the line is shared");
		lend_source_remove(&intx->source);
		return ret;
	}
	spin_lock_irq(&intx->lock);
	intx->level.waiting = true;
	intx->level.active = true;
	spin_unlock_irq(&intx->lock);
	return 0;
}

/* Process context, @lent->lock or the device lock held. */
static void lend_intx_stop(struct lend_lent *lent)
{
	struct lend_lent_intx *intx = &lent->intx;
	bool active;

	spin_lock_irq(&intx->lock);
	active = intx->level.active;
	if (active)
		lend_intx_mask(intx);
	intx->level.active = false;
	spin_unlock_irq(&intx->lock);
	if (!active)
		return;
	free_irq(lent->pdev->irq, intx);
	lend_source_remove(&intx->source);
}

/* Hard interrupt. */
static irqreturn_t lend_vector_handler(int irq, void *data)
{
	lend_source_raise(data);
	return IRQ_HANDLED;
}

/* Process context, @lent->lock held. */
static int lend_vectors_alloc(struct lend_lent *lent, enum lend_irq_kind kind)
{
	struct pci_dev *pdev = lent->pdev;
	int max, count;

	if (lent->vectors.count)
		return lent->vectors.kind == kind ? 0 : -EBUSY;
	max = kind == LEND_IRQ_MSIX ? pci_msix_vec_count(pdev) : pci_msi_vec_count(pdev);
	if (max <= 0)
		return -EINVAL;
	count = pci_alloc_irq_vectors(pdev, 1, min(max, LEND_RELAYS),
				      kind == LEND_IRQ_MSIX ? PCI_IRQ_MSIX : PCI_IRQ_MSI);
	if (count < 0)
		return count;
	lent->vectors.kind = kind;
	lent->vectors.count = count;
	return 0;
}

/* Process context, @lent->lock or the device lock held. */
static void lend_vectors_free(struct lend_lent *lent)
{
	if (!lent->vectors.count)
		return;
	pci_free_irq_vectors(lent->pdev);
	lent->vectors.count = 0;
	/* The PCI core has unmasked INTx. */
	spin_lock_irq(&lent->intx.lock);
	if (!lend_level_open(&lent->intx.level))
		lend_intx_mask(&lent->intx);
	spin_unlock_irq(&lent->intx.lock);
}

/* Process context, @lent->lock held. */
static int lend_vector_start(struct lend_lent *lent, enum lend_irq_kind kind, u32 index,
			     struct lend_source **out)
{
	struct lend_source *source;
	int ret;

	ret = lend_vectors_alloc(lent, kind);
	if (ret)
		return ret;
	if (index >= lent->vectors.count)
		return -ENOSPC;
	if (xa_load(&lent->vectors.open, index))
		return -EBUSY;
	source = kzalloc(sizeof(*source), GFP_KERNEL);
	if (!source)
		return -ENOMEM;
	source->link = lent->link;
	source->tag = lend_relay_tag(lent->epoch);
	ret = lend_source_add(source);
	if (ret)
		goto free;
	ret = xa_err(xa_store(&lent->vectors.open, index, source, GFP_KERNEL));
	if (ret)
		goto remove;
	ret = request_irq(pci_irq_vector(lent->pdev, index), lend_vector_handler, 0, "ntb_lend",
			  source);
	if (ret)
		goto erase;
	*out = source;
	return 0;
erase:
	xa_erase(&lent->vectors.open, index);
remove:
	lend_source_remove(source);
free:
	kfree(source);
	return ret;
}

/* Process context, @lent->lock or the device lock held. */
static void lend_vector_stop(struct lend_lent *lent, u32 index)
{
	struct lend_source *source = xa_erase(&lent->vectors.open, index);

	if (!source)
		return;
	free_irq(pci_irq_vector(lent->pdev, index), source);
	lend_source_remove(source);
	kfree(source);
}

/* Process context, @lent->lock or the device lock held. */
static void lend_vectors_stop(struct lend_lent *lent)
{
	struct lend_source *source;
	unsigned long index;

	xa_for_each(&lent->vectors.open, index, source)
		lend_vector_stop(lent, index);
	lend_vectors_free(lent);
}

/**
 * lend_lent_intx_pin() - which interrupt pin the borrower is shown
 * @lent: the lent device
 *
 * Context: process.
 * Return: 0 when the device has none, or when this host has no line for it.
 */
u8 lend_lent_intx_pin(struct lend_lent *lent)
{
	return lent->pdev->irq && lent->pdev->irq != IRQ_NOTCONNECTED ? lent->pdev->pin : 0;
}

/**
 * lend_lent_command_shown() - the command register as the borrower shall see it
 * @lent: the lent device
 * @where: offset of the access
 * @size: octets of it
 * @raw: what the device says
 *
 * Context: any.
 */
u32 lend_lent_command_shown(struct lend_lent *lent, u32 where, u32 size, u32 raw)
{
	u32 bit = lend_part(PCI_COMMAND_INTX_DISABLE, where, size);

	return READ_ONCE(lent->intx.level.off) ? raw | bit : raw & ~bit;
}

/**
 * lend_lent_command_write() - write what the filter allows to the command register
 * @lent: the lent device
 * @where: offset of the access
 * @size: octets of it
 * @value: what the borrower wants to write
 *
 * The INTx disable bit of the device belongs to the relay, which puts the
 * borrower's wish together with its own.
 *
 * Context: process; caller holds @lent->lock.
 * Return: 0, or what the configuration access says.
 */
int lend_lent_command_write(struct lend_lent *lent, u32 where, u32 size, u32 value)
{
	u32 bit = lend_part(PCI_COMMAND_INTX_DISABLE, where, size), raw, to;
	struct lend_lent_intx *intx = &lent->intx;
	bool was, off = value & bit;
	int ret;

	spin_lock_irq(&intx->lock);
	ret = lend_raw_read(lent->pdev, where, size, &raw);
	if (!ret) {
		to = lend_filter_write(lent->filter, where, size, raw, value);
		ret = lend_raw_write(lent->pdev, where, size, (to & ~bit) | (raw & bit));
	}
	if (!ret && bit) {
		was = intx->level.off;
		intx->level.off = off;
		if (off && !was)
			lend_intx_mask(intx);
		else if (was && lend_level_open(&intx->level))
			lend_intx_unmask(intx);
	}
	spin_unlock_irq(&intx->lock);
	return ret;
}

static enum lend_status lend_irq_status(int ret)
{
	switch (ret) {
	case 0:
		return LEND_OK;
	case -EBUSY:
		return LEND_ERR_BUSY;
	case -EINVAL:
		return LEND_ERR_INVALID;
	default:
		return LEND_ERR_DEVICE;
	}
}

/**
 * lend_lent_irq_open() - the borrower wants an interrupt relayed
 * @lent: the lent device
 * @arg: LEND_IRQ() of which; nothing in it is trusted
 * @resp: val is filled in
 *
 * Context: process; caller holds @lent->lock.
 * Return: what to answer.
 */
enum lend_status lend_lent_irq_open(struct lend_lent *lent, u32 arg, struct lend_response *resp)
{
	u32 kind = LEND_IRQ_KIND(arg), index = LEND_IRQ_INDEX(arg);
	struct lend_source *source = &lent->intx.source;
	int ret;

	if (kind >= LEND_IRQ_KINDS)
		return LEND_ERR_INVALID;
	if (kind != LEND_IRQ_INTX)
		ret = lend_vector_start(lent, kind, index, &source);
	else
		ret = index ? -EINVAL : lend_intx_start(lent);
	if (ret)
		return lend_irq_status(ret);
	resp->val[LEND_IRQ_SLOT] = cpu_to_le64(source->slot);
	resp->val[LEND_IRQ_COUNT] = cpu_to_le64(source->start);
	return LEND_OK;
}

/**
 * lend_lent_irq_close() - the borrower listens to an interrupt no longer
 * @lent: the lent device
 * @arg: LEND_IRQ() of which; nothing in it is trusted
 *
 * Context: process; caller holds @lent->lock.
 * Return: what to answer.
 */
enum lend_status lend_lent_irq_close(struct lend_lent *lent, u32 arg)
{
	u32 kind = LEND_IRQ_KIND(arg);

	if (kind >= LEND_IRQ_KINDS)
		return LEND_ERR_INVALID;
	if (kind == LEND_IRQ_INTX)
		lend_intx_stop(lent);
	else if (kind == lent->vectors.kind)
		lend_vector_stop(lent, LEND_IRQ_INDEX(arg));
	if (xa_empty(&lent->vectors.open))
		lend_vectors_free(lent);
	return LEND_OK;
}

/**
 * lend_lent_irq_init() - prepare a function that was bound
 * @lent: the function
 *
 * Context: process.
 */
void lend_lent_irq_init(struct lend_lent *lent)
{
	lent->intx.pdev = lent->pdev;
	lent->intx.maskable = pci_intx_mask_supported(lent->pdev);
	spin_lock_init(&lent->intx.lock);
	xa_init(&lent->vectors.open);
}

/**
 * lend_lent_irq_begin() - a lease begins: INTx is masked until someone listens
 * @lent: the lent device, fresh from its reset
 *
 * Context: process; caller holds @lent->lock.
 */
void lend_lent_irq_begin(struct lend_lent *lent)
{
	spin_lock_irq(&lent->intx.lock);
	lent->intx.level = (struct lend_level) {};
	lend_intx_mask(&lent->intx);
	spin_unlock_irq(&lent->intx.lock);
}

/**
 * lend_lent_irq_stop() - relay nothing any more
 * @lent: the lent device
 *
 * Context: process; caller holds @lent->lock or the device lock.
 */
void lend_lent_irq_stop(struct lend_lent *lent)
{
	lend_intx_stop(lent);
	lend_vectors_stop(lent);
}
