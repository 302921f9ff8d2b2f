// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owner side: INTx of lent devices, taken here and relayed, and their command register.
 *
 * INTx is level-triggered and shared: it is masked in the function when it
 * comes, and stays so until the borrower has handled it. While nobody listens
 * it is masked too, for the sake of whoever shares the line. So the INTx disable bit of
 * the command register belongs to the relay. Who changes that register while the device
 * may interrupt holds owner_intx.lock.
 *
 * Called by owner_irq.c, owner_vectors.c, and for the command register by lease.c,
 * owner_serve.c and owner_flr.c. Locks: the lent device's lock, held by the caller;
 * owner_intx.lock, in hard interrupts.
 */

#include <linux/interrupt.h>
#include <linux/pci.h>

#include "filter.h"
#include "owner_config.h"
#include "owner_intx.h"
#include "owner_relayed.h"
#include "owner_source.h"

/* Lock held. */
static void owner_intx_mask(struct owner_intx *intx)
{
	u16 command;

	if (!intx->maskable && !intx->line_off && intx->level.active) {
		intx->line_off = true;
		disable_irq_nosync(intx->line);
	}
	if (!pci_read_config_word(intx->pdev, PCI_COMMAND, &command) &&
	    !(command & PCI_COMMAND_INTX_DISABLE))
		pci_write_config_word(intx->pdev, PCI_COMMAND,
				      command | PCI_COMMAND_INTX_DISABLE);
}

/* Lock held; the device is masked. Raises its INTx at the borrower. */
static void owner_intx_raise(struct owner_intx *intx)
{
	intx->level.waiting = true;
	lend_source_raise(&intx->source->source);
	if (!owner_source_floods(&intx->source->source))
		return;
	intx->level.held = true;
	owner_source_hold(container_of(intx, struct owner_irq, intx));
}

/* Lock held. Lets the device interrupt, or raises again what is still pending. */
static void owner_intx_unmask(struct owner_intx *intx)
{
	u16 command;

	if (!intx->maskable) {
		if (!pci_read_config_word(intx->pdev, PCI_COMMAND, &command))
			pci_write_config_word(intx->pdev, PCI_COMMAND,
					      command & ~PCI_COMMAND_INTX_DISABLE);
		if (intx->line_off) {
			intx->line_off = false;
			enable_irq(intx->line);
		}
		return;
	}
	if (!pci_check_and_unmask_intx(intx->pdev))
		owner_intx_raise(intx);
}

/* Hard interrupt; the line may be shared. */
static irqreturn_t owner_intx_handler(int irq, void *data)
{
	struct owner_intx *intx = data;
	unsigned long flags;
	bool open, ours;

	spin_lock_irqsave(&intx->lock, flags);
	open = lend_level_open(&intx->level);
	/* The PCI core unmasks it as messages are freed: then it is only masked again. */
	ours = intx->maskable ? pci_check_and_mask_intx(intx->pdev) : open;
	if (ours && open) {
		if (!intx->maskable)
			owner_intx_mask(intx);
		owner_intx_raise(intx);
	}
	spin_unlock_irqrestore(&intx->lock, flags);
	return IRQ_RETVAL(ours);
}

/* Interrupt context: what the borrower says, which may be anything. */
static void owner_intx_handled(struct lend_source *source, u32 count)
{
	struct owner_source *s = container_of(source, struct owner_source, source);
	struct owner_intx *intx = &s->owner->intx;
	unsigned long flags;

	spin_lock_irqsave(&intx->lock, flags);
	/* It may have been closed meanwhile, and another opened. */
	if (intx->source == s && lend_level_handled(&intx->level, source->count, count))
		owner_intx_unmask(intx);
	spin_unlock_irqrestore(&intx->lock, flags);
}

/**
 * owner_intx_start() - relay INTx
 * @irq: interrupts of the device
 * @out: what is raised
 * @closed: gets what is for owner_source_release()
 *
 * Context: process; caller holds the lent device's lock.
 * Return: 0; -EBUSY relayed already; -ENODEV it has none; or another negative errno.
 */
