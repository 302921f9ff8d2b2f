// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owner side: MSI and MSI-X of lent devices that come here where they cannot reach the
 * borrower by themselves, and are relayed.
 *
 * Their table in the device's BAR is then written by this host, but for the mask
 * bits, which the borrower's kernel sets through the window as it needs them.
 *
 * A device that interrupts too often keeps its messages until the next tick, by bits of
 * MSI and MSI-X that the borrower cannot write, other than those in the table. None is
 * lost: the function keeps what is masked, and where it need not, as with MSI, the
 * borrower is told to look.
 *
 * Called by owner_irq.c. Locks: the lent device's lock, held by the caller;
 * owner_vectors.lock, in hard interrupts.
 */

#include <linux/interrupt.h>
#include <linux/pci.h>
#include <linux/rcupdate.h>
#include <linux/xarray.h>

#include "owner_intx.h"
#include "owner_relayed.h"
#include "owner_source.h"
#include "owner_vectors.h"
#include "param.h"

/* A processor has about two hundred, for all that this host does itself, too. */
static unsigned int vectors_per_link = 128;
LEND_PARAM_UINT(vectors_per_link, 1, LEND_RELAYS,
		"Vectors of processors that relayed interrupts take for each peer, from 1 to 256 (default 128)");

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
		owner_source_hold(owner);
	}
	return IRQ_HANDLED;
}

/**
 * owner_vectors_resume() - a tick has passed since the device interrupted too often
 * @irq: interrupts of the device
 *
 * Context: process.
 * Return: whether the device had to keep its messages since the last one.
 */
bool owner_vectors_resume(struct owner_irq *irq)
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

/**
 * owner_vectors_free() - the device has no messages any more
 * @irq: its interrupts; the borrower listens to none of these
 *
 * Context: process; caller holds the lent device's lock.
 */
void owner_vectors_free(struct owner_irq *irq)
{
	bool guarded;

	if (!irq->vectors.count)
		return;
	spin_lock_irq(&irq->vectors.lock);
	/* Nobody else takes the mask of MSI-X away. */
	owner_vectors_switch(irq, true);
	irq->vectors.held = false;
	irq->vectors.count = 0;
	spin_unlock_irq(&irq->vectors.lock);
	guarded = owner_intx_guard(irq);
	pci_free_irq_vectors(irq->pdev);
	owner_intx_unguard(irq, guarded);
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

/**
 * owner_vector_start() - relay a message
 * @irq: interrupts of the device
 * @kind: MSI or MSI-X
 * @index: which
 * @out: what is raised
 * @closed: gets what is for owner_source_release()
 *
 * Context: process; caller holds the lent device's lock.
 * Return: 0; -EBUSY relayed already, or the other kind is; -ENOSPC too many; or another
 * negative errno.
 */
int owner_vector_start(struct owner_irq *irq, enum lend_irq_kind kind, u32 index,
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

/**
 * owner_vector_stop() - relay a message no longer
 * @irq: interrupts of the device
 * @index: which; it need not be relayed
 * @closed: gets what is for owner_source_release()
 *
 * Context: process; caller holds the lent device's lock.
 */
void owner_vector_stop(struct owner_irq *irq, u32 index, struct list_head *closed)
{
	struct owner_source *s = xa_erase(&irq->vectors.open, index);

	if (!s)
		return;
	free_irq(pci_irq_vector(irq->pdev, index), s);
	owner_vector_give(irq);
	owner_source_close(s, closed);
}

/**
 * owner_vectors_stop() - relay no message any more
 * @irq: interrupts of the device
 * @closed: gets what is for owner_source_release()
 *
 * Context: process; caller holds the lent device's lock.
 */
void owner_vectors_stop(struct owner_irq *irq, struct list_head *closed)
{
	struct owner_source *s;
	unsigned long index;

	xa_for_each(&irq->vectors.open, index, s)
		owner_vector_stop(irq, index, closed);
	owner_vectors_free(irq);
}

/**
 * owner_vectors_init() - prepare messages of a function that was bound
 * @vectors: its messages
 *
 * Context: process.
 */
void owner_vectors_init(struct owner_vectors *vectors)
{
	spin_lock_init(&vectors->lock);
	xa_init(&vectors->open);
}

/**
 * owner_vectors_exit() - free what owner_vectors_init() made
 * @vectors: messages of the device, stopped
 *
 * Context: process.
 */
void owner_vectors_exit(struct owner_vectors *vectors)
{
	xa_destroy(&vectors->open);
}
