/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What every map and unmap of a borrowed device does: see whether it may, and count.
 * Without an IOMMU a mapping is little more than that, so these are no calls.
 */
#ifndef LEND_DMA_COUNT_H
#define LEND_DMA_COUNT_H

#include <linux/percpu.h>
#include <linux/pci.h>

#include "borrowed.h"
#include "link.h"
#include "trace.h"

void lend_dma_refuse(struct borrowed_device *b, struct device *dev, size_t size, const char *why);
void lend_dma_stats_sum(struct borrowed_device *b, struct lend_dma_stats *sum);

static inline struct borrowed_device *lend_dma_of(struct device *dev)
{
	return lend_borrowed_of(to_pci_dev(dev));
}

static inline struct device *lend_dma_ntb(const struct borrowed_device *b)
{
	return &b->link->pdev->dev;
}

/**
 * lend_dma_enter() - begin a mapping
 * @b: the borrowed device
 *
 * Context: any.
 * Return: false once the device is going.
 */
static inline bool lend_dma_enter(struct borrowed_device *b)
{
	if (likely(!READ_ONCE(b->dma_over)))
		return true;
	this_cpu_inc(b->dma_stats->errors);
	return false;
}

/**
 * lend_dma_made() - mappings are made
 * @b: the borrowed device
 * @count: how many
 * @size: octets of all
 *
 * Context: any.
 */
static inline void lend_dma_made(struct borrowed_device *b, unsigned int count, size_t size)
{
	this_cpu_add(b->dma_stats->maps, count);
	this_cpu_add(b->dma_stats->mapped, size);
}

/**
 * lend_dma_ended() - mappings are no more
 * @b: the borrowed device; whoever waits for the last one frees it
 * @count: how many
 * @size: octets of all
 *
 * Context: any.
 */
static inline void lend_dma_ended(struct borrowed_device *b, unsigned int count, size_t size)
{
	this_cpu_add(b->dma_stats->unmapped, size);
	this_cpu_add(b->dma_stats->unmaps, count);
}

/**
 * lend_dma_traced() - tell who listens of the mappings of a list
 * @b: the borrowed device
 * @sgl: the list, with the device's addresses
 * @nents: entries, of which those that have no length are not mapped
 * @dir: who writes to it
 * @map: whether they are made
 *
 * Context: any.
 */
static inline void lend_dma_traced(struct borrowed_device *b, struct scatterlist *sgl, int nents,
				   enum dma_data_direction dir, bool map)
{
	struct scatterlist *sg;
	int i;

	if (!trace_lend_map_enabled())
		return;
	for_each_sg(sgl, sg, nents, i)
		if (sg_dma_len(sg))
			trace_lend_map(b->object.id, sg_dma_address(sg), sg_dma_len(sg), dir, map);
}

#endif
