// SPDX-License-Identifier: GPL-2.0-only
/* KUnit tests of the configuration space filter, on made-up devices. */

#include <kunit/test.h>
#include <linux/prandom.h>
#include <linux/sizes.h>

#include "filter.h"

struct fake {
	u8 reg[PCI_CFG_SPACE_EXP_SIZE];
	struct lend_filter filter;
};

static u32 fake_read(void *ctx, u32 where, u32 size)
{
	struct fake *f = ctx;
	u32 value = 0, i;

	for (i = 0; i < size; i++)
		value |= (u32)f->reg[where + i] << 8 * i;
	return value;
}

static void fake_set(struct fake *f, u32 where, u32 size, u32 value)
{
	u32 i;

	for (i = 0; i < size; i++)
		f->reg[where + i] = value >> 8 * i;
}

static void fake_cap(struct fake *f, u32 pos, u8 id, u32 next, u16 flags)
{
	fake_set(f, pos, 1, id);
	fake_set(f, pos + 1, 1, next);
	fake_set(f, pos + 2, 2, flags);
}

static struct fake *fake_new(struct kunit *test)
{
	struct fake *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, f);
	fake_set(f, PCI_VENDOR_ID, 4, 0x00101b36);
	fake_set(f, PCI_STATUS, 2, PCI_STATUS_CAP_LIST);
	return f;
}

static void fake_build(struct fake *f, u32 size)
{
	lend_filter_build(&f->filter, size, fake_read, f);
}

/* What the borrower reads. */
static u32 fake_seen(struct fake *f, u32 where, u32 size)
{
	return lend_filter_read(&f->filter, where, size, fake_read(f, where, size));
}

/* What reaches the device when the borrower writes. */
static u32 fake_written(struct fake *f, u32 where, u32 size, u32 value)
{
	return lend_filter_write(&f->filter, where, size, fake_read(f, where, size), value);
}

static void what_the_kernel_knows_better_is_shown(struct kunit *test)
{
	struct fake *f = fake_new(test);

	/* A virtual function. */
	fake_set(f, PCI_VENDOR_ID, 4, ~0U);
	fake_build(f, PCI_CFG_SPACE_SIZE);
	lend_filter_show(&f->filter, PCI_VENDOR_ID, 2, 0x8086);
	lend_filter_show(&f->filter, PCI_DEVICE_ID, 2, 0x10ca);
	KUNIT_EXPECT_EQ(test, fake_seen(f, PCI_VENDOR_ID, 4), 0x10ca8086);
	KUNIT_EXPECT_EQ(test, fake_seen(f, PCI_DEVICE_ID, 2), 0x10ca);
}

static void a_placed_rom_can_be_switched_and_not_moved(struct kunit *test)
{
	struct fake *f = fake_new(test);

	fake_set(f, PCI_ROM_ADDRESS, 4, 0xfe000000);
	fake_build(f, PCI_CFG_SPACE_SIZE);
	KUNIT_EXPECT_EQ(test, fake_written(f, PCI_ROM_ADDRESS, 4, 0xdead0001), 0xfe000000);
	KUNIT_EXPECT_FALSE(test, lend_filter_writable(&f->filter, PCI_ROM_ADDRESS, 4));

	lend_filter_allow(&f->filter, PCI_ROM_ADDRESS, 4, PCI_ROM_ADDRESS_ENABLE);
	KUNIT_EXPECT_EQ(test, fake_written(f, PCI_ROM_ADDRESS, 4, 0xdead0001), 0xfe000001);
	KUNIT_EXPECT_EQ(test, fake_seen(f, PCI_ROM_ADDRESS, 4), 0);
}

