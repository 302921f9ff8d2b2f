// SPDX-License-Identifier: GPL-2.0-only
/*
 * Configuration space filter as tables. Pure logic: registers are read through
 * a callback while the filter is built, and passed in as values afterwards.
 */

#include <linux/bitfield.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "filter.h"

/**
 * struct lend_field - a register that differs from "visible, not writable"
 * @offset: from the start of the header or capability
 * @size: octets: 1, 2, 4
 * @write: bits the borrower may change
 * @w1c: bits that a write of 1 clears
 * @hide: bits that read as zero
 */
struct lend_field {
	u16 offset;
	u8 size;
	u32 write;
	u32 w1c;
	u32 hide;
};

#define LEND_STATUS_W1C	(PCI_STATUS_PARITY | PCI_STATUS_SIG_TARGET_ABORT | \
			 PCI_STATUS_REC_TARGET_ABORT | PCI_STATUS_REC_MASTER_ABORT | \
			 PCI_STATUS_SIG_SYSTEM_ERROR | PCI_STATUS_DETECTED_PARITY)

/*
 * Memory decoding stays on at the owner, and SERR# would reach the owner's
 * error handling. BARs, ROM and interrupt line belong to the owner: the
 * borrower's kernel has its own. The INTx disable bit is put together with what
 * the relay wants of it.
 */
static const struct lend_field lend_header[] = {
	{ PCI_COMMAND, 2, .write = PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE },
	{ PCI_STATUS, 2, .write = LEND_STATUS_W1C, .w1c = LEND_STATUS_W1C },
	{ PCI_CACHE_LINE_SIZE, 1, .write = 0xff },
	{ PCI_HEADER_TYPE, 1, .hide = 0xff & ~PCI_HEADER_TYPE_MASK },
	{ PCI_BASE_ADDRESS_0, 4, .hide = ~0U },
	{ PCI_BASE_ADDRESS_1, 4, .hide = ~0U },
	{ PCI_BASE_ADDRESS_2, 4, .hide = ~0U },
	{ PCI_BASE_ADDRESS_3, 4, .hide = ~0U },
	{ PCI_BASE_ADDRESS_4, 4, .hide = ~0U },
	{ PCI_BASE_ADDRESS_5, 4, .hide = ~0U },
	{ PCI_ROM_ADDRESS, 4, .hide = ~0U },
	{ PCI_INTERRUPT_LINE, 1, .hide = 0xff },
	/* Shown where the owner can relay it: lend_filter_set_pin(). */
	{ PCI_INTERRUPT_PIN, 1, .hide = 0xff },
	{ }
};

/* The borrower keeps the power state; at the owner the device stays in D0. */
static const struct lend_field lend_cap_pm[] = {
	{ PCI_PM_PMC, 2, .hide = PCI_PM_CAP_PME_MASK },
	{ PCI_PM_CTRL, 2, .w1c = PCI_PM_CTRL_PME_STATUS,
	  .hide = PCI_PM_CTRL_STATE_MASK | PCI_PM_CTRL_PME_ENABLE | PCI_PM_CTRL_PME_STATUS },
	{ }
};

/* The flag in bit 15 starts a write when set, and a read when clear. */
static const struct lend_field lend_cap_vpd[] = {
	{ PCI_VPD_ADDR, 2, .write = PCI_VPD_ADDR_MASK, .w1c = PCI_VPD_ADDR_F },
	{ }
};

static const struct lend_field lend_cap_msi_32[] = {
	{ PCI_MSI_FLAGS, 2, .write = PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE },
	{ PCI_MSI_ADDRESS_LO, 4, .write = ~3U },
	{ PCI_MSI_DATA_32, 2, .write = 0xffff },
	{ }
};

static const struct lend_field lend_cap_msi_64[] = {
	{ PCI_MSI_FLAGS, 2, .write = PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE },
	{ PCI_MSI_ADDRESS_LO, 4, .write = ~3U },
	{ PCI_MSI_ADDRESS_HI, 4, .write = ~0U },
	{ PCI_MSI_DATA_64, 2, .write = 0xffff },
	{ }
};

