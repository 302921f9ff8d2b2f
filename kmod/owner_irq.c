// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owner side: interrupts of lent devices that are taken here and relayed: which the
 * borrower listens to, from the lease's begin to its end.
 *
 * Called by lease.c and owner_serve.c. Locks: the lent device's lock, held by the caller.
 */

#include <linux/pci.h>
#include <linux/workqueue.h>

#include "owner_intx.h"
#include "owner_irq.h"
#include "owner_relayed.h"
#include "owner_source.h"
#include "owner_vectors.h"

/* Work item, the tick after a device has interrupted too often. */
static void owner_irq_calm(struct work_struct *work)
{
	struct owner_irq *irq = container_of(to_delayed_work(work), struct owner_irq, calm);
	bool messages = owner_vectors_resume(irq);

	if (owner_intx_resume(&irq->intx) || messages)
		pci_info_ratelimited(irq->pdev, "held back: what the peer borrows interrupts more than %u times a second\n",
				     owner_source_limit());
	/*
	 * When a message moves to another CPU the kernel writes it together with
	 * whether MSI is on, as it had read that before: look again.
	 */
	if (messages)
		owner_source_hold(irq);
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
 * @closed: gets what is for owner_source_release()
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
 * @closed: gets what is for owner_source_release()
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
	owner_intx_init(irq);
	owner_vectors_init(&irq->vectors);
	INIT_DELAYED_WORK(&irq->calm, owner_irq_calm);
}

/**
 * owner_irq_exit() - free what owner_irq_init() made
 * @irq: its interrupts, stopped
 *
 * Context: process.
 */
void owner_irq_exit(struct owner_irq *irq)
{
	owner_vectors_exit(&irq->vectors);
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
	owner_intx_begin(irq);
}

/**
 * owner_irq_stop() - relay nothing any more
 * @irq: its interrupts
 * @closed: gets what is for owner_source_release()
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
