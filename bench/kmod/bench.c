// SPDX-License-Identifier: GPL-2.0-only
/*
 * lend_bench - measure what device lending costs, inside the kernel
 *
 * A command is written to <debugfs>/lend_bench/run; when the write returns,
 * reading the file gives the result, one line for each round:
 *
 *   map DEVICE REFERENCE all|one PAGES ROUNDS BATCH  ns to map and unmap so many pages
 *                                              through each of two functions
 *   config DEVICE OFFSET GAP_US ROUNDS BATCH   ns of a read of configuration space
 *   mmio FUNCTION BAR OFFSET ROUNDS BATCH      ns of a write, ns of a read
 *   page ORDER                                 address of memory others may write
 *   redirect FUNCTION NTB BAR OFFSET SIZE all|data  prepare that the function's DMA
 *                                              goes into a window; it has no driver
 *   divert                                     now let its data go there
 *   restore                                    end that
 */

#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "bench.h"

#define BENCH_RESULT_SIZE	SZ_64K
#define BENCH_COMMAND_MAX	200

static DEFINE_MUTEX(bench_lock);	/* the result, and one measurement at a time */
static char *bench_result;
static size_t bench_result_len;
static struct dentry *bench_dir;

/**
 * bench_pci_get() - find a function by its address as lspci -D writes it
 * @name: the address
 *
 * Context: process.
 * Return: the function with a reference, or NULL.
 */
struct pci_dev *bench_pci_get(const char *name)
{
	unsigned int domain, bus, slot, func;

	if (sscanf(name, "%x:%x:%x.%x", &domain, &bus, &slot, &func) != 4)
		return NULL;
	return pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, func));
}

static bool bench_times_valid(const struct bench_times *times)
{
	return times->rounds && times->rounds <= BENCH_ROUNDS_MAX &&
	       times->batch && times->batch <= BENCH_BATCH_MAX;
}

/* Process context, bench_lock held. */
static int bench_on_device(const char *line, struct pci_dev *dev, struct seq_buf *out)
{
	struct bench_times times = {};
	struct pci_dev *other;
	u32 bar, offset32, gap, pages;
	u64 offset, size;
	char name[32], word[8];
	int ret = -EINVAL;

	if (sscanf(line, "map %*31s %31s %7s %u %u %u", name, word, &pages, &times.rounds,
		   &times.batch) == 5 && pages && pages <= BENCH_PAGES_MAX &&
	    bench_times_valid(&times)) {
		other = bench_pci_get(name);
		if (other)
			ret = bench_map(dev, other, !strcmp(word, "all"), pages, &times, out);
		else
			ret = -ENODEV;
		pci_dev_put(other);
	} else if (sscanf(line, "config %*31s %u %u %u %u", &offset32, &gap, &times.rounds,
			  &times.batch) == 4 && bench_times_valid(&times)) {
		ret = bench_config(dev, offset32, gap, &times, out);
	} else if (sscanf(line, "mmio %*31s %u %llu %u %u", &bar, &offset, &times.rounds,
			  &times.batch) == 4 && bench_times_valid(&times)) {
		ret = bench_mmio(dev, bar, offset, &times, out);
	} else if (sscanf(line, "redirect %*31s %31s %u %llu %llu %7s", name, &bar, &offset,
			  &size, word) == 5) {
		other = bench_pci_get(name);
		if (other)
			ret = bench_redirect(dev, other, bar, offset, size, !strcmp(word, "all"));
		else
			ret = -ENODEV;
		pci_dev_put(other);
	}
	return ret;
}

/* Process context, bench_lock held. */
static int bench_command(const char *line, struct seq_buf *out)
{
	struct pci_dev *dev;
	char name[32];
	u32 order;
	int ret;

	if (sscanf(line, "page %u", &order) == 1)
		return bench_page(order, out);
	if (!strncmp(line, "divert", 6))
		return bench_divert();
	if (!strncmp(line, "restore", 7))
		return bench_restore();
	if (sscanf(line, "%*15s %31s", name) != 1)
		return -EINVAL;
	dev = bench_pci_get(name);
	if (!dev)
		return -ENODEV;
	ret = bench_on_device(line, dev, out);
	pci_dev_put(dev);
	return ret;
}

static ssize_t bench_write(struct file *file, const char __user *buf, size_t count, loff_t *ppos)
{
	char line[BENCH_COMMAND_MAX];
	struct seq_buf out;
	int ret;

	if (count >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, buf, count))
		return -EFAULT;
	line[count] = '\0';

	mutex_lock(&bench_lock);
	seq_buf_init(&out, bench_result, BENCH_RESULT_SIZE);
	ret = bench_command(line, &out);
	if (!ret && seq_buf_has_overflowed(&out))
		ret = -ENOSPC;
	bench_result_len = ret ? 0 : seq_buf_used(&out);
	mutex_unlock(&bench_lock);
	return ret ? ret : count;
}

static ssize_t bench_read(struct file *file, char __user *buf, size_t count, loff_t *ppos)
{
	ssize_t ret;

	mutex_lock(&bench_lock);
	ret = simple_read_from_buffer(buf, count, ppos, bench_result, bench_result_len);
	mutex_unlock(&bench_lock);
	return ret;
}

static const struct file_operations bench_fops = {
	.owner = THIS_MODULE,
	.read = bench_read,
	.write = bench_write,
	.llseek = default_llseek,
};

static int __init bench_init(void)
{
	bench_result = kvmalloc(BENCH_RESULT_SIZE, GFP_KERNEL);
	if (!bench_result)
		return -ENOMEM;
	bench_dir = debugfs_create_dir("lend_bench", NULL);
	debugfs_create_file("run", 0600, bench_dir, NULL, &bench_fops);
	return 0;
}
module_init(bench_init);

static void __exit bench_exit(void)
{
	debugfs_remove(bench_dir);
	bench_restore();
	bench_access_exit();
	kvfree(bench_result);
}
module_exit(bench_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Measure what device lending costs, inside the kernel");
MODULE_AUTHOR("the pcie.device_lending authors");
