/* SPDX-License-Identifier: GPL-2.0-only */
/* Which memory of this host each inbound window shows. */
#ifndef LEND_REGION_H
#define LEND_REGION_H

#include <linux/types.h>

#define LEND_WINDOWS_MAX	4

/**
 * struct lend_region - what one window shows
 * @first: first address
 * @size: octets; 0: nothing
 */
struct lend_region {
	u64 first;
	u64 size;
};

/**
 * typedef lend_region_memory - the first memory at or above an address
 * @from: the address
 *
 * Returns U64_MAX where there is none.
 */
typedef u64 lend_region_memory(u64 from);

bool lend_region_choose(struct lend_region *region, u64 from, u64 align, u64 size, u64 mask,
			lend_region_memory *memory);
int lend_region_of(const struct lend_region *regions, unsigned int set, u64 addr, u64 size);

/**
 * lend_region_holds() - does a region show all of a block
 * @region: the region
 * @addr: first address of the block
 * @size: octets
 *
 * Context: any.
 */
static inline bool lend_region_holds(const struct lend_region *region, u64 addr, u64 size)
{
	return addr >= region->first && size <= region->size &&
	       addr - region->first <= region->size - size;
}

#endif