static void accesses_are_checked(struct kunit *test)
{
	struct fake *f = fake_new(test);

	fake_build(f, PCI_CFG_SPACE_SIZE);
	KUNIT_EXPECT_TRUE(test, lend_filter_valid(&f->filter, 0, 4));
	KUNIT_EXPECT_TRUE(test, lend_filter_valid(&f->filter, 255, 1));
	KUNIT_EXPECT_TRUE(test, lend_filter_valid(&f->filter, 252, 4));
	KUNIT_EXPECT_FALSE(test, lend_filter_valid(&f->filter, 256, 1));
	KUNIT_EXPECT_FALSE(test, lend_filter_valid(&f->filter, 2, 4));
	KUNIT_EXPECT_FALSE(test, lend_filter_valid(&f->filter, 1, 2));
	KUNIT_EXPECT_FALSE(test, lend_filter_valid(&f->filter, 0, 0));
	KUNIT_EXPECT_FALSE(test, lend_filter_valid(&f->filter, 0, 3));
	KUNIT_EXPECT_FALSE(test, lend_filter_valid(&f->filter, 0, 8));
	KUNIT_EXPECT_FALSE(test, lend_filter_valid(&f->filter, ~3U, 4));
	fake_build(f, PCI_CFG_SPACE_EXP_SIZE);
	KUNIT_EXPECT_TRUE(test, lend_filter_valid(&f->filter, 4092, 4));
	KUNIT_EXPECT_FALSE(test, lend_filter_valid(&f->filter, 4096, 4));
}

