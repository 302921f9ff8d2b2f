// SPDX-License-Identifier: GPL-2.0-only
/*
 * An owner that means harm: changes what ntb_lend, which must be loaded, answers to
 * the requests of its peer. What it does is a parameter each, to be set while it is
 * loaded:
 *
 *   header_type   this is put over each lent function's header type, so that it seems
 *                 to be a bridge (1), or to have several functions (128)
 *   late_ms       reads of registers are answered so much later
 */

#include <linux/delay.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/pci_regs.h>
#include <linux/ptrace.h>

#include "proto.h"

static unsigned int header_type;
module_param(header_type, uint, 0644);
MODULE_PARM_DESC(header_type, "Bits that header types have in answers");

static unsigned int late_ms;
module_param(late_ms, uint, 0644);
MODULE_PARM_DESC(late_ms, "How much later reads of registers are answered, in ms");

/**
 * struct liar_asked - a request that is served
 * @shift: of the header type in the answer
 * @resp: the answer; NULL: it has no header type
 */
struct liar_asked {
	unsigned int shift;
	struct lend_response *resp;
};

/* As owner_serve(): any context. */
static int liar_hears(struct kretprobe_instance *probe, struct pt_regs *regs)
{
	const struct lend_request *req = (void *)regs_get_kernel_argument(regs, 1);
	struct liar_asked *asked = (void *)probe->data;
	u32 where = le32_to_cpu(req->arg);

	asked->resp = NULL;
	if (req->op != LEND_OP_CONFIG_READ)
		return 0;
	mdelay(READ_ONCE(late_ms));
	if (where > PCI_HEADER_TYPE || where + req->size <= PCI_HEADER_TYPE)
		return 0;
	asked->shift = (PCI_HEADER_TYPE - where) * 8;
	asked->resp = (void *)regs_get_kernel_argument(regs, 2);
	return 0;
}

NOKPROBE_SYMBOL(liar_hears);

/* As owner_serve(): any context. */
static int liar_answers(struct kretprobe_instance *probe, struct pt_regs *regs)
{
	struct liar_asked *asked = (void *)probe->data;

	if (asked->resp)
		asked->resp->val[0] |= cpu_to_le64((u64)READ_ONCE(header_type) << asked->shift);
	return 0;
}

NOKPROBE_SYMBOL(liar_answers);

static struct kretprobe liar_probe = {
	.kp.symbol_name = "owner_serve",
	.entry_handler = liar_hears,
	.handler = liar_answers,
	.data_size = sizeof(struct liar_asked),
};

static int __init liar_init(void)
{
	return register_kretprobe(&liar_probe);
}
module_init(liar_init);

static void __exit liar_exit(void)
{
	unregister_kretprobe(&liar_probe);
}
module_exit(liar_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("An owner that means harm, for tests of ntb_lend");
MODULE_AUTHOR("the pcie.device_lending authors");
