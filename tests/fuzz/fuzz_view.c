// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzz where a borrowed device finds memory: whatever an owner says of its windows,
 * an address of the device stands for one of ours at the most, and the way back is
 * the way there.
 *
 * Input: what the owner says of windows, then addresses.
 */

#include "../../kmod/view.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input input = { data, size };
	struct lend_views views = {};
	struct lend_region region;
	u8 told = take_u8(&input) % 8;
	u64 addr, bytes, bus;
	unsigned int i, j;

	while (told--) {
		/* Ours are sound: chosen by ourselves. */
		region.first = round_down(take_u64(&input) >> 16, PAGE_SIZE);
		region.size = round_down((take_u64(&input) >> 16) + PAGE_SIZE, PAGE_SIZE);
		bus = take_u64(&input);
		bytes = take_u64(&input);
		lend_views_add(&views, take_u8(&input), &region, bus, bytes);
	}
	MUST(views.count <= LEND_WINDOWS_MAX);
	for (i = 0; i < views.count; i++) {
		const struct lend_view *a = &views.view[i];

		MUST(a->size && a->bus + a->size - 1 >= a->bus && a->window < LEND_WINDOWS_MAX);
		for (j = 0; j < i; j++) {
			const struct lend_view *b = &views.view[j];

			MUST(a->bus + a->size - 1 < b->bus || b->bus + b->size - 1 < a->bus);
		}
	}
	while (views.count && input.size) {
		addr = take_u64(&input);
		bytes = take_u64(&input);
		if (!bytes || !lend_views_show(&views, ~0ULL, addr, bytes))
			continue;
		bus = lend_views_to_device(&views, addr);
		MUST(lend_views_to_ours(&views, bus) == addr);
		MUST(bus + bytes - 1 <= lend_views_last(&views));
		lend_views_reached(&views, take_u64(&input));
	}
	return 0;
}
