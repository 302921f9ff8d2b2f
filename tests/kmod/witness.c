// SPDX-License-Identifier: GPL-2.0-only
/*
 * Looks at lent devices at the end of their fence, on the owner. What it has seen is a
 * parameter each:
 *
 *   fenced      how many leases
 *   mastering   how many of their devices could still do DMA
 *
 * Interrupts that are taken here change the command register, and so does the fence.
 * slow_us is how much later it is written on the bus of the device at address: then who
 * has read it before, and is not kept away by the fence's lock, writes back what it was.
 */

#include <linux/delay.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/ptrace.h>

#include "lent.h"

static unsigned int fenced;
module_param(fenced, uint, 0444);
MODULE_PARM_DESC(fenced, "Leases that were fenced");

static unsigned int mastering;
module_param(mastering, uint, 0444);
MODULE_PARM_DESC(mastering, "Leases whose devices could still do DMA then");

static unsigned int slow_us;
module_param(slow_us, uint, 0644);
MODULE_PARM_DESC(slow_us, "How much later command registers are written, in us");

static char *address = "";
module_param(address, charp, 0444);
MODULE_PARM_DESC(address, "PCI address of a device on the bus that is slow");

static struct pci_dev *witness_pdev;
static struct pci_ops *witness_usual;

/* As owner_unplace(), with which the fence ends: process context, the lent lock held. */
static int witness_looks(struct kprobe *probe, struct pt_regs *regs)
{
	const struct lease *lease = (void *)regs_get_kernel_argument(regs, 0);
	u16 command;

	/* It is a refused lease's end as well. */
	if (READ_ONCE(lease->state) != LEASE_OVER)
		return 0;
	/* Whoever has read the register before is through then. */
	udelay(3 * READ_ONCE(slow_us));
	fenced++;
	if (!pci_read_config_word(lease->lent->pdev, PCI_COMMAND, &command) &&
	    !PCI_POSSIBLE_ERROR(command) && command & PCI_COMMAND_MASTER)
		mastering++;
	return 0;
}

NOKPROBE_SYMBOL(witness_looks);

/* As read of &struct pci_ops: any context. */
static int witness_read(struct pci_bus *bus, unsigned int devfn, int where, int size, u32 *value)
{
	return witness_usual->read(bus, devfn, where, size, value);
}

/* As write of &struct pci_ops: any context. */
static int witness_write(struct pci_bus *bus, unsigned int devfn, int where, int size, u32 value)
{
	if (where == PCI_COMMAND)
		udelay(READ_ONCE(slow_us));
	return witness_usual->write(bus, devfn, where, size, value);
}

static struct pci_ops witness_ops = {
	.read = witness_read,
	.write = witness_write,
};

static struct kprobe witness_fence = {
	.symbol_name = "owner_unplace",
	.pre_handler = witness_looks,
};

static int __init witness_init(void)
{
	unsigned int domain, bus, slot, function;
	int ret;

	if (sscanf(address, "%x:%x:%x.%x", &domain, &bus, &slot, &function) != 4)
		return -EINVAL;
	witness_pdev = pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, function));
	if (!witness_pdev)
		return -ENODEV;
	ret = register_kprobe(&witness_fence);
	if (ret) {
		pci_dev_put(witness_pdev);
		return ret;
	}
	/* Nobody uses it before it is known. */
	witness_usual = witness_pdev->bus->ops;
	pci_bus_set_ops(witness_pdev->bus, &witness_ops);
	return 0;
}
module_init(witness_init);

static void __exit witness_exit(void)
{
	pci_bus_set_ops(witness_pdev->bus, witness_usual);
	unregister_kprobe(&witness_fence);
	pci_dev_put(witness_pdev);
	/* Who has begun an access is through. */
	msleep(100);
}
module_exit(witness_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Looks at fenced devices, for tests of ntb_lend");
MODULE_AUTHOR("the pcie.device_lending authors");