static void the_command_register_belongs_to_both(struct kunit *test)
{
	struct fake *f = fake_new(test);

	fake_set(f, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	fake_build(f, PCI_CFG_SPACE_SIZE);
	KUNIT_EXPECT_EQ(test,
			fake_written(f, PCI_COMMAND, 2, PCI_COMMAND_MASTER | PCI_COMMAND_SERR),
			PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	KUNIT_EXPECT_EQ(test, fake_written(f, PCI_COMMAND, 2, 0), PCI_COMMAND_MEMORY);
	KUNIT_EXPECT_NE(test, lend_filter_denied(&f->filter, PCI_COMMAND, 2, PCI_COMMAND_MEMORY, 0),
			0);
	KUNIT_EXPECT_EQ(test, lend_filter_denied(&f->filter, PCI_COMMAND, 2, PCI_COMMAND_MEMORY,
						 PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER), 0);
}

static void status_is_cleared_only_on_purpose(struct kunit *test)
{
	struct fake *f = fake_new(test);

	fake_set(f, PCI_STATUS, 2, PCI_STATUS_CAP_LIST | PCI_STATUS_REC_MASTER_ABORT);
	fake_build(f, PCI_CFG_SPACE_SIZE);
	KUNIT_EXPECT_EQ(test, fake_written(f, PCI_COMMAND, 4, PCI_COMMAND_MASTER) >> 16,
			PCI_STATUS_CAP_LIST);
	KUNIT_EXPECT_EQ(test, fake_written(f, PCI_STATUS, 2, PCI_STATUS_REC_MASTER_ABORT),
			PCI_STATUS_CAP_LIST | PCI_STATUS_REC_MASTER_ABORT);
}

static void bars_are_neither_seen_nor_written(struct kunit *test)
{
	struct fake *f = fake_new(test);
	int i;

	for (i = PCI_BASE_ADDRESS_0; i <= PCI_BASE_ADDRESS_5; i += 4)
		fake_set(f, i, 4, 0xfebc0004);
	fake_set(f, PCI_ROM_ADDRESS, 4, 0xfeb00001);
	fake_build(f, PCI_CFG_SPACE_SIZE);
	for (i = PCI_BASE_ADDRESS_0; i <= PCI_BASE_ADDRESS_5; i += 4) {
		KUNIT_EXPECT_EQ(test, fake_seen(f, i, 4), 0);
		KUNIT_EXPECT_FALSE(test, lend_filter_writable(&f->filter, i, 4));
	}
	KUNIT_EXPECT_EQ(test, fake_seen(f, PCI_ROM_ADDRESS, 4), 0);
	KUNIT_EXPECT_FALSE(test, lend_filter_writable(&f->filter, PCI_ROM_ADDRESS, 4));
}

static void capabilities_that_cannot_work_are_unlinked(struct kunit *test)
{
	struct fake *f = fake_new(test);

	fake_set(f, PCI_CAPABILITY_LIST, 1, 0x40);
	fake_cap(f, 0x40, PCI_CAP_ID_HT, 0x50, 0);
	fake_cap(f, 0x50, PCI_CAP_ID_PM, 0x60, 0);
	fake_cap(f, 0x60, PCI_CAP_ID_EA, 0x70, 0);
	fake_cap(f, 0x70, PCI_CAP_ID_AF, 0x80, 0);
	fake_cap(f, 0x80, PCI_CAP_ID_MSIX, 0x90, 0);
	fake_cap(f, 0x90, PCI_CAP_ID_HT, 0, 0);
	fake_build(f, PCI_CFG_SPACE_SIZE);
	KUNIT_EXPECT_EQ(test, fake_seen(f, PCI_CAPABILITY_LIST, 1), 0x50);
	KUNIT_EXPECT_EQ(test, fake_seen(f, 0x51, 1), 0x80);
	KUNIT_EXPECT_EQ(test, fake_seen(f, 0x81, 1), 0);
	KUNIT_EXPECT_EQ(test, fake_seen(f, 0x50, 4) & 0xff, PCI_CAP_ID_PM);
}

static void a_list_without_end_ends(struct kunit *test)
{
	struct fake *f = fake_new(test);

	fake_set(f, PCI_CAPABILITY_LIST, 1, 0x40);
	fake_cap(f, 0x40, PCI_CAP_ID_VNDR, 0x50, 0);
	fake_cap(f, 0x50, PCI_CAP_ID_VNDR, 0x40, 0);
	fake_set(f, 0x100, 4, 0x10010001 | 0x100 << 20);
	fake_build(f, PCI_CFG_SPACE_EXP_SIZE);
	KUNIT_EXPECT_EQ(test, fake_seen(f, 0x41, 1), 0x50);
	KUNIT_EXPECT_EQ(test, fake_seen(f, 0x51, 1), 0);
}

/* A capability with a register that may be written, in each legal version. */
static const struct {
	u8 id;
	u16 flags;
	u16 size;	/* octets of it */
	u16 first;	/* a register that may be written */
	u16 last;	/* the last such octet */
} kinds[] = {
	{ PCI_CAP_ID_VPD, 0, 8, PCI_VPD_ADDR, PCI_VPD_ADDR + 1 },
	{ PCI_CAP_ID_MSI, 0, 12, PCI_MSI_FLAGS, PCI_MSI_DATA_32 + 1 },
	{ PCI_CAP_ID_MSI, PCI_MSI_FLAGS_64BIT, 16, PCI_MSI_FLAGS, PCI_MSI_DATA_64 + 1 },
	{ PCI_CAP_ID_MSI, PCI_MSI_FLAGS_MASKBIT, 20, PCI_MSI_FLAGS, PCI_MSI_MASK_32 + 3 },
	{ PCI_CAP_ID_MSI, PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_MASKBIT, 24, PCI_MSI_FLAGS,
	  PCI_MSI_MASK_64 + 3 },
	{ PCI_CAP_ID_MSIX, 0, 12, PCI_MSIX_FLAGS + 1, PCI_MSIX_FLAGS + 1 },
	{ PCI_CAP_ID_EXP, 1, 0x14, PCI_EXP_DEVCTL, PCI_EXP_DEVSTA },
	{ PCI_CAP_ID_EXP, 1 | PCI_EXP_TYPE_RC_END << 4, 0xc, PCI_EXP_DEVCTL, PCI_EXP_DEVSTA },
	{ PCI_CAP_ID_EXP, 2, 0x2c, PCI_EXP_DEVCTL, PCI_EXP_DEVCTL2 },
	{ PCI_CAP_ID_EXP, 2 | PCI_EXP_TYPE_RC_END << 4, 0x2c, PCI_EXP_DEVCTL, PCI_EXP_DEVCTL2 },
	{ PCI_CAP_ID_EXP, 3, 0x2c, PCI_EXP_DEVCTL, PCI_EXP_DEVCTL2 },
};

/* The last octet of a device's capabilities that may be written; 0: there is none. */
static u32 fake_last_writable(struct fake *f)
{
	u32 where, last = 0;

	for (where = PCI_STD_HEADER_SIZEOF; where < f->filter.size; where++)
		if (f->filter.write[where])
			last = where;
	return last;
}

static void a_capability_has_what_its_version_has(struct kunit *test)
{
	struct fake *f;
	int i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		/* At its last legal place. */
		u32 pos = PCI_CFG_SPACE_SIZE - kinds[i].size;

		f = fake_new(test);
		fake_set(f, PCI_CAPABILITY_LIST, 1, pos);
		fake_cap(f, pos, kinds[i].id, 0, kinds[i].flags);
		fake_build(f, PCI_CFG_SPACE_EXP_SIZE);
		KUNIT_EXPECT_EQ(test, fake_seen(f, PCI_CAPABILITY_LIST, 1), pos);
		KUNIT_EXPECT_TRUE(test, lend_filter_writable(&f->filter, pos + kinds[i].first, 1));
		KUNIT_EXPECT_EQ(test, fake_last_writable(f), pos + kinds[i].last);

		/* One dword further its end is somewhere else. */
		pos += 4;
		f = fake_new(test);
		fake_set(f, PCI_CAPABILITY_LIST, 1, pos);
		fake_cap(f, pos, kinds[i].id, 0, kinds[i].flags);
		fake_build(f, PCI_CFG_SPACE_EXP_SIZE);
		KUNIT_EXPECT_EQ(test, fake_seen(f, PCI_CAPABILITY_LIST, 1), 0);
		KUNIT_EXPECT_EQ(test, fake_last_writable(f), 0);
	}
}

static void a_capability_without_a_legal_version_is_only_read(struct kunit *test)
{
	struct fake *f = fake_new(test);

	fake_set(f, PCI_CAPABILITY_LIST, 1, 0x40);
	fake_cap(f, 0x40, PCI_CAP_ID_EXP, 0, 0);
	fake_build(f, PCI_CFG_SPACE_SIZE);
	KUNIT_EXPECT_EQ(test, fake_seen(f, PCI_CAPABILITY_LIST, 1), 0x40);
	KUNIT_EXPECT_EQ(test, fake_last_writable(f), 0);
}

static void capabilities_that_overlap_are_not_written(struct kunit *test)
{
	u32 at, pos = 0x60;
	struct fake *f;
	int i, before;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		for (at = pos + 4; at < pos + kinds[i].size; at += 4) {
			/* Whichever comes first in the list. */
			for (before = 0; before < 2; before++) {
				f = fake_new(test);
				fake_set(f, PCI_CAPABILITY_LIST, 1, before ? at : pos);
				fake_cap(f, pos, kinds[i].id, before ? 0 : at, kinds[i].flags);
				fake_cap(f, at, PCI_CAP_ID_VNDR, before ? pos : 0, 0);
				fake_build(f, PCI_CFG_SPACE_SIZE);
				KUNIT_EXPECT_EQ(test, fake_seen(f, PCI_CAPABILITY_LIST, 1), at);
				KUNIT_EXPECT_EQ(test, fake_seen(f, at + 1, 1), 0);
				KUNIT_EXPECT_EQ(test, fake_last_writable(f), 0);
			}
		}
		/* One that follows it is none of its. */
		f = fake_new(test);
		fake_set(f, PCI_CAPABILITY_LIST, 1, pos);
		fake_cap(f, pos, kinds[i].id, pos + kinds[i].size, kinds[i].flags);
		fake_cap(f, pos + kinds[i].size, PCI_CAP_ID_VNDR, 0, 0);
		fake_build(f, PCI_CFG_SPACE_SIZE);
		KUNIT_EXPECT_EQ(test, fake_seen(f, PCI_CAPABILITY_LIST, 1), pos);
		KUNIT_EXPECT_EQ(test, fake_last_writable(f), pos + kinds[i].last);
	}
}

