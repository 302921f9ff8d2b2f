// SPDX-License-Identifier: GPL-2.0-only
/*
 * Borrower side: the configuration space of a borrowed device. What never changes
 * and what belongs to this host is answered here, the rest by the owner.
 *
 * Called by the PCI core, which holds the raw pci_lock for user space, and by
 * borrower.c, which hears of a lease that is over by borrowed_device.over. What is
 * answered here is answered for as long as the device may be running: a driver that
 * takes it for pulled out does not stop it.
 * Locks: none.
 */

#include <linux/pci.h>

#include "borrowed.h"
#include "borrower_config.h"
#include "channel.h"
#include "filter.h"
#include "link.h"
#include "window.h"

/* Registers that never change, as dwords; the order of borrowed_device.ids. */
static const u8 borrower_config_ids[] = {
	PCI_VENDOR_ID, PCI_CLASS_REVISION, PCI_SUBSYSTEM_VENDOR_ID, PCI_CAPABILITY_LIST,
};

/* Command bits that are kept here: decoding is always on at the owner. */
#define LEND_COMMAND_LOCAL	(PCI_COMMAND_IO | PCI_COMMAND_MEMORY)

/* Any context. */
static int borrower_config_remote(struct borrowed_device *b, u8 op, u32 where, u32 size, u32 *value)
{
	struct lend_call call = {
		.op = op,
		.size = size,
		.handle = b->remote_id,
		.arg = where,
		.value = *value,
		.epoch = b->epoch,
	};
	int ret;

	/* Else each access of its driver would wait as long once more. */
	if (READ_ONCE(b->mute))
		return -ETIMEDOUT;
	atomic64_inc(op == LEND_OP_CONFIG_READ ? &b->config_reads : &b->config_writes);
	ret = lend_channel_call(&b->link->channel, &call);
	if (ret) {
		atomic64_inc(&b->config_errors);
		dev_warn_ratelimited(&b->link->ntb->dev,
				     "borrowed device %u: no access to register 0x%x: %d\n",
				     b->object.id, where, ret);
		if (ret == -ESTALE || ret == -ETIMEDOUT)
			b->over(b, ret == -ESTALE);
		return ret;
	}
	*value = call.val[0];
	return 0;
}

static bool borrower_config_is_bar(int where)
{
	return where >= PCI_BASE_ADDRESS_0 && where <= PCI_BASE_ADDRESS_5 + 3;
}

/* The value of a register that is answered here; false when it is not. */
static bool borrower_config_local(struct borrowed_device *b, int where, u32 *dword)
{
	int i;

	where &= ~3;
	for (i = 0; i < ARRAY_SIZE(borrower_config_ids); i++) {
		if (borrower_config_ids[i] == where) {
			*dword = b->ids[i];
			return true;
		}
	}
	if (borrower_config_is_bar(where)) {
		*dword = b->bar_value[(where - PCI_BASE_ADDRESS_0) / 4];
		return true;
	}
	if (where == PCI_ROM_ADDRESS) {
		*dword = b->rom_value;
		return true;
	}
	return false;
}

/* Put the bits that are kept here over what the owner says. */
static u32 borrower_config_overlay(struct borrowed_device *b, int where, int size, u32 value)
{
	int dword = where & ~3;
	u32 mask = 0, bits = 0;

	/* Not ready after a reset: what waits for it looks here. */
	if (dword == PCI_COMMAND && size > 1 && value == lend_part(~0U, where, size))
		return value;
	if (dword == (PCI_HEADER_TYPE & ~3)) {
		/* One function and no bridge, whatever the owner says: scans descend. */
		mask = 0xff << 16;
	} else if (dword == PCI_COMMAND) {
		mask = LEND_COMMAND_LOCAL;
		bits = b->command;
	} else if (dword == PCI_INTERRUPT_LINE) {
		mask = 0xff;
		bits = b->int_line;
	} else if (b->pm_cap && dword == b->pm_cap + PCI_PM_CTRL) {
		mask = PCI_PM_CTRL_STATE_MASK;
		bits = b->pm_ctrl;
	} else if (b->msi_relayed && b->msi_cap && dword == b->msi_cap) {
		mask = (PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE) << 16;
		bits = b->msi_flags << 16;
	} else if (b->msi_relayed && b->msix_cap && dword == b->msix_cap) {
		mask = (u32)(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL) << 16;
		bits = (u32)b->msix_flags << 16;
	}
	return (value & ~lend_part(mask, where, size)) | lend_part(bits & mask, where, size);
}

