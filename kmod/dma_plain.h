/* SPDX-License-Identifier: GPL-2.0-only */
/* DMA of borrowed devices where all memory is shown as it is. */
#ifndef LEND_DMA_PLAIN_H
#define LEND_DMA_PLAIN_H

#include <linux/dma-direction.h>
#include <linux/types.h>

struct borrowed_device;
struct device;
struct scatterlist;

bool lend_plain_fits(const struct borrowed_device *b);

dma_addr_t lend_plain_map(struct device *dev, phys_addr_t phys, size_t size,
			  enum dma_data_direction dir, unsigned long attrs);
void lend_plain_unmap(struct device *dev, dma_addr_t addr, size_t size,
		      enum dma_data_direction dir, unsigned long attrs);
int lend_plain_map_sg(struct device *dev, struct scatterlist *sgl, int nents,
		      enum dma_data_direction dir, unsigned long attrs);
void lend_plain_unmap_sg(struct device *dev, struct scatterlist *sgl, int nents,
			 enum dma_data_direction dir, unsigned long attrs);

#endif