static void power_states_stay_with_the_borrower(struct kunit *test)
{
	struct fake *f = fake_new(test);

	fake_set(f, PCI_CAPABILITY_LIST, 1, 0x40);
	fake_cap(f, 0x40, PCI_CAP_ID_PM, 0, PCI_PM_CAP_PME_MASK | 3);
	fake_set(f, 0x40 + PCI_PM_CTRL, 2, PCI_PM_CTRL_PME_STATUS | PCI_PM_CTRL_NO_SOFT_RESET);
	fake_build(f, PCI_CFG_SPACE_SIZE);
	KUNIT_EXPECT_FALSE(test, lend_filter_writable(&f->filter, 0x40 + PCI_PM_CTRL, 2));
	KUNIT_EXPECT_EQ(test, fake_seen(f, 0x40 + PCI_PM_CTRL, 2), PCI_PM_CTRL_NO_SOFT_RESET);
	KUNIT_EXPECT_EQ(test, fake_seen(f, 0x40 + PCI_PM_PMC, 2), 3);
}

static void msi_is_the_borrowers(struct kunit *test)
{
	struct fake *f = fake_new(test);

	fake_set(f, PCI_CAPABILITY_LIST, 1, 0x40);
	fake_cap(f, 0x40, PCI_CAP_ID_MSI, 0x60, PCI_MSI_FLAGS_64BIT);
	fake_cap(f, 0x60, PCI_CAP_ID_MSI, 0, 0);
	fake_build(f, PCI_CFG_SPACE_SIZE);
	KUNIT_EXPECT_FALSE(test, lend_filter_writable(&f->filter, 0x60, 4));
	KUNIT_EXPECT_EQ(test, fake_written(f, 0x40 + PCI_MSI_ADDRESS_HI, 4, 0xfd), 0xfd);
	KUNIT_EXPECT_EQ(test, fake_written(f, 0x40 + PCI_MSI_DATA_64, 2, 0x4021), 0x4021);
	/* It has no mask bits: what follows is something else's. */
	KUNIT_EXPECT_FALSE(test, lend_filter_writable(&f->filter, 0x40 + PCI_MSI_MASK_64, 4));
	KUNIT_EXPECT_TRUE(test, lend_filter_is_msi(&f->filter, 0x40));
	KUNIT_EXPECT_FALSE(test, lend_filter_is_msi(&f->filter, 0x40 + PCI_MSI_MASK_64));
	KUNIT_EXPECT_EQ(test, fake_written(f, 0x40 + PCI_MSI_FLAGS, 2, 0xffff),
			PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);

	fake_set(f, PCI_CAPABILITY_LIST, 1, 0x60);
	fake_cap(f, 0x60, PCI_CAP_ID_MSI, 0, PCI_MSI_FLAGS_MASKBIT);
	fake_build(f, PCI_CFG_SPACE_SIZE);
	KUNIT_EXPECT_EQ(test, fake_written(f, 0x60 + PCI_MSI_MASK_32, 4, 5), 5);
	KUNIT_EXPECT_FALSE(test, lend_filter_writable(&f->filter, 0x60 + PCI_MSI_PENDING_32, 4));
	KUNIT_EXPECT_EQ(test, fake_written(f, 0x60 + PCI_MSI_DATA_32, 2, 0x4021), 0x4021);
}

