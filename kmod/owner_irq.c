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
 *
 * A borrower can have a device interrupt as often as it can write a register of it.
 * What is too often is masked in the function until the next tick: INTx by its
 * disable bit, messages by bits of MSI and MSI-X that the borrower cannot write, other
 * than those in the table. None is lost: the function keeps what is masked, and
 * where it need not, as with MSI, the borrower is told to look.
 *
 * The command register is here, too: its INTx disable bit belongs to the relay. Who
 * changes it while the device may interrupt holds owner_intx.lock.
 *
 * Called by lease.c and owner_serve.c. Locks: the lent device's lock, held by the
 * caller; owner_intx.lock and owner_vectors.lock, in hard interrupts.
 */

#include <linux/interrupt.h>
#include <linux/list.h>
#include <linux/pci.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

#include "filter.h"
#include "owner_config.h"
#include "owner_irq.h"
#include "param.h"

/*
 * How often devices interrupt this host for one peer. Each time costs a hard interrupt
 * and a doorbell, and the peer takes no more doorbells than that (doorbells_per_s): a
 * drive or a card that is faster gains nothing by it.
 */
static unsigned int interrupts_per_s = 200000;
LEND_PARAM_UINT(interrupts_per_s, 100, 10000000,
		"Relayed interrupts above this rate wait for the clock, for each peer, from 100 on (default 200000)");

/* A processor has about two hundred, for all that this host does itself, too. */
static unsigned int vectors_per_link = 128;
LEND_PARAM_UINT(vectors_per_link, 1, LEND_RELAYS,
		"Vectors of processors that relayed interrupts take for each peer, from 1 to 256 (default 128)");

/**
 * struct owner_source - an interrupt that the borrower listens to
 * @owner: interrupts of the device
 * @source: what is raised at the borrower
 * @closed: on a list of those that are to be freed
 */
struct owner_source {
	struct owner_irq *owner;
	struct lend_source source;
	struct list_head closed;
};

/* Process context, the lent device's lock held. */
static struct owner_source *owner_source_open(struct owner_irq *irq,
					      void (*handled)(struct lend_source *source,
							      u32 count))
{
	struct owner_source *s = kzalloc(sizeof(*s), GFP_KERNEL);
	int ret;

	if (!s)
		return ERR_PTR(-ENOMEM);
	s->owner = irq;
	s->source.relay = irq->relay;
	s->source.tag = irq->tag;
	s->source.handled = handled;
	ret = lend_source_add(&s->source);
	if (ret) {
		kfree(s);
		return ERR_PTR(ret);
	}
	return s;
}

/*
 * Process context, the lent device's lock held; nothing raises it any more. It goes to
 * @closed, for owner_irq_release().
 */
static void owner_source_close(struct owner_source *s, struct list_head *closed)
{
	lend_source_hide(&s->source);
	list_add(&s->closed, closed);
}

/*
 * Any context. @source was raised: was it once too often? Then the device is masked,
 * and owner_irq_hold() called after that: a tick may be over at any time.
 */
static bool owner_source_floods(struct lend_source *source)
{
	return !lend_source_is_within(source, READ_ONCE(interrupts_per_s));
}

/* Any context. The device, which is masked, goes on with the next tick. */
static void owner_irq_hold(struct owner_irq *irq)
{
	queue_delayed_work(system_highpri_wq, &irq->calm, 1);
}

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
	owner_irq_hold(container_of(intx, struct owner_irq, intx));
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

/* Process context, the lent device's lock held. @closed: see owner_irq_open(). */
static int owner_intx_start(struct owner_irq *irq, struct owner_source **out,
			    struct list_head *closed)
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

/* Process context, the lent device's lock held. @closed: see owner_irq_open(). */
static void owner_intx_stop(struct owner_irq *irq, struct list_head *closed)
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

/* Process context. A tick has passed. Returns whether it was held. */
static bool owner_intx_resume(struct owner_intx *intx)
{
	bool held;

	spin_lock_irq(&intx->lock);
	held = intx->level.held;
	if (lend_level_rested(&intx->level))
		owner_intx_unmask(intx);
	spin_unlock_irq(&intx->lock);
	return held;
}

/*
 * Any context, owner_vectors.lock held. Has the device send its messages, or keep
 * them. Not by a mask of the vector, which the borrower can reach in the table of
 * MSI-X, and which MSI need not have. Returns whether that was a change.
 */