static const struct lend_field lend_cap_msi_mask = { 0, 4, .write = ~0U };

static const struct lend_field lend_cap_msix[] = {
	{ PCI_MSIX_FLAGS, 2, .write = PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL },
	{ }
};

/*
 * Payload size, extended tags, error reporting and the link belong to the
 * owner's fabric. A function level reset would wipe the BARs: the owner resets, if it
 * can also restore them, and shows it then: lend_filter_set_flr().
 */
static const struct lend_field lend_cap_exp[] = {
	{ PCI_EXP_DEVCAP, 4, .hide = PCI_EXP_DEVCAP_FLR },
	{ PCI_EXP_DEVCTL, 2, .write = PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_NOSNOOP_EN |
				      PCI_EXP_DEVCTL_READRQ },
	{ PCI_EXP_DEVSTA, 2,
	  .write = PCI_EXP_DEVSTA_CED | PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_FED |
		   PCI_EXP_DEVSTA_URD,
	  .w1c = PCI_EXP_DEVSTA_CED | PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_FED |
		 PCI_EXP_DEVSTA_URD },
	{ PCI_EXP_LNKSTA, 2, .w1c = PCI_EXP_LNKSTA_LBMS | PCI_EXP_LNKSTA_LABS },
	{ PCI_EXP_DEVCTL2, 2, .write = PCI_EXP_DEVCTL2_COMP_TIMEOUT |
				       PCI_EXP_DEVCTL2_COMP_TMOUT_DIS },
	{ }
};

/* Standard capabilities that cannot work through a bridge, or reset. */
static const u8 lend_caps_hidden[] = {
	PCI_CAP_ID_AGP, PCI_CAP_ID_SLOTID, PCI_CAP_ID_CHSWP, PCI_CAP_ID_HT,
	PCI_CAP_ID_SHPC, PCI_CAP_ID_AGP3, PCI_CAP_ID_AF, PCI_CAP_ID_EA,
};

/* Extended ones: they resize BARs, create functions, or leave the IOMMU. */
static const u16 lend_ext_caps_hidden[] = {
	PCI_EXT_CAP_ID_ACS, PCI_EXT_CAP_ID_ARI, PCI_EXT_CAP_ID_ATS,
	PCI_EXT_CAP_ID_SRIOV, PCI_EXT_CAP_ID_MRIOV, PCI_EXT_CAP_ID_MCAST,
	PCI_EXT_CAP_ID_PRI, PCI_EXT_CAP_ID_REBAR, PCI_EXT_CAP_ID_TPH,
	PCI_EXT_CAP_ID_LTR, PCI_EXT_CAP_ID_PASID, PCI_EXT_CAP_ID_DPC,
	PCI_EXT_CAP_ID_L1SS, PCI_EXT_CAP_ID_PTM, PCI_EXT_CAP_ID_DOE,
	/* VF resizable BAR; older headers have no name for it */
	0x24,
};

/* How far the registers of a PCI Express capability reach that the tables speak of, by version. */
#define LEND_EXP_SIZE_1_INTEGRATED	PCI_EXP_LNKCAP
#define LEND_EXP_SIZE_1			PCI_EXP_SLTCAP
#define LEND_EXP_SIZE_2			PCI_EXP_LNKCAP2

/* Each capability is at a dword of its own. */
#define LEND_CAPS_MAX	((PCI_CFG_SPACE_SIZE - PCI_STD_HEADER_SIZEOF) / 4)

/**
 * struct lend_cap - a standard capability of a device
 * @pos: where it is
 * @id: what it is
 * @flags: its second word
 * @size: octets of it that the tables speak of; 0: none
 */
struct lend_cap {
	u8 pos;
	u8 id;
	u16 flags;
	u16 size;
};