/* Any context; user space's accessors hold the raw pci_lock. */
static int borrower_config_read(struct pci_bus *bus, unsigned int devfn, int where, int size,
				u32 *val)
{
	struct borrowed_device *b = container_of(bus->sysdata, struct borrowed_device, sysdata);
	u32 value = 0;

	*val = ~0U;
	if (devfn || !pci_is_root_bus(bus) || READ_ONCE(b->gone) || where + size > b->cfg_size)
		return PCIBIOS_DEVICE_NOT_FOUND;
	if (borrower_config_local(b, where, &value)) {
		*val = lend_part(value, where, size);
		return PCIBIOS_SUCCESSFUL;
	}
	if (borrower_config_remote(b, LEND_OP_CONFIG_READ, where, size, &value))
		return PCIBIOS_DEVICE_NOT_FOUND;
	*val = borrower_config_overlay(b, where, size, value);
	return PCIBIOS_SUCCESSFUL;
}

/* BAR @i of a pair: which dword of the size mask applies. */
static void borrower_config_write_bar(struct borrowed_device *b, int i, u32 value)
{
	const struct borrowed_bar *bar = &b->bar[i];
	u64 mask;

	if (i && (b->bar[i - 1].flags & PCI_BASE_ADDRESS_MEM_TYPE_64) && b->bar[i - 1].size) {
		mask = ~(b->bar[i - 1].size - 1);
		b->bar_value[i] = value & upper_32_bits(mask);
	} else if (bar->size) {
		mask = ~(bar->size - 1);
		b->bar_value[i] = (value & lower_32_bits(mask) & PCI_BASE_ADDRESS_MEM_MASK) |
				  bar->flags;
	}
}

/* Is this a register of MSI or MSI-X? While the owner has them, it stays here. */
static bool borrower_config_write_msi(struct borrowed_device *b, int where, u32 value)
{
	if (b->msix_cap && where >= b->msix_cap && where < b->msix_cap + PCI_CAP_MSIX_SIZEOF) {
		if (where == b->msix_cap + PCI_MSIX_FLAGS)
			b->msix_flags = value;
		return true;
	}
	if (!b->msi_cap || where < b->msi_cap || where >= b->msi_cap + b->msi_size)
		return false;
	if (where == b->msi_cap + PCI_MSI_FLAGS)
		b->msi_flags = value;
	return true;
}

/* The address is kept here; the owner switches the decoder. */
static int borrower_config_write_rom(struct borrowed_device *b, u32 value)
{
	const struct borrowed_bar *rom = &b->bar[LEND_BAR_ROM];
	u32 before = b->rom_value, enable = value & PCI_ROM_ADDRESS_ENABLE;

	if (!rom->size)
		return PCIBIOS_SUCCESSFUL;
	b->rom_value = (value & ~lower_32_bits(rom->size - 1)) | enable;
	if (enable == (before & PCI_ROM_ADDRESS_ENABLE))
		return PCIBIOS_SUCCESSFUL;
	if (borrower_config_remote(b, LEND_OP_CONFIG_WRITE, PCI_ROM_ADDRESS, 4, &enable))
		return PCIBIOS_SET_FAILED;
	return PCIBIOS_SUCCESSFUL;
}

