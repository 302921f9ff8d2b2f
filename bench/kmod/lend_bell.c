// SPDX-License-Identifier: GPL-2.0-only
/*
 * lend_bell - throw a doorbell back and forth, as ntb_pingpong does, but with
 * nothing else: no scratchpad, no mask, no timer. The side that has
 * start=1 throws first. "rounds" counts how often it came back.
 */

#include <linux/module.h>
#include <linux/ntb.h>

#define BELL_DB		BIT_ULL(3)
#define BELL_PEER	0

static bool start;
module_param(start, bool, 0444);
MODULE_PARM_DESC(start, "Throw first");

static unsigned long rounds;
module_param(rounds, ulong, 0444);
MODULE_PARM_DESC(rounds, "How often the doorbell came back");

static bool bell_thrown;

/* Interrupt context, under the NTB core's lock. */
static void bell_db_event(void *ctx, int vec)
{
	struct ntb_dev *ntb = ctx;

	ntb_db_clear(ntb, BELL_DB);
	rounds++;
	ntb_peer_db_set(ntb, BELL_DB);
}

/* Atomic context, under the NTB core's lock. */
static void bell_link_event(void *ctx)
{
	struct ntb_dev *ntb = ctx;

	if (!start || bell_thrown || !ntb_link_is_up(ntb, NULL, NULL))
		return;
	bell_thrown = true;
	ntb_peer_db_set(ntb, BELL_DB);
}

static const struct ntb_ctx_ops bell_ops = {
	.link_event = bell_link_event,
	.db_event = bell_db_event,
};

static int bell_probe(struct ntb_client *client, struct ntb_dev *ntb)
{
	int ret;

	ret = ntb_db_set_mask(ntb, ntb_db_valid_mask(ntb));
	if (ret)
		return ret;
	ntb_db_clear(ntb, ntb_db_valid_mask(ntb));
	ret = ntb_set_ctx(ntb, ntb, &bell_ops);
	if (ret)
		return ret;
	ntb_db_clear_mask(ntb, BELL_DB);
	/* Some bridges say no on one side, and do it all the same. */
	ntb_link_enable(ntb, NTB_SPEED_AUTO, NTB_WIDTH_AUTO);
	ntb_link_event(ntb);
	return 0;
}

static void bell_remove(struct ntb_client *client, struct ntb_dev *ntb)
{
	ntb_db_set_mask(ntb, BELL_DB);
	ntb_clear_ctx(ntb);
	ntb_link_disable(ntb);
	ntb_db_clear(ntb, BELL_DB);
}

static struct ntb_client bell_client = {
	.ops = {
		.probe = bell_probe,
		.remove = bell_remove,
	},
};
module_ntb_client(bell_client);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Time of a doorbell's round trip over a Non-Transparent Bridge");
MODULE_AUTHOR("the pcie.device_lending authors");