static void lend_filter_field(struct lend_filter *f, u32 base, const struct lend_field *field)
{
	u32 at = base + field->offset;
	int i;

	for (i = 0; i < field->size && at + i < f->size; i++) {
		f->write[at + i] |= field->write >> 8 * i;
		f->w1c[at + i] |= field->w1c >> 8 * i;
		f->hide[at + i] |= field->hide >> 8 * i;
	}
}

/* Those of the first @size octets; others do not exist there. */
static void lend_filter_fields(struct lend_filter *f, u32 base, u32 size,
			       const struct lend_field *field)
{
	for (; field->size; field++)
		if (field->offset + field->size <= size)
			lend_filter_field(f, base, field);
}

/**
 * lend_filter_show() - let a register read as this, whatever the device says
 * @f: the filter
 * @where: offset; checked with lend_filter_valid()
 * @size: octets
 * @value: what the borrower sees
 *
 * Context: any.
 */
void lend_filter_show(struct lend_filter *f, u32 where, u32 size, u32 value)
{
	u32 i;

	for (i = 0; i < size; i++) {
		f->hide[where + i] = 0xff;
		f->show[where + i] = value >> 8 * i;
	}
}

static bool lend_cap_is_hidden(u8 id)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(lend_caps_hidden); i++)
		if (lend_caps_hidden[i] == id)
			return true;
	return false;
}

static bool lend_ext_cap_is_hidden(u16 id)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(lend_ext_caps_hidden); i++)
		if (lend_ext_caps_hidden[i] == id)
			return true;
	return false;
}

static u32 lend_exp_size(u16 flags)
{
	switch (flags & PCI_EXP_FLAGS_VERS) {
	case 0:
		return PCI_CAP_SIZEOF;
	case 1:
		return (flags & PCI_EXP_FLAGS_TYPE) >> 4 == PCI_EXP_TYPE_RC_END ?
		       LEND_EXP_SIZE_1_INTEGRATED : LEND_EXP_SIZE_1;
	default:
		return LEND_EXP_SIZE_2;
	}
}

/* 0 for those of which the tables know nothing. */
static u32 lend_cap_size(u8 id, u16 flags)
{
	switch (id) {
	case PCI_CAP_ID_PM:
		return PCI_PM_SIZEOF;
	case PCI_CAP_ID_VPD:
		return PCI_CAP_VPD_SIZEOF;
	case PCI_CAP_ID_MSI:
		return lend_msi_size(flags);
	case PCI_CAP_ID_MSIX:
		return PCI_CAP_MSIX_SIZEOF;
	case PCI_CAP_ID_EXP:
		return lend_exp_size(flags);
	default:
		return 0;
	}
}

static void lend_filter_cap(struct lend_filter *f, const struct lend_cap *cap)
{
	switch (cap->id) {
	case PCI_CAP_ID_PM:
		lend_filter_fields(f, cap->pos, cap->size, lend_cap_pm);
		break;
	case PCI_CAP_ID_VPD:
		lend_filter_fields(f, cap->pos, cap->size, lend_cap_vpd);
		break;
	case PCI_CAP_ID_MSI:
		f->msi = cap->pos;
		f->msi_size = cap->size;
		f->msi_64 = cap->flags & PCI_MSI_FLAGS_64BIT;
		if (cap->flags & PCI_MSI_FLAGS_MASKBIT)
			lend_filter_field(f, cap->pos + (f->msi_64 ? PCI_MSI_MASK_64 :
								     PCI_MSI_MASK_32),
					  &lend_cap_msi_mask);
		lend_filter_fields(f, cap->pos, cap->size,
				   f->msi_64 ? lend_cap_msi_64 : lend_cap_msi_32);
		break;
	case PCI_CAP_ID_MSIX:
		f->msix = cap->pos;
		lend_filter_fields(f, cap->pos, cap->size, lend_cap_msix);
		break;
	case PCI_CAP_ID_EXP:
		if (cap->size > PCI_EXP_DEVSTA)
			f->exp = cap->pos;
		lend_filter_fields(f, cap->pos, cap->size, lend_cap_exp);
		break;
	}
}

