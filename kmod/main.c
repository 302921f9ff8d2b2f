// SPDX-License-Identifier: GPL-2.0-only
/*
 * ntb_lend - lend PCIe devices to other hosts across Non-Transparent Bridges
 *
 * Copyright (C) 2026 the pcie.device_lending authors
 */

#include <linux/module.h>

#include "borrowed.h"
#include "lent.h"
#include "link.h"
#include "netlink.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

static int __init lend_init(void)
{
	int ret;

	ret = lend_borrowed_register();
	if (ret)
		return ret;
	ret = lend_lent_register();
	if (ret)
		goto borrowed;
	ret = lend_netlink_register();
	if (ret)
		goto lent;
	ret = lend_link_register();
	if (ret)
		goto netlink;
	return 0;

netlink:
	lend_netlink_unregister();
lent:
	lend_lent_unregister();
borrowed:
	lend_borrowed_unregister();
	return ret;
}
module_init(lend_init);

static void __exit lend_exit(void)
{
	lend_link_unregister();
	lend_netlink_unregister();
	lend_lent_unregister();
	lend_borrowed_unregister();
}
module_exit(lend_exit);

MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
MODULE_DESCRIPTION("Lend PCIe devices to other hosts across Non-Transparent Bridges");
MODULE_AUTHOR("the pcie.device_lending authors");
