// SPDX-License-Identifier: GPL-2.0-only
/* Time to map and unmap a page: through a function, and through another one. */

#include <linux/cpu.h>
#include <linux/dma-mapping.h>
#include <linux/ktime.h>
#include <linux/percpu.h>
#include <linux/workqueue.h>

#include "bench.h"

/**
 * struct bench_map_cpu - what one CPU does, and how long it took
 * @work: runs on it
 * @page: what is mapped
 * @ns: time of the batch
 * @failed: a mapping was refused
 */
struct bench_map_cpu {
	struct work_struct work;
	struct page *page;
	u64 ns;
	bool failed;
};

static DEFINE_PER_CPU(struct bench_map_cpu, bench_map_cpus);

/* One batch; written by bench_map() while no work runs. */
static struct device *bench_map_dev;
static u32 bench_map_batch;
static atomic_t bench_map_waiting;

/* Process context. */
static void bench_map_here(struct bench_map_cpu *cpu)
{
	struct device *dev = bench_map_dev;
	u64 start = ktime_get_ns();
	dma_addr_t addr;
	u32 i;

	for (i = 0; i < bench_map_batch; i++) {
		addr = dma_map_page(dev, cpu->page, 0, PAGE_SIZE, DMA_FROM_DEVICE);
		if (dma_mapping_error(dev, addr)) {
			cpu->failed = true;
			break;
		}
		dma_unmap_page(dev, addr, PAGE_SIZE, DMA_FROM_DEVICE);
	}
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

/* Process context. Returns tenths of a ns for each map and unmap, or 0 after a failure. */
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
	int i;

	for_each_possible_cpu(i) {
		cpu = per_cpu_ptr(&bench_map_cpus, i);
		if (cpu->page)
			__free_page(cpu->page);
		*cpu = (struct bench_map_cpu){};
	}
}

static int bench_map_alloc(void)
{
	struct bench_map_cpu *cpu;
	int i;

	for_each_possible_cpu(i) {
		cpu = per_cpu_ptr(&bench_map_cpus, i);
		cpu->page = alloc_page(GFP_KERNEL);
		if (!cpu->page)
			return -ENOMEM;
	}
	return 0;
}

/**
 * bench_map() - compare two functions' DMA mapping
 * @dev: one function
 * @ref: the other
 * @all_cpus: on all CPUs at once, or on the one that runs this
 * @times: how often
 * @out: a line of "ns of dev, ns of ref" for each round
 *
 * The two take turns, and take turns in who comes first.
 *
 * Context: process; the caller serialises.
 * Return: 0; -ENOMEM; -EIO a mapping was refused.
 */
int bench_map(struct pci_dev *dev, struct pci_dev *ref, bool all_cpus,
	      const struct bench_times *times, struct seq_buf *out)
{
	u64 of_dev, of_ref;
	u32 round;
	int ret;

	ret = bench_map_alloc();
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