static bool fake_msi_leaves(struct fake *f, u32 where, u32 size, u32 value)
{
	static const struct lend_filter_range range = { 0xfd00000000, SZ_4G };

	return lend_filter_msi_leaves(&f->filter, 0x40 + where, size, value, &range, fake_read, f);
}

static void messages_stay_inside_the_window(struct kunit *test)
{
	struct fake *f = fake_new(test);

	fake_set(f, PCI_CAPABILITY_LIST, 1, 0x40);
	fake_cap(f, 0x40, PCI_CAP_ID_MSI, 0, PCI_MSI_FLAGS_64BIT);
	fake_build(f, PCI_CFG_SPACE_SIZE);
	/* In halves, while it is not enabled. */
	KUNIT_EXPECT_FALSE(test, fake_msi_leaves(f, PCI_MSI_ADDRESS_LO, 4, 0xfee01000));
	KUNIT_EXPECT_FALSE(test, fake_msi_leaves(f, PCI_MSI_ADDRESS_HI, 4, 0));
	/* To be enabled with an address of zero, of other memory, of the window. */
	KUNIT_EXPECT_TRUE(test, fake_msi_leaves(f, PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE));
	fake_set(f, 0x40 + PCI_MSI_ADDRESS_LO, 4, 0xfee01000);
	KUNIT_EXPECT_TRUE(test, fake_msi_leaves(f, PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE));
	KUNIT_EXPECT_TRUE(test, fake_msi_leaves(f, PCI_MSI_FLAGS, 1, PCI_MSI_FLAGS_ENABLE));
	KUNIT_EXPECT_TRUE(test, fake_msi_leaves(f, 0, 4, PCI_MSI_FLAGS_ENABLE << 16));
	fake_set(f, 0x40 + PCI_MSI_ADDRESS_HI, 4, 0xfd);
	KUNIT_EXPECT_FALSE(test, fake_msi_leaves(f, PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE));
	/* While it is enabled each part counts. */
	fake_set(f, 0x40 + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_ENABLE);
	KUNIT_EXPECT_FALSE(test, fake_msi_leaves(f, PCI_MSI_ADDRESS_LO, 4, 0xfee02000));
	KUNIT_EXPECT_FALSE(test, fake_msi_leaves(f, PCI_MSI_ADDRESS_LO, 4, 0xfffffffc));
	KUNIT_EXPECT_TRUE(test, fake_msi_leaves(f, PCI_MSI_ADDRESS_HI, 4, 0xfc));
	KUNIT_EXPECT_TRUE(test, fake_msi_leaves(f, PCI_MSI_ADDRESS_HI, 4, 0xfe));
	KUNIT_EXPECT_TRUE(test, fake_msi_leaves(f, PCI_MSI_ADDRESS_HI, 1, 0xfe));
	KUNIT_EXPECT_FALSE(test, fake_msi_leaves(f, PCI_MSI_DATA_64, 2, 0xffff));
	/* What disables it may always be written. */
	KUNIT_EXPECT_FALSE(test, fake_msi_leaves(f, PCI_MSI_FLAGS, 2, 0));
}

