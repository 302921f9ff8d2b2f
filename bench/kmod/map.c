// SPDX-License-Identifier: GPL-2.0-only
/* Time to map and unmap a list of pages: through a function, and through another one. */

#include <linux/cpu.h>
#include <linux/dma-mapping.h>
#include <linux/ktime.h>
#include <linux/percpu.h>
#include <linux/scatterlist.h>
#include <linux/workqueue.h>

#include "bench.h"

/**
 * struct bench_map_cpu - what one CPU does, and how long it took
 * @work: runs on it
 * @pages: what is mapped
 * @ns: time of the batch
 * @failed: a mapping was refused
 */
struct bench_map_cpu {
	struct work_struct work;
	struct sg_table pages;
	u64 ns;
	bool failed;
};

static DEFINE_PER_CPU(struct bench_map_cpu, bench_map_cpus);

/* One batch; written by bench_map() while no work runs. */
static struct device *bench_map_dev;
static u32 bench_map_batch;
static atomic_t bench_map_waiting;

/* Process context. As drivers do: a page alone is no list. Returns whether it was mapped. */
static bool bench_map_page(struct device *dev, struct page *page)
{
	dma_addr_t addr = dma_map_page(dev, page, 0, PAGE_SIZE, DMA_FROM_DEVICE);

	if (dma_mapping_error(dev, addr))
		return false;
	dma_unmap_page(dev, addr, PAGE_SIZE, DMA_FROM_DEVICE);
	return true;
}

/* Process context. Returns whether it was mapped. */
static bool bench_map_list(struct device *dev, struct sg_table *pages)
{
	if (dma_map_sgtable(dev, pages, DMA_FROM_DEVICE, 0))
		return false;
	dma_unmap_sgtable(dev, pages, DMA_FROM_DEVICE, 0);
	return true;
}

/* Process context. */
static void bench_map_here(struct bench_map_cpu *cpu)
{
	struct page *page = cpu->pages.orig_nents == 1 ? sg_page(cpu->pages.sgl) : NULL;
	struct device *dev = bench_map_dev;
	u64 start = ktime_get_ns();
	u32 i;

	for (i = 0; i < bench_map_batch && !cpu->failed; i++)
		cpu->failed = page ? !bench_map_page(dev, page) :
			      !bench_map_list(dev, &cpu->pages);
	cpu->ns = ktime_get_ns() - start;
}

/* Process context, on each CPU; all begin together. */
static void bench_map_work(struct work_struct *work)
{
	atomic_dec(&bench_map_waiting);
	while (atomic_read(&bench_map_waiting) > 0)
		cpu_relax();
	bench_map_here(this_cpu_ptr(&bench_map_cpus));
}

/* Process context; CPUs neither come nor go. Returns the CPUs' ns, 0 after a failure. */
static u64 bench_map_on_cpus(const struct cpumask *cpus)
{
	struct bench_map_cpu *cpu;
	bool failed = false;
	u64 sum = 0;
	int i;

	atomic_set(&bench_map_waiting, cpumask_weight(cpus));
	for_each_cpu(i, cpus) {
		cpu = per_cpu_ptr(&bench_map_cpus, i);
		INIT_WORK(&cpu->work, bench_map_work);
		schedule_work_on(i, &cpu->work);
	}
	for_each_cpu(i, cpus) {
		cpu = per_cpu_ptr(&bench_map_cpus, i);
		flush_work(&cpu->work);
		failed |= cpu->failed;
		sum += cpu->ns;
	}
	return failed ? 0 : sum;
}

/* Process context. Returns tenths of a ns to map and unmap all pages, or 0 after a failure. */
static u64 bench_map_once(struct device *dev, bool all_cpus, u32 batch)
{
	const struct cpumask *cpus;
	u64 ns;

	bench_map_dev = dev;
	bench_map_batch = batch;
	cpus_read_lock();
	cpus = all_cpus ? cpu_online_mask : cpumask_of(cpumask_first(cpu_online_mask));
	ns = div_u64(bench_map_on_cpus(cpus) * 10, batch * cpumask_weight(cpus));
	cpus_read_unlock();
	return ns;
}

static void bench_map_free(void)
{
	struct bench_map_cpu *cpu;
	struct scatterlist *sg;
	int i, n;

	for_each_possible_cpu(i) {
		cpu = per_cpu_ptr(&bench_map_cpus, i);
		for_each_sgtable_sg(&cpu->pages, sg, n)
			if (sg_page(sg))
				__free_page(sg_page(sg));
		sg_free_table(&cpu->pages);
		*cpu = (struct bench_map_cpu){};
	}
}

/* Process context. */
static int bench_map_alloc_on(struct bench_map_cpu *cpu, u32 pages)
{
	struct scatterlist *sg;
	struct page *page;
	int n, ret;

	ret = sg_alloc_table(&cpu->pages, pages, GFP_KERNEL);
	if (ret)
		return ret;
	for_each_sgtable_sg(&cpu->pages, sg, n) {
		page = alloc_page(GFP_KERNEL);
		if (!page)
			return -ENOMEM;
		sg_set_page(sg, page, PAGE_SIZE, 0);
	}
	return 0;
}

/* Process context. bench_map_free() follows, whatever it returns. */
static int bench_map_alloc(u32 pages)
{
	int i, ret;

	for_each_possible_cpu(i) {
		ret = bench_map_alloc_on(per_cpu_ptr(&bench_map_cpus, i), pages);
		if (ret)
			return ret;
	}
	return 0;
}

/**
 * bench_map() - compare two functions' DMA mapping
 * @dev: one function
 * @ref: the other
 * @all_cpus: on all CPUs at once, or on the one that runs this
 * @pages: how many at once
 * @times: how often
 * @out: a line of "ns of dev, ns of ref" for each round
 *
 * The two take turns, and take turns in who comes first.
 *
 * Context: process; the caller serialises.
 * Return: 0; -ENOMEM; -EIO a mapping was refused.
 */
int bench_map(struct pci_dev *dev, struct pci_dev *ref, bool all_cpus, u32 pages,
	      const struct bench_times *times, struct seq_buf *out)
{
	u64 of_dev, of_ref;
	u32 round;
	int ret;

	ret = bench_map_alloc(pages);
	for (round = 0; !ret && round < times->rounds; round++) {
		if (round & 1)
			of_ref = bench_map_once(&ref->dev, all_cpus, times->batch);
		of_dev = bench_map_once(&dev->dev, all_cpus, times->batch);
		if (!(round & 1))
			of_ref = bench_map_once(&ref->dev, all_cpus, times->batch);
		if (!of_dev || !of_ref)
			ret = -EIO;
		seq_buf_printf(out, "%llu.%llu %llu.%llu\n", of_dev / 10, of_dev % 10,
			       of_ref / 10, of_ref % 10);
		cond_resched();
	}
	bench_map_free();
	return ret;
}
