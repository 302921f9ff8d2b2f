/* SPDX-License-Identifier: GPL-2.0-only */
/* What of the owner a lent device can reach by DMA. */
#ifndef LEND_CONTAIN_H
#define LEND_CONTAIN_H

#include <linux/types.h>

struct lend_lent;
struct lend_link;
struct netlink_ext_ack;

/**
 * struct lend_containment - what would limit a device's DMA
 * @translated: an IOMMU translates it
 * @why: why the window is not all it can reach; empty when it is
 */
struct lend_containment {
	bool translated;
	char why[96];
};

void lend_contain_probe(struct lend_lent *lent, struct lend_link *link,
			struct lend_containment *result);
int lend_contain_open(struct lend_lent *lent, struct lend_link *link,
		      const struct lend_containment *how, struct netlink_ext_ack *extack);
void lend_contain_close(struct lend_lent *lent);

#endif
