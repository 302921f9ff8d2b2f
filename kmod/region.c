// SPDX-License-Identifier: GPL-2.0-only
/* Which memory a window shows. Knows nothing of where memory and windows are. */

#include <linux/align.h>
#include <linux/bits.h>
#include <linux/limits.h>
#include <linux/log2.h>
#include <linux/math.h>
#include <linux/minmax.h>

#include "region.h"

/**
 * lend_region_choose() - find a region with memory that is not shown yet
 * @region: result
 * @from: first address that is not shown yet
 * @align: what the bridge demands of the address
 * @size: octets that the window shows
 * @mask: what the bridge reaches
 * @memory: where memory is
 *
 * The region is aligned to its size, whatever the bridge says: there are some
 * that take another address, and then use the lower one that is.
 *
 * Context: that of @memory.
 * Return: false when there is none.
 */
bool lend_region_choose(struct lend_region *region, u64 from, u64 align, u64 size, u64 mask,
			lend_region_memory *memory)
{
	u64 step, base, next;

	if (!size || !align || size > BIT_ULL(62) || align > BIT_ULL(62))
		return false;
	step = roundup_pow_of_two(max(align, size));
	for (;;) {
		next = memory(from);
		if (next == U64_MAX || next < from)
			return false;
		base = round_down(next, step);
		if (base >= from)
			break;
		/* The place that has this memory is shown already, in part. */
		if (from > U64_MAX - step)
			return false;
		from = round_up(from, step);
	}
	if (base % align || base > mask || size - 1 > mask - base)
		return false;
	region->first = base;
	region->size = size;
	return true;
}

/**
 * lend_region_of() - which region shows all of a block
 * @regions: LEND_WINDOWS_MAX of them
 * @set: bits of those that count
 * @addr: first address of the block
 * @size: octets
 *
 * Context: any.
 * Return: its index, or -1.
 */
int lend_region_of(const struct lend_region *regions, unsigned int set, u64 addr, u64 size)
{
	int i;

	for (i = 0; i < LEND_WINDOWS_MAX; i++)
		if (set & BIT(i) && lend_region_holds(&regions[i], addr, size))
			return i;
	return -1;
}