/* Any context; user space's accessors hold the raw pci_lock. */
static int borrower_config_write(struct pci_bus *bus, unsigned int devfn, int where, int size,
				 u32 val)
{
	struct borrowed_device *b = container_of(bus->sysdata, struct borrowed_device, sysdata);

	if (devfn || !pci_is_root_bus(bus) || READ_ONCE(b->gone) || where + size > b->cfg_size)
		return PCIBIOS_DEVICE_NOT_FOUND;

	if (borrower_config_is_bar(where)) {
		if (size == 4)
			borrower_config_write_bar(b, (where - PCI_BASE_ADDRESS_0) / 4, val);
		return PCIBIOS_SUCCESSFUL;
	}
	switch (where) {
	case PCI_ROM_ADDRESS:
		return size == 4 ? borrower_config_write_rom(b, val) : PCIBIOS_SUCCESSFUL;
	case PCI_COMMAND:
		b->command = val & LEND_COMMAND_LOCAL;
		break;
	case PCI_INTERRUPT_LINE:
		b->int_line = val;
		return PCIBIOS_SUCCESSFUL;
	}
	if (b->pm_cap && where == b->pm_cap + PCI_PM_CTRL) {
		b->pm_ctrl = val & PCI_PM_CTRL_STATE_MASK;
		return PCIBIOS_SUCCESSFUL;
	}
	if (b->msi_relayed && borrower_config_write_msi(b, where, val))
		return PCIBIOS_SUCCESSFUL;
	if (borrower_config_remote(b, LEND_OP_CONFIG_WRITE, where, size, &val))
		return PCIBIOS_SET_FAILED;
	return PCIBIOS_SUCCESSFUL;
}

struct pci_ops borrower_config_ops = {
	.read = borrower_config_read,
	.write = borrower_config_write,
};

static int borrower_config_dword(struct borrowed_device *b, u32 where, u32 *value)
{
	*value = 0;
	return borrower_config_remote(b, LEND_OP_CONFIG_READ, where, 4, value);
}

static int borrower_config_find_caps(struct borrowed_device *b)
{
	u32 pos = b->ids[3] & 0xfc, header, status;
	int ttl = 48, ret;

	ret = borrower_config_dword(b, PCI_COMMAND, &status);
	if (ret || !(status >> 16 & PCI_STATUS_CAP_LIST))
		return ret;
	while (pos >= PCI_STD_HEADER_SIZEOF && ttl--) {
		ret = borrower_config_dword(b, pos, &header);
		if (ret)
			return ret;
		switch (header & 0xff) {
		case PCI_CAP_ID_PM:
			b->pm_cap = pos;
			break;
		case PCI_CAP_ID_MSI:
			b->msi_cap = pos;
			b->msi_size = lend_msi_size(header >> 16);
			break;
		case PCI_CAP_ID_MSIX:
			b->msix_cap = pos;
			break;
		}
		pos = header >> 8 & 0xfc;
	}
	return 0;
}

/**
 * borrower_config_init() - learn what never changes, and place the BARs
 * @b: the borrowed device; its BARs and the windows are known
 *
 * Context: process.
 * Return: 0; -ENODEV no such device; or what lend_channel_call() says.
 */
int borrower_config_init(struct borrowed_device *b)
{
	u64 addr;
	int i, ret;

	for (i = 0; i < ARRAY_SIZE(borrower_config_ids); i++) {
		ret = borrower_config_dword(b, borrower_config_ids[i], &b->ids[i]);
		if (ret)
			return ret;
	}
	if (b->ids[0] == ~0U)
		return -ENODEV;

	for (i = 0; i < PCI_STD_NUM_BARS; i++) {
		if (!b->bar[i].size)
			continue;
		addr = b->link->windows.win[b->bar[i].window].bus + b->bar[i].offset;
		b->bar_value[i] = lower_32_bits(addr) | b->bar[i].flags;
		if (b->bar[i].flags & PCI_BASE_ADDRESS_MEM_TYPE_64)
			b->bar_value[i + 1] = upper_32_bits(addr);
	}
	if (b->bar[LEND_BAR_ROM].size)
		b->rom_value = lower_32_bits(b->link->windows.win[b->bar[LEND_BAR_ROM].window].bus +
					     b->bar[LEND_BAR_ROM].offset);
	return borrower_config_find_caps(b);
}

/**
 * lend_is_borrowed() - is this function one of ours
 * @pdev: any function
 *
 * Context: any.
 */
bool lend_is_borrowed(const struct pci_dev *pdev)
{
	return pdev->bus->ops == &borrower_config_ops;
}
