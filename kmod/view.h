/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a borrowed device finds this host's memory: a view for each window that
 * shows some. Addresses are those of the NTB function's DMA address space
 * ("ours") and bus addresses of the owner ("the device's").
 */
#ifndef LEND_VIEW_H
#define LEND_VIEW_H

#include <linux/align.h>
#include <linux/bits.h>
#include <linux/errno.h>
#include <linux/minmax.h>
#include <linux/mm.h>

#include "region.h"

/**
 * struct lend_view - what one window shows, from both ends
 * @first: first address of ours
 * @size: octets
 * @bus: the device's address for @first
 * @window: index of the window
 */
struct lend_view {
	u64 first;
	u64 size;
	u64 bus;
	unsigned int window;
};

/**
 * struct lend_views - all that a device sees
 * @count: views; the first is that of the DMA window
 * @whole: bits of windows that show the device all that they can show
 * @view: the views; they overlap at neither end
 */
struct lend_views {
	unsigned int count;
	unsigned int whole;
	struct lend_view view[LEND_WINDOWS_MAX];
};

static inline bool lend_ranges_overlap(u64 a, u64 a_size, u64 b, u64 b_size)
{
	return a <= b ? b - a < a_size : a - b < b_size;
}

/**
 * lend_views_add() - add what the owner says of a window
 * @views: the views
 * @window: index of the window
 * @region: what the window shows here; not empty
 * @bus: where the device finds it, says the owner
 * @size: octets of it, says the owner
 *
 * The owner is not trusted: an address of the device must stand for one of ours
 * at the most.
 *
 * Context: any.
 * Return: 0; -EPROTO it cannot be so.
 */
static inline int lend_views_add(struct lend_views *views, unsigned int window,
				 const struct lend_region *region, u64 bus, u64 size)
{
	const struct lend_view *other;
	unsigned int i;
	u64 shown;

	if (views->count >= LEND_WINDOWS_MAX || window >= LEND_WINDOWS_MAX ||
	    !PAGE_ALIGNED(bus) || !size || bus + size < bus)
		return -EPROTO;
	/* Beyond either end nothing arrives. */
	shown = round_down(min(size, region->size), PAGE_SIZE);
	if (!shown)
		return -EPROTO;
	for (i = 0; i < views->count; i++) {
		other = &views->view[i];
		if (lend_ranges_overlap(bus, shown, other->bus, other->size) ||
		    lend_ranges_overlap(region->first, shown, other->first, other->size))
			return -EPROTO;
	}
	views->view[views->count++] = (struct lend_view) {
		.first = region->first, .size = shown, .bus = bus, .window = window,
	};
	if (size >= region->size)
		views->whole |= BIT(window);
	return 0;
}

/**
 * lend_views_to_device() - what an address of ours is called by the device
 * @views: the views
 * @addr: an address that is in one of them
 *
 * Context: any.
 */
static inline u64 lend_views_to_device(const struct lend_views *views, u64 addr)
{
	const struct lend_view *v = &views->view[0];
	unsigned int i;

	for (i = 1; i < views->count; i++)
		if (addr - views->view[i].first < views->view[i].size)
			v = &views->view[i];
	return addr - v->first + v->bus;
}

/**
 * lend_views_to_ours() - which address of ours the device means
 * @views: the views
 * @bus: what lend_views_to_device() has returned
 *
 * Context: any.
 */
static inline u64 lend_views_to_ours(const struct lend_views *views, u64 bus)
{
	const struct lend_view *v = &views->view[0];
	unsigned int i;

	for (i = 1; i < views->count; i++)
		if (bus - views->view[i].bus < views->view[i].size)
			v = &views->view[i];
	return bus - v->bus + v->first;
}

/**
 * lend_views_show() - does one view show all of a block
 * @views: the views
 * @mask: what the device reaches
 * @addr: first address of ours
 * @size: octets
 *
 * Context: any.
 */
static inline bool lend_views_show(const struct lend_views *views, u64 mask, u64 addr, u64 size)
{
	const struct lend_view *v;
	unsigned int i;

	for (i = 0; i < views->count; i++) {
		v = &views->view[i];
		if (addr >= v->first && size <= v->size && addr - v->first <= v->size - size)
			return addr - v->first + v->bus + size - 1 <= mask;
	}
	return false;
}

/**
 * lend_views_last() - the highest address that the device is ever told
 * @views: the views; not none
 *
 * Context: any.
 */
static inline u64 lend_views_last(const struct lend_views *views)
{
	unsigned int i;
	u64 last = 0;

	for (i = 0; i < views->count; i++)
		last = max(last, views->view[i].bus + views->view[i].size - 1);
	return last;
}

/**
 * lend_views_reached() - which views a device reaches from end to end
 * @views: the views
 * @mask: its DMA mask
 *
 * Context: any.
 * Return: bits of their windows.
 */
static inline unsigned int lend_views_reached(const struct lend_views *views, u64 mask)
{
	unsigned int i, reached = 0;

	for (i = 0; i < views->count; i++)
		if (views->view[i].bus + views->view[i].size - 1 <= mask)
			reached |= BIT(views->view[i].window);
	return reached;
}

#endif
