/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Configuration space filter: what of a lent device's registers the borrower
 * sees and what it may write. Everything is visible and nothing is writable
 * unless a table says otherwise.
 */
#ifndef LEND_FILTER_H
#define LEND_FILTER_H

#include <linux/pci_regs.h>
#include <linux/types.h>

/**
 * struct lend_filter - one octet each per octet of configuration space
 * @size: octets of configuration space: 256 or 4096
 * @write: bits the borrower may change
 * @w1c: bits that a write of 1 clears; written as 0 unless in @write
 * @hide: bits that come from @show instead of the device
 * @show: see @hide
 */
struct lend_filter {
	u32 size;
	u8 write[PCI_CFG_SPACE_EXP_SIZE];
	u8 w1c[PCI_CFG_SPACE_EXP_SIZE];
	u8 hide[PCI_CFG_SPACE_EXP_SIZE];
	u8 show[PCI_CFG_SPACE_EXP_SIZE];
};

/* Reads @size (1, 2, 4) octets at @where of the device's registers. */
typedef u32 (*lend_filter_reader)(void *ctx, u32 where, u32 size);

void lend_filter_build(struct lend_filter *f, u32 size, lend_filter_reader read, void *ctx);
bool lend_filter_valid(const struct lend_filter *f, u32 where, u32 size);
u32 lend_filter_read(const struct lend_filter *f, u32 where, u32 size, u32 raw);
bool lend_filter_writable(const struct lend_filter *f, u32 where, u32 size);
u32 lend_filter_write(const struct lend_filter *f, u32 where, u32 size, u32 raw, u32 value);
u32 lend_filter_denied(const struct lend_filter *f, u32 where, u32 size, u32 raw, u32 value);

#endif