int owner_intx_start(struct owner_irq *irq, struct owner_source **out, struct list_head *closed)
{
	struct owner_intx *intx = &irq->intx;
	struct owner_source *s;
	int ret;

	if (intx->level.active)
		return -EBUSY;
	if (!owner_intx_pin(irq))
		return -ENODEV;
	if (intx->refused)
		return intx->refused;
	s = owner_source_open(irq, owner_intx_handled);
	if (IS_ERR(s))
		return PTR_ERR(s);

	/* A line that is ours alone stays off until the borrower says "handled". */
	intx->line_off = !intx->maskable;
	ret = request_irq(intx->line, owner_intx_handler,
			  intx->maskable ? IRQF_SHARED : IRQF_NO_AUTOEN, "ntb_lend", intx);
	if (ret) {
		/* Said once under a lease, here and by the interrupt core. */
		pci_warn(irq->pdev, "cannot relay INTx: %d%s\n", ret,
			 intx->maskable ? "" : ": it cannot be masked, and the line is shared");
		intx->refused = ret;
		owner_source_close(s, closed);
		return ret;
	}
	spin_lock_irq(&intx->lock);
	intx->source = s;
	intx->level.waiting = true;
	intx->level.held = false;
	intx->level.active = true;
	spin_unlock_irq(&intx->lock);
	*out = s;
	return 0;
}

/**
 * owner_intx_stop() - relay INTx no longer
 * @irq: interrupts of the device
 * @closed: gets what is for owner_source_release()
 *
 * Context: process; caller holds the lent device's lock.
 */
void owner_intx_stop(struct owner_irq *irq, struct list_head *closed)
{
	struct owner_intx *intx = &irq->intx;
	struct owner_source *s;

	spin_lock_irq(&intx->lock);
	s = intx->source;
	if (s)
		owner_intx_mask(intx);
	intx->source = NULL;
	intx->level.active = false;
	spin_unlock_irq(&intx->lock);
	if (!s)
		return;
	free_irq(intx->line, intx);
	owner_source_close(s, closed);
}

/**
 * owner_intx_resume() - a tick has passed since the device interrupted too often
 * @intx: its INTx
 *
 * Context: process.
 * Return: whether it was held.
 */
bool owner_intx_resume(struct owner_intx *intx)
{
	bool held;

	spin_lock_irq(&intx->lock);
	held = intx->level.held;
	if (lend_level_rested(&intx->level))
		owner_intx_unmask(intx);
	spin_unlock_irq(&intx->lock);
	return held;
}

/* Hard interrupt; the line may be shared. Nobody listens to INTx, which is not masked. */
static irqreturn_t owner_intx_guard_handler(int irq, void *data)
{
	struct owner_irq *owner = data;

	return IRQ_RETVAL(pci_check_and_mask_intx(owner->pdev));
}

/**
 * owner_intx_guard() - have somebody answer for INTx while nobody listens to it
 * @irq: interrupts of the device
 *
 * The PCI core unmasks INTx as it frees messages. A device that asserts it then would
 * have the line taken for broken, with whoever shares it.
 *
 * Context: process; caller holds the lent device's lock.
 * Return: for owner_intx_unguard().
 */
bool owner_intx_guard(struct owner_irq *irq)
{
	struct owner_intx *intx = &irq->intx;

	return owner_intx_pin(irq) && intx->maskable && !intx->level.active &&
	       !request_irq(intx->line, owner_intx_guard_handler, IRQF_SHARED | IRQF_PROBE_SHARED,
			    "ntb_lend", irq);
}

/**
 * owner_intx_unguard() - the messages are freed: INTx is masked while nobody listens
 * @irq: interrupts of the device
 * @guarded: what owner_intx_guard() has returned
 *
 * Context: process; caller holds the lent device's lock.
 */
void owner_intx_unguard(struct owner_irq *irq, bool guarded)
{
	struct owner_intx *intx = &irq->intx;

	spin_lock_irq(&intx->lock);
	if (!lend_level_open(&intx->level))
		owner_intx_mask(intx);
	spin_unlock_irq(&intx->lock);
	if (guarded)
		free_irq(intx->line, irq);
}

/**
 * owner_intx_pin() - which interrupt pin the borrower is shown
 * @irq: the function's interrupts
 *
 * Context: process.
 * Return: 0 when the device has none, or when this host has no line for it.
 */
u8 owner_intx_pin(const struct owner_irq *irq)
{
	return irq->intx.line ? irq->pdev->pin : 0;
}

/**
 * owner_command_shown() - the command register as the borrower shall see it
 * @irq: its interrupts
 * @where: offset of the access
 * @size: octets of it
 * @raw: what the device says
 *
 * Context: any.
 */
