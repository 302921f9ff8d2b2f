/* SPDX-License-Identifier: GPL-2.0-only */
/* Borrower side: virtual functions on root buses of their own. */
#ifndef LEND_BORROWER_H
#define LEND_BORROWER_H

#include <linux/types.h>

#include "registry.h"

struct borrowed_device;
struct lend_link;
struct netlink_ext_ack;
struct pci_dev;

extern struct lend_registry borrower_borrowed;

int borrower_register(void);
void borrower_unregister(void);

struct borrowed_device *borrower_get(u32 id);
void borrower_put(struct borrowed_device *b);

int borrower_attach(struct lend_link *link, u32 remote_id, u64 epoch, const char *driver,
		    struct borrowed_device **out, struct netlink_ext_ack *extack);
int borrower_detach(struct borrowed_device *b, u64 epoch, struct netlink_ext_ack *extack);
void borrower_revoke(struct lend_link *link, u32 remote_id, u64 epoch);
void borrower_link_dead(struct lend_link *link);
void borrower_link_lost(struct lend_link *link);
u64 borrower_mapped(const struct lend_link *link);

#endif
