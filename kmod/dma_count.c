// SPDX-License-Identifier: GPL-2.0-only
/*
 * What mappings of borrowed devices have come to, added up, and what is said of those
 * that cannot be made. Called by dma.c, dma_plain.c and attributes.c; takes no lock.
 */

#include <linux/pci.h>
#include <linux/percpu.h>
#include <linux/string.h>

#include "borrowed.h"
#include "dma_count.h"

/**
 * lend_dma_refuse() - count and say that a mapping cannot be made
 * @b: the borrowed device
 * @dev: its PCI device
 * @size: octets
 * @why: in words
 *
 * Context: any.
 */
void lend_dma_refuse(struct borrowed_device *b, struct device *dev, size_t size, const char *why)
{
	this_cpu_inc(b->dma_stats->errors);
	dev_warn_ratelimited(dev, "no DMA mapping of %zu octets: %s\n", size, why);
}

/**
 * lend_dma_stats_sum() - add up the CPUs' counts
 * @b: the borrowed device, perhaps not ready yet
 * @sum: result
 *
 * Context: any.
 */
void lend_dma_stats_sum(struct borrowed_device *b, struct lend_dma_stats *sum)
{
	const struct lend_dma_stats *s;
	int cpu;

	memset(sum, 0, sizeof(*sum));
	if (!b->dma_stats)
		return;
	for_each_possible_cpu(cpu) {
		s = per_cpu_ptr(b->dma_stats, cpu);
		sum->maps += READ_ONCE(s->maps);
		sum->unmaps += READ_ONCE(s->unmaps);
		sum->mapped += READ_ONCE(s->mapped);
		sum->unmapped += READ_ONCE(s->unmapped);
		sum->bounced += READ_ONCE(s->bounced);
		sum->errors += READ_ONCE(s->errors);
	}
}
