// SPDX-License-Identifier: GPL-2.0-only
/* Time of configuration accesses, and of a processor's accesses to BARs and windows. */

#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/ktime.h>

#include "bench.h"

static struct page *bench_pages;
static u32 bench_pages_order;

/**
 * bench_config() - time reads of a configuration register
 * @dev: the function
 * @offset: of the register
 * @gap_us: pause between two reads; 0: none
 * @times: how often
 * @out: a line of ns for each round
 *
 * Context: process.
 * Return: 0; -EIO the function does not answer.
 */
int bench_config(struct pci_dev *dev, u32 offset, u32 gap_us,
		 const struct bench_times *times, struct seq_buf *out)
{
	u64 start, sum;
	u32 round, i, value;

	for (round = 0; round < times->rounds; round++) {
		sum = 0;
		for (i = 0; i < times->batch; i++) {
			start = ktime_get_ns();
			pci_bus_read_config_dword(dev->bus, dev->devfn, offset, &value);
			sum += ktime_get_ns() - start;
			if (PCI_POSSIBLE_ERROR(value))
				return -EIO;
			if (gap_us)
				usleep_range(gap_us, gap_us + gap_us / 4);
		}
		seq_buf_printf(out, "%llu\n", div_u64(sum, times->batch));
		cond_resched();
	}
	return 0;
}

/**
 * bench_mmio() - time a processor's accesses to a BAR
 * @dev: the function; may be a bridge's, whose BAR is a window
 * @bar: which BAR
 * @offset: of a register that may be written with what was read from it
 * @times: how often
 * @out: a line of "ns of a write, ns of a read" for each round
 *
 * Context: process.
 * Return: 0; -EINVAL no such register; -ENOMEM; -EIO nothing answers.
 */
int bench_mmio(struct pci_dev *dev, u32 bar, u64 offset,
	       const struct bench_times *times, struct seq_buf *out)
{
	u64 start, writes, reads;
	void __iomem *at;
	u32 round, i, value;
	int ret = 0;

	if (bar >= PCI_STD_NUM_BARS || !(pci_resource_flags(dev, bar) & IORESOURCE_MEM) ||
	    offset + sizeof(value) > pci_resource_len(dev, bar))
		return -EINVAL;
	at = ioremap(pci_resource_start(dev, bar) + offset, sizeof(value));
	if (!at)
		return -ENOMEM;
	value = readl(at);
	if (PCI_POSSIBLE_ERROR(value))
		ret = -EIO;
	for (round = 0; !ret && round < times->rounds; round++) {
		start = ktime_get_ns();
		for (i = 0; i < times->batch; i++)
			writel(value, at);
		writes = ktime_get_ns() - start;
		/* Pushes what the processor has not waited for. */
		readl(at);
		start = ktime_get_ns();
		for (i = 0; i < times->batch; i++)
			readl(at);
		reads = ktime_get_ns() - start;
		seq_buf_printf(out, "%llu %llu\n", div_u64(writes, times->batch),
			       div_u64(reads, times->batch));
		cond_resched();
	}
	iounmap(at);
	return ret;
}

/**
 * bench_page() - have memory that others may write
 * @order: 2^order pages; what was given before is freed
 * @out: its physical address and size
 *
 * Context: process; the caller serialises.
 * Return: 0; -EINVAL; -ENOMEM.
 */
int bench_page(u32 order, struct seq_buf *out)
{
	if (order > MAX_PAGE_ORDER)
		return -EINVAL;
	bench_access_exit();
	bench_pages = alloc_pages(GFP_KERNEL | __GFP_ZERO, order);
	if (!bench_pages)
		return -ENOMEM;
	bench_pages_order = order;
	seq_buf_printf(out, "%llu %lu\n", page_to_phys(bench_pages), PAGE_SIZE << order);
	return 0;
}

/**
 * bench_access_exit() - free what bench_page() gave
 *
 * Context: process; the caller serialises.
 */
void bench_access_exit(void)
{
	if (bench_pages)
		__free_pages(bench_pages, bench_pages_order);
	bench_pages = NULL;
}
