/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Configuration space filter: what of a lent device's registers the borrower
 * sees and what it may write. Everything is visible and nothing is writable
 * unless a table says otherwise.
 */
#ifndef LEND_FILTER_H
#define LEND_FILTER_H

#include <linux/bits.h>
#include <linux/pci_regs.h>
#include <linux/types.h>

/**
 * struct lend_filter - one octet each per octet of configuration space
 * @size: octets of configuration space: 256 or 4096
 * @write: bits the borrower may change
 * @w1c: bits that a write of 1 clears; written as 0 unless in @write
 * @hide: bits that come from @show instead of the device
 * @show: see @hide
 * @msi: offset of the MSI capability, or 0
 * @msi_size: octets of it
 * @msi_64: it has an address of 64 bits
 * @msix: offset of the MSI-X capability, or 0
 * @exp: offset of the PCI Express capability, or 0
 * @flr: the borrower may ask for a function level reset
 */
struct lend_filter {
	u32 size;
	u8 write[PCI_CFG_SPACE_EXP_SIZE];
	u8 w1c[PCI_CFG_SPACE_EXP_SIZE];
	u8 hide[PCI_CFG_SPACE_EXP_SIZE];
	u8 show[PCI_CFG_SPACE_EXP_SIZE];
	u8 msi;
	u8 msi_size;
	bool msi_64;
	u8 msix;
	u8 exp;
	bool flr;
};

/**
 * lend_part() - what an access sees of a dword
 * @dword: the dword
 * @where: offset of the access
 * @size: octets of it
 *
 * Context: any.
 */
static inline u32 lend_part(u32 dword, u32 where, u32 size)
{
	dword >>= 8 * (where & 3);
	return size == 4 ? dword : dword & (BIT(8 * size) - 1);
}

/**
 * lend_msi_size() - octets of an MSI capability
 * @flags: its flags
 *
 * Context: any.
 */
static inline u32 lend_msi_size(u16 flags)
{
	u32 size = flags & PCI_MSI_FLAGS_64BIT ? PCI_MSI_MASK_64 : PCI_MSI_MASK_32;

	return flags & PCI_MSI_FLAGS_MASKBIT ? size + 8 : size;
}

/**
 * struct lend_filter_range - bus addresses that a device may write to
 * @base: first one
 * @size: octets
 */
struct lend_filter_range {
	u64 base;
	u64 size;
};

/* Reads @size (1, 2, 4) octets at @where of the device's registers. */
typedef u32 (*lend_filter_reader)(void *ctx, u32 where, u32 size);

void lend_filter_build(struct lend_filter *f, u32 size, lend_filter_reader read, void *ctx);
void lend_filter_set_pin(struct lend_filter *f, u8 pin);
void lend_filter_set_flr(struct lend_filter *f);
void lend_filter_show(struct lend_filter *f, u32 where, u32 size, u32 value);
void lend_filter_allow(struct lend_filter *f, u32 where, u32 size, u32 bits);
bool lend_filter_valid(const struct lend_filter *f, u32 where, u32 size);
u32 lend_filter_read(const struct lend_filter *f, u32 where, u32 size, u32 raw);
bool lend_filter_writable(const struct lend_filter *f, u32 where, u32 size);
u32 lend_filter_write(const struct lend_filter *f, u32 where, u32 size, u32 raw, u32 value);
bool lend_filter_resets(const struct lend_filter *f, u32 where, u32 size, u32 value);
bool lend_filter_is_msi(const struct lend_filter *f, u32 where);
bool lend_filter_msi_leaves(const struct lend_filter *f, u32 where, u32 size, u32 value,
			    const struct lend_filter_range *range, lend_filter_reader read,
			    void *ctx);
u32 lend_filter_denied(const struct lend_filter *f, u32 where, u32 size, u32 raw, u32 value);

#endif
