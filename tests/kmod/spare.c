// SPDX-License-Identifier: GPL-2.0-only
/*
 * Has fault injection (fail-nth) leave out what some functions of the kernel ask for,
 * which do not survive that it fails: what fails in a test is to be of ntb_lend's own
 * doing. In 6.12:
 *
 *   pci_register_host_bridge   drops a reference once too often when its bus cannot be
 *                              registered
 *   pci_setup_device           does not look whether the device got its name
 *   pci_device_add             goes on, after a warning, with a device that could not be
 *                              added
 */

#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/sched.h>

#ifdef CONFIG_FAULT_INJECTION

/* Any context, as the function that is entered. */
static int spare_enters(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	unsigned int *left = (void *)instance->data;

	*left = current->fail_nth;
	current->fail_nth = 0;
	return 0;
}

NOKPROBE_SYMBOL(spare_enters);

/* Any context, as the function that is left. */
static int spare_leaves(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	current->fail_nth = *(unsigned int *)instance->data;
	return 0;
}

NOKPROBE_SYMBOL(spare_leaves);

#define SPARE(name) {				\
	.kp.symbol_name = name,			\
	.entry_handler = spare_enters,		\
	.handler = spare_leaves,		\
	.data_size = sizeof(unsigned int),	\
	.maxactive = 16,			\
}

static struct kretprobe spare_probes[] = {
	SPARE("pci_register_host_bridge"),
	SPARE("pci_setup_device"),
	SPARE("pci_device_add"),
};

static struct kretprobe *spared[ARRAY_SIZE(spare_probes)];

static int __init spare_init(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(spared); i++)
		spared[i] = &spare_probes[i];
	return register_kretprobes(spared, ARRAY_SIZE(spared));
}

static void __exit spare_exit(void)
{
	unregister_kretprobes(spared, ARRAY_SIZE(spared));
}

#else

static int __init spare_init(void)
{
	return -ENODEV;
}

static void __exit spare_exit(void)
{
}

#endif

module_init(spare_init);
module_exit(spare_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Spares functions from fault injection, for tests of ntb_lend");
MODULE_AUTHOR("the pcie.device_lending authors");