/* How many there are; a list that comes back to where it was ends there. */
static int lend_caps_find(struct lend_cap *caps, lend_filter_reader read, void *ctx)
{
	u32 pos = read(ctx, PCI_CAPABILITY_LIST, 1) & ~3U;
	u64 seen = 0;
	int n = 0;

	while (pos >= PCI_STD_HEADER_SIZEOF && !(seen & BIT_ULL(pos / 4))) {
		struct lend_cap *cap = &caps[n];

		cap->pos = pos;
		cap->id = read(ctx, pos + PCI_CAP_LIST_ID, 1);
		cap->flags = read(ctx, pos + PCI_CAP_FLAGS, 2);
		cap->size = lend_cap_size(cap->id, cap->flags);
		if (cap->id == 0xff)
			break;
		seen |= BIT_ULL(pos / 4);
		pos = read(ctx, pos + PCI_CAP_LIST_NEXT, 1) & ~3U;
		n++;
	}
	return n;
}

/*
 * What is in the tables has to be as long as it says, and there once: else what may
 * be written would be another one's register, or escape the check of addresses.
 */
static bool lend_cap_is_sound(const struct lend_cap *caps, int n, int i)
{
	u32 end = caps[i].pos + caps[i].size;
	int j;

	if (!caps[i].size)
		return true;
	if (end > PCI_CFG_SPACE_SIZE)
		return false;
	for (j = 0; j < n; j++) {
		if (j == i)
			continue;
		if (j < i && caps[j].id == caps[i].id)
			return false;
		if (caps[j].pos < end &&
		    caps[i].pos < caps[j].pos + max_t(u32, caps[j].size, PCI_CAP_SIZEOF))
			return false;
	}
	return true;
}

/* The list, from one that is shown to the next. */
static void lend_filter_link(struct lend_filter *f, u32 link, u8 next, lend_filter_reader read,
			     void *ctx)
{
	if ((read(ctx, link, 1) & ~3U) != next)
		lend_filter_show(f, link, 1, next);
}