static void the_pin_is_shown_where_it_can_be_relayed(struct kunit *test)
{
	struct fake *f = fake_new(test);

	fake_set(f, PCI_INTERRUPT_PIN, 1, 2);
	fake_build(f, PCI_CFG_SPACE_SIZE);
	KUNIT_EXPECT_EQ(test, fake_seen(f, PCI_INTERRUPT_PIN, 1), 0);
	lend_filter_set_pin(&f->filter, 2);
	KUNIT_EXPECT_EQ(test, fake_seen(f, PCI_INTERRUPT_PIN, 1), 2);
	KUNIT_EXPECT_FALSE(test, lend_filter_writable(&f->filter, PCI_INTERRUPT_PIN, 1));
}

static void vital_data_can_be_read_and_not_written(struct kunit *test)
{
	struct fake *f = fake_new(test);

	fake_set(f, PCI_CAPABILITY_LIST, 1, 0x40);
	fake_cap(f, 0x40, PCI_CAP_ID_VPD, 0, 0);
	fake_set(f, 0x40 + PCI_VPD_ADDR, 2, PCI_VPD_ADDR_F | 4);
	fake_build(f, PCI_CFG_SPACE_SIZE);
	KUNIT_EXPECT_EQ(test, fake_written(f, 0x40 + PCI_VPD_ADDR, 2, PCI_VPD_ADDR_F | 8), 8);
	KUNIT_EXPECT_FALSE(test, lend_filter_writable(&f->filter, 0x40 + PCI_VPD_DATA, 4));
}

static void the_link_and_resets_are_the_owners(struct kunit *test)
{
	struct fake *f = fake_new(test);

	fake_set(f, PCI_CAPABILITY_LIST, 1, 0x40);
	fake_cap(f, 0x40, PCI_CAP_ID_EXP, 0, 2);
	fake_set(f, 0x40 + PCI_EXP_DEVCAP, 4, PCI_EXP_DEVCAP_FLR | 1);
	fake_set(f, 0x40 + PCI_EXP_DEVCTL, 2, 0x2020);
	fake_build(f, PCI_CFG_SPACE_SIZE);
	KUNIT_EXPECT_EQ(test, fake_seen(f, 0x40 + PCI_EXP_DEVCAP, 4), 1);
	KUNIT_EXPECT_EQ(test, fake_written(f, 0x40 + PCI_EXP_DEVCTL, 2, 0xffff),
			PCI_EXP_DEVCTL_READRQ | PCI_EXP_DEVCTL_NOSNOOP_EN |
			PCI_EXP_DEVCTL_RELAX_EN | 0x0020);
	KUNIT_EXPECT_FALSE(test, lend_filter_writable(&f->filter, 0x40 + PCI_EXP_LNKCTL, 2));
}

