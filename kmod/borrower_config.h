/* SPDX-License-Identifier: GPL-2.0-only */
/* Borrower side: the configuration space of borrowed devices. */
#ifndef LEND_BORROWER_CONFIG_H
#define LEND_BORROWER_CONFIG_H

#include <linux/types.h>

struct borrowed_device;
struct pci_dev;

extern struct pci_ops borrower_config_ops;

int borrower_config_init(struct borrowed_device *b);
bool lend_is_borrowed(const struct pci_dev *pdev);

#endif