static void lend_filter_caps(struct lend_filter *f, lend_filter_reader read, void *ctx)
{
	struct lend_cap caps[LEND_CAPS_MAX];
	u32 link = PCI_CAPABILITY_LIST;
	int i, n;

	if (!(read(ctx, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST))
		return;
	n = lend_caps_find(caps, read, ctx);
	for (i = 0; i < n; i++) {
		if (lend_cap_is_hidden(caps[i].id) || !lend_cap_is_sound(caps, n, i))
			continue;
		lend_filter_cap(f, &caps[i]);
		lend_filter_link(f, link, caps[i].pos, read, ctx);
		link = caps[i].pos + PCI_CAP_LIST_NEXT;
	}
	lend_filter_link(f, link, 0, read, ctx);
}

static void lend_filter_ext_caps(struct lend_filter *f, lend_filter_reader read, void *ctx)
{
	u32 pos = PCI_CFG_SPACE_SIZE, prev = 0, prev_header = 0;
	int ttl = (PCI_CFG_SPACE_EXP_SIZE - PCI_CFG_SPACE_SIZE) / 8;

	while (pos >= PCI_CFG_SPACE_SIZE && pos + 4 <= f->size && ttl--) {
		u32 header = read(ctx, pos, 4), next = PCI_EXT_CAP_NEXT(header);

		if (!header || header == ~0U)
			break;
		if (!lend_ext_cap_is_hidden(PCI_EXT_CAP_ID(header))) {
			prev = pos;
			prev_header = header;
		} else if (!prev) {
			/* The first one cannot be skipped: it becomes the null capability. */
			prev = pos;
			prev_header = next << 20;
			lend_filter_show(f, pos, 4, prev_header);
		} else {
			prev_header = (prev_header & GENMASK(19, 0)) | next << 20;
			lend_filter_show(f, prev, 4, prev_header);
		}
		pos = next;
	}
}

/**
 * lend_filter_build() - make the filter of a device
 * @f: filled in
 * @size: octets of configuration space: 256 or 4096
 * @read: reads the device's registers
 * @ctx: for @read
 *
 * Context: that of @read.
 */
void lend_filter_build(struct lend_filter *f, u32 size, lend_filter_reader read, void *ctx)
{
	memset(f, 0, sizeof(*f));
	f->size = size;
	lend_filter_fields(f, 0, PCI_STD_HEADER_SIZEOF, lend_header);
	lend_filter_caps(f, read, ctx);
	if (size > PCI_CFG_SPACE_SIZE)
		lend_filter_ext_caps(f, read, ctx);
}

/**
 * lend_filter_set_pin() - show an interrupt pin
 * @f: the filter
 * @pin: 1 to 4, or 0 when INTx cannot be relayed
 *
 * Context: any.
 */
void lend_filter_set_pin(struct lend_filter *f, u8 pin)
{
	lend_filter_show(f, PCI_INTERRUPT_PIN, 1, pin);
}

/**
 * lend_filter_set_flr() - show the function level reset of a device that has one
 * @f: the filter
 *
 * Context: any.
 */
void lend_filter_set_flr(struct lend_filter *f)
{
	u32 i;

	if (!f->exp)
		return;
	f->flr = true;
	for (i = 0; i < 4; i++)
		f->hide[f->exp + PCI_EXP_DEVCAP + i] &= ~(PCI_EXP_DEVCAP_FLR >> 8 * i);
}

/**
 * lend_filter_allow() - let the borrower change bits that the tables keep
 * @f: the filter
 * @where: offset; checked with lend_filter_valid()
 * @size: octets
 * @bits: to allow
 *
 * Context: any.
 */
void lend_filter_allow(struct lend_filter *f, u32 where, u32 size, u32 bits)
{
	u32 i;

	for (i = 0; i < size; i++)
		f->write[where + i] |= bits >> 8 * i;
}

/**
 * lend_filter_valid() - is this an access that a device can be asked for
 * @f: the filter
 * @where: offset
 * @size: octets
 *
 * Context: any.
 */
bool lend_filter_valid(const struct lend_filter *f, u32 where, u32 size)
{
	return (size == 1 || size == 2 || size == 4) && !(where & (size - 1)) &&
	       where < f->size && f->size - where >= size;
}

static u32 lend_filter_bits(const u8 *map, u32 where, u32 size)
{
	u32 bits = 0, i;

	for (i = 0; i < size; i++)
		bits |= (u32)map[where + i] << 8 * i;
	return bits;
}

/**
 * lend_filter_read() - what the borrower sees
 * @f: the filter
 * @where: offset; checked with lend_filter_valid()
 * @size: octets
 * @raw: what the device says
 *
 * Context: any.
 */
u32 lend_filter_read(const struct lend_filter *f, u32 where, u32 size, u32 raw)
{
	u32 hide = lend_filter_bits(f->hide, where, size);

	return (raw & ~hide) | (lend_filter_bits(f->show, where, size) & hide);
}

/**
 * lend_filter_writable() - may any bit of this be written
 * @f: the filter
 * @where: offset; checked with lend_filter_valid()
 * @size: octets
 *
 * Context: any.
 */
bool lend_filter_writable(const struct lend_filter *f, u32 where, u32 size)
{
	return lend_filter_bits(f->write, where, size);
}

/**
 * lend_filter_write() - what to write to the device
 * @f: the filter
 * @where: offset; checked with lend_filter_valid()
 * @size: octets
 * @raw: what the device says
 * @value: what the borrower wants to write
 *
 * Context: any.
 */
u32 lend_filter_write(const struct lend_filter *f, u32 where, u32 size, u32 raw, u32 value)
{
	u32 write = lend_filter_bits(f->write, where, size);
	u32 w1c = lend_filter_bits(f->w1c, where, size);

	return (raw & ~write & ~w1c) | (value & write);
}

/**
 * lend_filter_resets() - does a write ask for a function level reset
 * @f: the filter
 * @where: offset; checked with lend_filter_valid()
 * @size: octets
 * @value: what the borrower wants to write
 *
 * Context: any.
 */
bool lend_filter_resets(const struct lend_filter *f, u32 where, u32 size, u32 value)
{
	u32 at = f->exp + PCI_EXP_DEVCTL + 1;

	return f->flr && where <= at && at - where < size &&
	       value >> 8 * (at - where) & PCI_EXP_DEVCTL_BCR_FLR >> 8;
}

/**
 * lend_filter_is_msi() - does a register belong to MSI or MSI-X
 * @f: the filter
 * @where: offset
 *
 * Context: any.
 */
bool lend_filter_is_msi(const struct lend_filter *f, u32 where)
{
	return (f->msi && where >= f->msi && where < f->msi + f->msi_size) ||
	       (f->msix && where >= f->msix && where < f->msix + PCI_CAP_MSIX_SIZEOF);
}

/* The dword at @at as it is once @value is written. */
static u32 lend_filter_after(u32 at, u32 where, u32 size, u32 value, lend_filter_reader read,
			     void *ctx)
{
	u32 shift = 8 * (where & 3), mask = (size == 4 ? ~0U : BIT(8 * size) - 1) << shift;
	u32 now = read(ctx, at, 4);

	return (where & ~3U) == at ? (now & ~mask) | (value << shift & mask) : now;
}

/**
 * lend_filter_msi_leaves() - would a write let the device's MSI leave its window
 * @f: the filter
 * @where: offset; checked with lend_filter_valid()
 * @size: octets
 * @value: what the borrower wants to write
 * @range: where the device may write
 * @read: reads the device's registers
 * @ctx: for @read
 *
 * The address is written in halves before MSI is enabled: it counts once it is.
 *
 * Context: that of @read.
 */
bool lend_filter_msi_leaves(const struct lend_filter *f, u32 where, u32 size, u32 value,
			    const struct lend_filter_range *range, lend_filter_reader read,
			    void *ctx)
{
	u32 end = f->msi + (f->msi_64 ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32);
	u64 addr;
	u32 flags;

	if (!f->msi || where < f->msi || where >= end)
		return false;
	flags = lend_filter_after(f->msi, where, size, value, read, ctx) >> 16;
	if (!(flags & PCI_MSI_FLAGS_ENABLE))
		return false;
	addr = lend_filter_after(f->msi + PCI_MSI_ADDRESS_LO, where, size, value, read, ctx) & ~3U;
	if (f->msi_64)
		addr |= (u64)lend_filter_after(f->msi + PCI_MSI_ADDRESS_HI, where, size, value,
					       read, ctx) << 32;
	return addr < range->base || addr - range->base >= range->size ||
	       range->size - (addr - range->base) < sizeof(u32);
}

/**
 * lend_filter_denied() - bits that the borrower wanted to change and may not
 * @f: the filter
 * @where: offset; checked with lend_filter_valid()
 * @size: octets
 * @raw: what the device says
 * @value: what the borrower wants to write
 *
 * Context: any.
 */
u32 lend_filter_denied(const struct lend_filter *f, u32 where, u32 size, u32 raw, u32 value)
{
	u32 write = lend_filter_bits(f->write, where, size);
	u32 w1c = lend_filter_bits(f->w1c, where, size);
	u32 all = size == 4 ? ~0U : BIT(8 * size) - 1;

	return ((lend_filter_read(f, where, size, raw) ^ value) & ~write & ~w1c & all) |
	       (value & w1c & ~write);
}
