/* SPDX-License-Identifier: GPL-2.0-only */
/* DMA of borrowed devices. */
#ifndef LEND_DMA_H
#define LEND_DMA_H

#include <linux/types.h>

struct borrowed_device;
struct pci_dev;

int lend_dma_init(struct borrowed_device *b);
int lend_dma_reserve(struct borrowed_device *b);
void lend_dma_adopt(struct pci_dev *pdev);
bool lend_dma_drain(struct borrowed_device *b);
void lend_dma_exit(struct borrowed_device *b);

#endif