static bool owner_vectors_switch(struct owner_irq *irq, bool on)
{
	bool msix = irq->vectors.kind == LEND_IRQ_MSIX;
	int at = msix ? irq->pdev->msix_cap + PCI_MSIX_FLAGS : irq->pdev->msi_cap + PCI_MSI_FLAGS;
	u16 bit = msix ? PCI_MSIX_FLAGS_MASKALL : PCI_MSI_FLAGS_ENABLE;
	u16 flags, to;

	if (!irq->vectors.count || pci_read_config_word(irq->pdev, at, &flags) ||
	    PCI_POSSIBLE_ERROR(flags))
		return false;
	to = on == msix ? flags & ~bit : flags | bit;
	if (to == flags)
		return false;
	pci_write_config_word(irq->pdev, at, to);
	return true;
}

/* Hard interrupt. */
static irqreturn_t owner_vector_handler(int irq, void *data)
{
	struct owner_source *s = data;
	struct owner_irq *owner = s->owner;
	unsigned long flags;

	lend_source_raise(&s->source);
	if (owner_source_floods(&s->source)) {
		spin_lock_irqsave(&owner->vectors.lock, flags);
		owner_vectors_switch(owner, false);
		owner->vectors.held = true;
		spin_unlock_irqrestore(&owner->vectors.lock, flags);
		owner_irq_hold(owner);
	}
	return IRQ_HANDLED;
}

/*
 * Process context. A tick has passed. Returns whether the device had to keep its
 * messages since the last one.
 */
static bool owner_vectors_resume(struct owner_irq *irq)
{
	struct owner_source *s;
	unsigned long index;
	bool held, msi;

	spin_lock_irq(&irq->vectors.lock);
	held = owner_vectors_switch(irq, true) || irq->vectors.held;
	irq->vectors.held = false;
	msi = irq->vectors.kind == LEND_IRQ_MSI;
	spin_unlock_irq(&irq->vectors.lock);
	if (!held || !msi)
		return held;
	/* What it had to say meanwhile it need not say now. */
	rcu_read_lock();
	xa_for_each(&irq->vectors.open, index, s)
		lend_source_raise(&s->source);
	rcu_read_unlock();
	return held;
}

/* Work item, the tick after a device has interrupted too often. */
static void owner_irq_calm(struct work_struct *work)
{
	struct owner_irq *irq = container_of(to_delayed_work(work), struct owner_irq, calm);
	bool messages = owner_vectors_resume(irq);

	if (owner_intx_resume(&irq->intx) || messages)
		pci_info_ratelimited(irq->pdev, "held back: what the peer borrows interrupts more than %u times a second\n",
				     READ_ONCE(interrupts_per_s));
	/*
	 * When a message moves to another CPU the kernel writes it together with
	 * whether MSI is on, as it had read that before: look again.
	 */
	if (messages)
		owner_irq_hold(irq);
}

/* Process context, the lent device's lock held. */
static int owner_vectors_alloc(struct owner_irq *irq, enum lend_irq_kind kind)
{
	struct pci_dev *pdev = irq->pdev;
	int max, count;

	if (irq->vectors.count)
		return irq->vectors.kind == kind ? 0 : -EBUSY;
	max = kind == LEND_IRQ_MSIX ? pci_msix_vec_count(pdev) : pci_msi_vec_count(pdev);
	if (max <= 0)
		return -EINVAL;
	count = pci_alloc_irq_vectors(pdev, 1, min(max, LEND_RELAYS),
				      kind == LEND_IRQ_MSIX ? PCI_IRQ_MSIX : PCI_IRQ_MSI);
	if (count < 0)
		return count;
	spin_lock_irq(&irq->vectors.lock);
	irq->vectors.kind = kind;
	irq->vectors.count = count;
	spin_unlock_irq(&irq->vectors.lock);
	return 0;
}

/* Hard interrupt; the line may be shared. Nobody listens to INTx, which is not masked. */
static irqreturn_t owner_intx_guard(int irq, void *data)
{
	struct owner_irq *owner = data;

	return IRQ_RETVAL(pci_check_and_mask_intx(owner->pdev));
}

/*
 * Process context, the lent device's lock held. The PCI core
 * unmasks INTx as it frees messages. A device that asserts it has somebody to answer for
 * it meanwhile, else the line would be taken for broken, with whoever shares it.
 */
