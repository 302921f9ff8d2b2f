/* SPDX-License-Identifier: GPL-2.0-only */
/* Borrower side: where a device's registers, and this host's memory for it, are in the windows. */
#ifndef LEND_BORROWER_PLACE_H
#define LEND_BORROWER_PLACE_H

#include <linux/types.h>

struct borrowed_device;
struct netlink_ext_ack;
struct pci_dev;

int borrower_ask_bars(struct borrowed_device *b, struct netlink_ext_ack *extack);
int borrower_ask_views(struct borrowed_device *b, u64 window, u64 bus, u64 size,
		       struct netlink_ext_ack *extack);
void borrower_place(struct borrowed_device *b, struct pci_dev *pdev);
bool borrower_bars_claimed(struct borrowed_device *b, struct pci_dev *pdev);

#endif