static void a_reset_is_shown_where_the_owner_can_restore(struct kunit *test)
{
	struct fake *f = fake_new(test);
	u32 devctl = 0x40 + PCI_EXP_DEVCTL;

	fake_set(f, PCI_CAPABILITY_LIST, 1, 0x40);
	fake_cap(f, 0x40, PCI_CAP_ID_EXP, 0, 2);
	fake_set(f, 0x40 + PCI_EXP_DEVCAP, 4, PCI_EXP_DEVCAP_FLR | 1);
	fake_build(f, PCI_CFG_SPACE_SIZE);
	KUNIT_EXPECT_FALSE(test, lend_filter_resets(&f->filter, devctl, 2, 0xffff));
	lend_filter_set_flr(&f->filter);
	KUNIT_EXPECT_EQ(test, fake_seen(f, 0x40 + PCI_EXP_DEVCAP, 4), PCI_EXP_DEVCAP_FLR | 1);
	KUNIT_EXPECT_TRUE(test, lend_filter_resets(&f->filter, devctl, 2, PCI_EXP_DEVCTL_BCR_FLR));
	KUNIT_EXPECT_TRUE(test, lend_filter_resets(&f->filter, devctl, 4, PCI_EXP_DEVCTL_BCR_FLR));
	KUNIT_EXPECT_TRUE(test, lend_filter_resets(&f->filter, devctl + 1, 1, 0x80));
	KUNIT_EXPECT_FALSE(test, lend_filter_resets(&f->filter, devctl, 1, 0xff));
	KUNIT_EXPECT_FALSE(test, lend_filter_resets(&f->filter, devctl, 2, 0x7fff));
	KUNIT_EXPECT_FALSE(test, lend_filter_resets(&f->filter, devctl + 2, 2, 0xffff));
	KUNIT_EXPECT_FALSE(test, lend_filter_resets(&f->filter, 0x40 + PCI_EXP_DEVCAP, 4, ~0U));
	/* It is not a bit that is written: the owner does what it asks for. */
	KUNIT_EXPECT_EQ(test, fake_written(f, devctl, 2, PCI_EXP_DEVCTL_BCR_FLR), 0);
}

static void without_pci_express_there_is_no_reset(struct kunit *test)
{
	struct fake *f = fake_new(test);

	fake_set(f, PCI_CAPABILITY_LIST, 1, 0x40);
	fake_cap(f, 0x40, PCI_CAP_ID_EXP, 0, 0);
	fake_build(f, PCI_CFG_SPACE_SIZE);
	lend_filter_set_flr(&f->filter);
	KUNIT_EXPECT_FALSE(test, lend_filter_resets(&f->filter, PCI_EXP_DEVCTL, 4, ~0U));
	KUNIT_EXPECT_FALSE(test, lend_filter_resets(&f->filter, 0x40 + PCI_EXP_DEVCTL, 4, ~0U));
}

static void extended_capabilities_are_unlinked(struct kunit *test)
{
	struct fake *f = fake_new(test);

	fake_set(f, 0x100, 4, PCI_EXT_CAP_ID_ERR | 1 << 16 | 0x140 << 20);
	fake_set(f, 0x140, 4, PCI_EXT_CAP_ID_SRIOV | 1 << 16 | 0x180 << 20);
	fake_set(f, 0x180, 4, PCI_EXT_CAP_ID_ATS | 1 << 16 | 0x1c0 << 20);
	fake_set(f, 0x1c0, 4, PCI_EXT_CAP_ID_DSN | 1 << 16);
	fake_build(f, PCI_CFG_SPACE_EXP_SIZE);
	KUNIT_EXPECT_EQ(test, fake_seen(f, 0x100, 4),
			PCI_EXT_CAP_ID_ERR | 1 << 16 | 0x1c0 << 20);
	KUNIT_EXPECT_EQ(test, fake_seen(f, 0x1c0, 4), PCI_EXT_CAP_ID_DSN | 1 << 16);
}