static void owner_vectors_free(struct owner_irq *irq)
{
	struct owner_intx *intx = &irq->intx;
	bool guarded;

	if (!irq->vectors.count)
		return;
	spin_lock_irq(&irq->vectors.lock);
	/* Nobody else takes the mask of MSI-X away. */
	owner_vectors_switch(irq, true);
	irq->vectors.held = false;
	irq->vectors.count = 0;
	spin_unlock_irq(&irq->vectors.lock);
	guarded = owner_intx_pin(irq) && intx->maskable && !intx->level.active &&
		  !request_irq(intx->line, owner_intx_guard, IRQF_SHARED | IRQF_PROBE_SHARED,
			       "ntb_lend", irq);
	pci_free_irq_vectors(irq->pdev);
	spin_lock_irq(&intx->lock);
	if (!lend_level_open(&intx->level))
		owner_intx_mask(intx);
	spin_unlock_irq(&intx->lock);
	if (guarded)
		free_irq(intx->line, irq);
}

/* Process context, the lent device's lock held. Is there one more for the peer? */
static bool owner_vector_take(struct owner_irq *irq)
{
	unsigned int most = READ_ONCE(vectors_per_link);

	if (atomic_inc_return(&irq->relay->vectors) <= most)
		return true;
	atomic_dec(&irq->relay->vectors);
	pci_info_ratelimited(irq->pdev, "an interrupt is refused: what the peer borrows takes %u vectors already, see vectors_per_link\n",
			     most);
	return false;
}

/* Process context, the lent device's lock held; the interrupt is freed. */
static void owner_vector_give(struct owner_irq *irq)
{
	atomic_dec(&irq->relay->vectors);
}

/* Process context, the lent device's lock held. @closed: see owner_irq_open(). */
static int owner_vector_start(struct owner_irq *irq, enum lend_irq_kind kind, u32 index,
			      struct owner_source **out, struct list_head *closed)
{
	struct owner_source *s;
	int ret;

	ret = owner_vectors_alloc(irq, kind);
	if (ret)
		return ret;
	if (index >= irq->vectors.count)
		return -ENOSPC;
	if (xa_load(&irq->vectors.open, index))
		return -EBUSY;
	if (!owner_vector_take(irq))
		return -ENOSPC;
	s = owner_source_open(irq, NULL);
	if (IS_ERR(s)) {
		ret = PTR_ERR(s);
		goto give;
	}
	ret = xa_err(xa_store(&irq->vectors.open, index, s, GFP_KERNEL));
	if (ret)
		goto close;
	ret = request_irq(pci_irq_vector(irq->pdev, index), owner_vector_handler, 0, "ntb_lend", s);
	if (ret)
		goto erase;
	*out = s;
	return 0;
erase:
	xa_erase(&irq->vectors.open, index);
close:
	owner_source_close(s, closed);
give:
	owner_vector_give(irq);
	return ret;
}

/* Process context, the lent device's lock held. @closed: see owner_irq_open(). */
static void owner_vector_stop(struct owner_irq *irq, u32 index, struct list_head *closed)
{
	struct owner_source *s = xa_erase(&irq->vectors.open, index);

	if (!s)
		return;
	free_irq(pci_irq_vector(irq->pdev, index), s);
	owner_vector_give(irq);
	owner_source_close(s, closed);
}

