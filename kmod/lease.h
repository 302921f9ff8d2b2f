/* SPDX-License-Identifier: GPL-2.0-only */
/* Leases: that a lent function is one borrower's for a while. */
#ifndef LEND_LEASE_H
#define LEND_LEASE_H

#include <linux/types.h>

#include "lent.h"

struct lend_link;
struct netlink_ext_ack;
struct pci_dev;

int lease_lend(struct lent_device *lent, struct lend_link *link, u64 epoch,
	       struct netlink_ext_ack *extack);
int lease_unlend(struct lent_device *lent, u64 epoch, bool force, struct netlink_ext_ack *extack);
void lease_cut(struct lent_device *lent, const char *why);
void lease_unbind(struct lent_device *lent);
void lease_link_dead(struct lend_link *link);
void lease_link_lost(struct lend_link *link);
void lease_meet_neighbour(struct pci_dev *pdev);

struct lease *lease_enter(struct lend_link *link, u32 id, u64 epoch);
void lease_leave(struct lease *lease);
void lease_stop_dma(struct lease *lease);

#endif