static void the_first_extended_capability_becomes_the_null_one(struct kunit *test)
{
	struct fake *f = fake_new(test);

	fake_set(f, 0x100, 4, PCI_EXT_CAP_ID_SRIOV | 1 << 16 | 0x140 << 20);
	fake_set(f, 0x140, 4, PCI_EXT_CAP_ID_PASID | 1 << 16 | 0x180 << 20);
	fake_set(f, 0x180, 4, PCI_EXT_CAP_ID_DSN | 1 << 16);
	fake_build(f, PCI_CFG_SPACE_EXP_SIZE);
	KUNIT_EXPECT_EQ(test, fake_seen(f, 0x100, 4), 0x180 << 20);
}

/* Whatever a device looks like and whatever is written: bits that may not change do not. */
static void no_write_changes_more_than_it_may(struct kunit *test)
{
	struct fake *f = fake_new(test);
	struct rnd_state rnd;
	u32 where, size, raw, value, got, may, w1c, i, round;

	prandom_seed_state(&rnd, 0x4c454e44);
	for (round = 0; round < 200; round++) {
		prandom_bytes_state(&rnd, f->reg, sizeof(f->reg));
		fake_set(f, PCI_STATUS, 2, fake_read(f, PCI_STATUS, 2) | PCI_STATUS_CAP_LIST);
		fake_build(f, PCI_CFG_SPACE_EXP_SIZE);
		for (i = 0; i < 500; i++) {
			size = 1 << prandom_u32_state(&rnd) % 3;
			where = prandom_u32_state(&rnd) % PCI_CFG_SPACE_EXP_SIZE & ~(size - 1);
			value = prandom_u32_state(&rnd);
			raw = fake_read(f, where, size);
			may = 0;
			w1c = 0;
			memcpy(&may, &f->filter.write[where], size);
			memcpy(&w1c, &f->filter.w1c[where], size);
			got = fake_written(f, where, size, value);
			if ((got ^ raw) & ~may & ~w1c || got & w1c & ~may)
				KUNIT_FAIL(test, "round %u: 0x%x/%u: 0x%x, 0x%x -> 0x%x", round,
					   where, size, raw, value, got);
		}
	}
}

static struct kunit_case lend_filter_cases[] = {
	KUNIT_CASE(what_the_kernel_knows_better_is_shown),
	KUNIT_CASE(a_placed_rom_can_be_switched_and_not_moved),
	KUNIT_CASE(accesses_are_checked),
	KUNIT_CASE(the_command_register_belongs_to_both),
	KUNIT_CASE(status_is_cleared_only_on_purpose),
	KUNIT_CASE(bars_are_neither_seen_nor_written),
	KUNIT_CASE(capabilities_that_cannot_work_are_unlinked),
	KUNIT_CASE(a_list_without_end_ends),
	KUNIT_CASE(a_capability_has_what_its_version_has),
	KUNIT_CASE(a_capability_without_a_legal_version_is_only_read),
	KUNIT_CASE(capabilities_that_overlap_are_not_written),
	KUNIT_CASE(power_states_stay_with_the_borrower),
	KUNIT_CASE(msi_is_the_borrowers),
	KUNIT_CASE(messages_stay_inside_the_window),
	KUNIT_CASE(the_pin_is_shown_where_it_can_be_relayed),
	KUNIT_CASE(vital_data_can_be_read_and_not_written),
	KUNIT_CASE(the_link_and_resets_are_the_owners),
	KUNIT_CASE(a_reset_is_shown_where_the_owner_can_restore),
	KUNIT_CASE(without_pci_express_there_is_no_reset),
	KUNIT_CASE(extended_capabilities_are_unlinked),
	KUNIT_CASE(the_first_extended_capability_becomes_the_null_one),
	KUNIT_CASE(no_write_changes_more_than_it_may),
	{ }
};

static struct kunit_suite lend_filter_suite = {
	.name = "ntb_lend_filter",
	.test_cases = lend_filter_cases,
};

kunit_test_suite(lend_filter_suite);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("KUnit tests of ntb_lend's configuration space filter");