/* Process context, the lent device's lock held. @closed: see owner_irq_open(). */
static void owner_vectors_stop(struct owner_irq *irq, struct list_head *closed)
{
	struct owner_source *s;
	unsigned long index;

	xa_for_each(&irq->vectors.open, index, s)
		owner_vector_stop(irq, index, closed);
	owner_vectors_free(irq);
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

static enum lend_status owner_irq_status(int ret)
{
	switch (ret) {
	case 0:
		return LEND_OK;
	case -EBUSY:
		return LEND_ERR_BUSY;
	case -EINVAL:
		return LEND_ERR_INVALID;
	case -ENOSPC:
		return LEND_ERR_SPACE;
	default:
		return LEND_ERR_DEVICE;
	}
}

/**
 * owner_irq_open() - the borrower wants an interrupt relayed
 * @irq: its interrupts
 * @arg: LEND_IRQ() of which; nothing in it is trusted
 * @resp: val is filled in
 * @closed: gets what is for owner_irq_release()
 *
 * Context: process; caller holds the lent device's lock.
 * Return: what to answer.
 */
enum lend_status owner_irq_open(struct owner_irq *irq, u32 arg, struct lend_response *resp,
				struct list_head *closed)
{
	u32 kind = LEND_IRQ_KIND(arg), index = LEND_IRQ_INDEX(arg);
	struct owner_source *s;
	int ret;

	if (kind >= LEND_IRQ_KINDS)
		return LEND_ERR_INVALID;
	if (kind != LEND_IRQ_INTX)
		ret = owner_vector_start(irq, kind, index, &s, closed);
	else
		ret = index ? -EINVAL : owner_intx_start(irq, &s, closed);
	if (ret)
		return owner_irq_status(ret);
	resp->val[LEND_IRQ_SLOT] = cpu_to_le64(s->source.slot);
	resp->val[LEND_IRQ_COUNT] = cpu_to_le64(s->source.start);
	return LEND_OK;
}

/**
 * owner_irq_close() - the borrower listens to an interrupt no longer
 * @irq: its interrupts
 * @arg: LEND_IRQ() of which; nothing in it is trusted
 * @closed: gets what is for owner_irq_release()
 *
 * Context: process; caller holds the lent device's lock.
 * Return: what to answer.
 */
enum lend_status owner_irq_close(struct owner_irq *irq, u32 arg, struct list_head *closed)
{
	u32 kind = LEND_IRQ_KIND(arg);

	if (kind >= LEND_IRQ_KINDS)
		return LEND_ERR_INVALID;
	if (kind == LEND_IRQ_INTX)
		owner_intx_stop(irq, closed);
	else if (kind == irq->vectors.kind)
		owner_vector_stop(irq, LEND_IRQ_INDEX(arg), closed);
	if (xa_empty(&irq->vectors.open))
		owner_vectors_free(irq);
	return LEND_OK;
}

/**
 * owner_irq_release() - free what is closed
 * @closed: a list of it; empty afterwards
 *
 * Waits once, however many there are, until nobody looks at them any more: not under
 * the lent device's lock, which a fence may want.
 *
 * Context: process; caller has a reference to the lent device, and to the link.
 */
void owner_irq_release(struct list_head *closed)
{
	struct owner_source *s, *next;

	if (list_empty(closed))
		return;
	synchronize_rcu();
	list_for_each_entry_safe(s, next, closed, closed) {
		lend_source_forget(&s->source);
		kfree(s);
	}
	INIT_LIST_HEAD(closed);
}

/**
 * owner_irq_init() - prepare a function that was bound
 * @irq: its interrupts, zeroed
 * @pdev: the function
 * @filter: what of its configuration space the borrower may write
 *
 * Context: process; the function is enabled, and has MSI off.
 */
void owner_irq_init(struct owner_irq *irq, struct pci_dev *pdev, const struct lend_filter *filter)
{
	irq->pdev = pdev;
	irq->filter = filter;
	irq->intx.pdev = pdev;
	/* While it has MSI on, the kernel has the number of a message there. */
	irq->intx.line = pdev->irq != IRQ_NOTCONNECTED ? pdev->irq : 0;
	irq->intx.maskable = pci_intx_mask_supported(pdev);
	spin_lock_init(&irq->intx.lock);
	spin_lock_init(&irq->vectors.lock);
	INIT_DELAYED_WORK(&irq->calm, owner_irq_calm);
	xa_init(&irq->vectors.open);
}

/**
 * owner_irq_exit() - free what owner_irq_init() made
 * @irq: its interrupts, stopped
 *
 * Context: process.
 */
void owner_irq_exit(struct owner_irq *irq)
{
	xa_destroy(&irq->vectors.open);
}

/**
 * owner_irq_begin() - a lease begins: INTx is masked until someone listens
 * @irq: its interrupts, fresh from its reset
 * @relay: of the borrower's link
 * @epoch: of the lease
 *
 * Context: process; caller holds the lent device's lock.
 */
void owner_irq_begin(struct owner_irq *irq, struct lend_relay *relay, u64 epoch)
{
	irq->relay = relay;
	irq->tag = lend_relay_tag(epoch);
	irq->intx.refused = 0;
	spin_lock_irq(&irq->intx.lock);
	WRITE_ONCE(irq->resetting, false);
	irq->intx.level = (struct lend_level) {};
	owner_intx_mask(&irq->intx);
	spin_unlock_irq(&irq->intx.lock);
}

/**
 * owner_irq_stop() - relay nothing any more
 * @irq: its interrupts
 * @closed: gets what is for owner_irq_release()
 *
 * Context: process; caller holds the lent device's lock.
 */
void owner_irq_stop(struct owner_irq *irq, struct list_head *closed)
{
	owner_intx_stop(irq, closed);
	owner_vectors_stop(irq, closed);
	/* Nothing is left that would queue it. */
	cancel_delayed_work_sync(&irq->calm);
}
