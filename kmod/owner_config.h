/* SPDX-License-Identifier: GPL-2.0-only */
/* Owner side: registers of a lent function's configuration space. */
#ifndef LEND_OWNER_CONFIG_H
#define LEND_OWNER_CONFIG_H

#include <linux/types.h>

struct pci_dev;

int owner_config_read(struct pci_dev *pdev, u32 where, u32 size, u32 *raw);
u32 owner_filter_read(void *ctx, u32 where, u32 size);
int owner_config_write(struct pci_dev *pdev, u32 where, u32 size, u32 value);

#endif