u32 owner_command_shown(const struct owner_irq *irq, u32 where, u32 size, u32 raw)
{
	u32 bit = lend_part(PCI_COMMAND_INTX_DISABLE, where, size);

	return READ_ONCE(irq->intx.level.off) ? raw | bit : raw & ~bit;
}

/**
 * owner_command_write() - write what the filter allows to the command register
 * @irq: its interrupts
 * @where: offset of the access
 * @size: octets of it
 * @value: what the borrower wants to write
 *
 * The INTx disable bit of the device belongs to the relay, which puts the
 * borrower's wish together with its own.
 *
 * Context: process; caller holds the lent device's lock.
 * Return: 0, or what the configuration access says.
 */
int owner_command_write(struct owner_irq *irq, u32 where, u32 size, u32 value)
{
	u32 bit = lend_part(PCI_COMMAND_INTX_DISABLE, where, size), raw, to;
	struct owner_intx *intx = &irq->intx;
	bool was, off = value & bit;
	int ret;

	spin_lock_irq(&intx->lock);
	ret = owner_config_read(irq->pdev, where, size, &raw);
	if (!ret) {
		to = lend_filter_write(irq->filter, where, size, raw, value);
		ret = owner_config_write(irq->pdev, where, size, (to & ~bit) | (raw & bit));
	}
	if (!ret && bit) {
		was = intx->level.off;
		intx->level.off = off;
		if (off && !was)
			owner_intx_mask(intx);
		else if (was && lend_level_open(&intx->level))
			owner_intx_unmask(intx);
	}
	spin_unlock_irq(&intx->lock);
	return ret;
}

/**
 * owner_command_stop() - have the device begin no DMA
 * @irq: its interrupts
 *
 * Under the lock of whoever changes another bit of the register, in any interrupt: what
 * was read before, and is written back after, would have the device go on.
 *
 * Context: process.
 */
void owner_command_stop(struct owner_irq *irq)
{
	spin_lock_irq(&irq->intx.lock);
	/* One that is being reset has it off, and must not get back the all-ones it reads as. */
	if (!irq->resetting)
		pci_clear_master(irq->pdev);
	spin_unlock_irq(&irq->intx.lock);
}

/**
 * owner_command_reset() - the device, stopped, is about to be reset under a lease
 * @irq: its interrupts
 *
 * Context: process; caller holds the lent device's lock.
 */
void owner_command_reset(struct owner_irq *irq)
{
	spin_lock_irq(&irq->intx.lock);
	owner_intx_mask(&irq->intx);
	WRITE_ONCE(irq->resetting, true);
	spin_unlock_irq(&irq->intx.lock);
}

/**
 * owner_command_restored() - the device has what it had when it was bound
 * @irq: its interrupts
 *
 * Context: process; caller holds the lent device's lock.
 */
void owner_command_restored(struct owner_irq *irq)
{
	struct owner_intx *intx = &irq->intx;

	spin_lock_irq(&intx->lock);
	WRITE_ONCE(irq->resetting, false);
	if (lend_level_open(&intx->level))
		owner_intx_unmask(intx);
	else
		owner_intx_mask(intx);
	spin_unlock_irq(&intx->lock);
}

/**
 * owner_intx_init() - prepare INTx of a function that was bound
 * @irq: its interrupts; the function is known
 *
 * Context: process; the function is enabled, and has MSI off.
 */
void owner_intx_init(struct owner_irq *irq)
{
	struct pci_dev *pdev = irq->pdev;

	irq->intx.pdev = pdev;
	/* While it has MSI on, the kernel has the number of a message there. */
	irq->intx.line = pdev->irq != IRQ_NOTCONNECTED ? pdev->irq : 0;
	irq->intx.maskable = pci_intx_mask_supported(pdev);
	spin_lock_init(&irq->intx.lock);
}

/**
 * owner_intx_begin() - a lease begins: INTx is masked until someone listens
 * @irq: interrupts of the device, fresh from its reset
 *
 * Context: process; caller holds the lent device's lock.
 */
void owner_intx_begin(struct owner_irq *irq)
{
	irq->intx.refused = 0;
	spin_lock_irq(&irq->intx.lock);
	WRITE_ONCE(irq->resetting, false);
	irq->intx.level = (struct lend_level) {};
	owner_intx_mask(&irq->intx);
	spin_unlock_irq(&irq->intx.lock);
}
