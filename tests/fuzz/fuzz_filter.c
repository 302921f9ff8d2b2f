// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzz the configuration space filter: on a device that says anything, a borrower
 * that writes anything changes no register that is not its own, and lets no message
 * leave its window.
 *
 * Input: configuration space in pieces, then accesses.
 */

#include "../../kmod/filter.c"

#define WINDOW_BASE	0x100000000ULL
#define WINDOW_SIZE	0x10000000ULL

struct device {
	u8 reg[PCI_CFG_SPACE_EXP_SIZE];
	u32 size;
};

/* Beyond what was promised to be asked for there is nothing. */
static u32 device_read(void *ctx, u32 where, u32 size)
{
	struct device *d = ctx;
	u32 value = 0, i;

	MUST(where + size <= d->size);
	for (i = 0; i < size; i++)
		value |= (u32)d->reg[where + i] << 8 * i;
	return value;
}

/* A device that lets every bit be written. */
static void device_write(struct device *d, u32 where, u32 size, u32 value)
{
	u32 i;

	for (i = 0; i < size; i++)
		d->reg[where + i] = value >> 8 * i;
}

/* Capabilities are rare among arbitrary octets: the input says where something is. */
static void device_make(struct device *d, struct input *input)
{
	u8 pieces = take_u8(input) % 24;
	u16 at;

	d->size = take_u8(input) & 1 ? PCI_CFG_SPACE_EXP_SIZE : PCI_CFG_SPACE_SIZE;
	take(input, d->reg, PCI_STD_HEADER_SIZEOF);
	d->reg[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	while (pieces--) {
		take(input, &at, sizeof(at));
		at %= d->size - 8;
		take(input, d->reg + at, 8);
	}
}

/* The header's registers that belong to the owner, said once more, without the filter's tables. */
static bool is_the_owners(u32 octet)
{
	return octet < PCI_COMMAND ||
	       (octet >= PCI_CLASS_REVISION && octet < PCI_CACHE_LINE_SIZE) ||
	       (octet >= PCI_HEADER_TYPE && octet < PCI_STD_HEADER_SIZEOF);
}

static bool may_message(const struct lend_filter *f, struct device *d)
{
	u64 addr;

	if (!f->msi || !(device_read(d, f->msi + PCI_MSI_FLAGS, 2) & PCI_MSI_FLAGS_ENABLE))
		return true;
	addr = device_read(d, f->msi + PCI_MSI_ADDRESS_LO, 4) & ~3U;
	if (f->msi_64)
		addr |= (u64)device_read(d, f->msi + PCI_MSI_ADDRESS_HI, 4) << 32;
	return addr >= WINDOW_BASE && addr - WINDOW_BASE <= WINDOW_SIZE - sizeof(u32);
}

static void borrower_writes(struct lend_filter *f, struct device *d, u32 where, u32 size, u32 value)
{
	const struct lend_filter_range range = { WINDOW_BASE, WINDOW_SIZE };
	u32 raw = device_read(d, where, size), to, i;

	/* Everything is asked, as owner_serve.c does. */
	lend_filter_denied(f, where, size, raw, value);
	lend_filter_is_msi(f, where);
	if (!lend_filter_writable(f, where, size) ||
	    lend_filter_msi_leaves(f, where, size, value, &range, device_read, d))
		return;
	to = lend_filter_write(f, where, size, raw, value);
	for (i = 0; i < size; i++) {
		u8 was = raw >> 8 * i, is = to >> 8 * i;

		MUST(!((was ^ is) & ~f->write[where + i] & ~f->w1c[where + i]));
		MUST(was == is || !is_the_owners(where + i));
	}
	device_write(d, where, size, to);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input input = { data, size };
	static struct lend_filter f;
	struct device d = {};
	bool was_sound;

	device_make(&d, &input);
	lend_filter_build(&f, d.size, device_read, &d);
	MUST(f.size == d.size);
	was_sound = may_message(&f, &d);
	while (input.size) {
		u32 where = take_u32(&input) % (PCI_CFG_SPACE_EXP_SIZE + 16);
		u32 octets = take_u8(&input) % 6;

		if (!lend_filter_valid(&f, where, octets))
			continue;
		lend_filter_read(&f, where, octets, device_read(&d, where, octets));
		borrower_writes(&f, &d, where, octets, take_u32(&input));
	}
	MUST(!was_sound || may_message(&f, &d));
	return 0;
}
