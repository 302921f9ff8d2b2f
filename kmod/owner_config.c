// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owner side: registers of a lent function's configuration space, in any size.
 *
 * Called by owner_serve.c for the borrower, by owner_irq.c for the command register, and
 * for the filter, which lease.c builds. The function's own lock says who may write what.
 */

#include <linux/pci.h>

#include "filter.h"
#include "owner_config.h"

/**
 * owner_config_read() - read a register of a device
 * @pdev: the device
 * @where: offset
 * @size: octets
 * @raw: what it says
 *
 * Context: any.
 * Return: 0, or what the configuration access says.
 */
int owner_config_read(struct pci_dev *pdev, u32 where, u32 size, u32 *raw)
{
	u16 word;
	u8 byte;
	int ret;

	switch (size) {
	case 1:
		ret = pci_read_config_byte(pdev, where, &byte);
		*raw = byte;
		return ret;
	case 2:
		ret = pci_read_config_word(pdev, where, &word);
		*raw = word;
		return ret;
	default:
		return pci_read_config_dword(pdev, where, raw);
	}
}

/**
 * owner_filter_read() - read a register for the filter
 * @ctx: the device
 * @where: offset
 * @size: octets
 *
 * Context: any.
 * Return: what it says; all-ones if it cannot be read.
 */
u32 owner_filter_read(void *ctx, u32 where, u32 size)
{
	u32 value = ~0U;

	pci_read_config_dword(ctx, where & ~3U, &value);
	return lend_part(value, where, size);
}

/**
 * owner_config_write() - write a register of a device
 * @pdev: the device
 * @where: offset
 * @size: octets
 * @value: what to write
 *
 * Context: any.
 * Return: 0, or what the configuration access says.
 */
int owner_config_write(struct pci_dev *pdev, u32 where, u32 size, u32 value)
{
	switch (size) {
	case 1:
		return pci_write_config_byte(pdev, where, value);
	case 2:
		return pci_write_config_word(pdev, where, value);
	default:
		return pci_write_config_dword(pdev, where, value);
	}
}
