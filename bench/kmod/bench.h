/* SPDX-License-Identifier: GPL-2.0-only */
/* What the measurements of lend_bench share. */
#ifndef LEND_BENCH_H
#define LEND_BENCH_H

#include <linux/pci.h>
#include <linux/seq_buf.h>

#define BENCH_ROUNDS_MAX	1000
#define BENCH_BATCH_MAX		1000000
#define BENCH_PAGES_MAX		512

/**
 * struct bench_times - how a measurement is repeated
 * @rounds: results, one line each
 * @batch: operations in each
 */
struct bench_times {
	u32 rounds;
	u32 batch;
};

struct pci_dev *bench_pci_get(const char *name);

/* map.c */
int bench_map(struct pci_dev *dev, struct pci_dev *ref, bool all_cpus, u32 pages,
	      const struct bench_times *times, struct seq_buf *out);

/* access.c */
int bench_config(struct pci_dev *dev, u32 offset, u32 gap_us,
		 const struct bench_times *times, struct seq_buf *out);
int bench_mmio(struct pci_dev *dev, u32 bar, u64 offset,
	       const struct bench_times *times, struct seq_buf *out);
int bench_page(u32 order, struct seq_buf *out);
void bench_access_exit(void);

/* redirect.c */
int bench_redirect(struct pci_dev *dev, struct pci_dev *ntb, u32 bar, u64 offset,
		   u64 size, bool queues);
int bench_divert(void);
int bench_restore(void);

#endif
