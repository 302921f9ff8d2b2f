// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings of borrowed devices where no IOMMU translates what the NTB function sends and
 * one window shows all of this host's memory: the device's address is memory's own and a
 * number. Nothing is taken for a mapping, so nothing has to be undone, and there are no
 * caches or copies to keep in step.
 *
 * This is the path of each access on hosts without an IOMMU. What it takes is counted by
 * the bench in instructions.
 *
 * Called by drivers of borrowed devices through the operations in dma.c, in any context
 * and without a lock.
 */

#include <linux/dma-mapping.h>
#include <linux/scatterlist.h>

#include "borrowed.h"
#include "dma_count.h"
#include "dma_plain.h"
#include "link.h"

static const char lend_plain_beyond[] = "the device does not reach the window";

/**
 * lend_plain_fits() - can a device's mappings be made here
 * @b: the borrowed device, with its views
 *
 * Context: any.
 */
bool lend_plain_fits(const struct borrowed_device *b)
{
	return b->link->windows.plain && !b->link->windows.partial && b->views.count == 1;
}

/* How many octets of a view a device with this mask reaches, from its start on. */
static inline u64 lend_plain_room(const struct lend_view *v, u64 mask)
{
	if (unlikely(v->bus > mask))
		return 0;
	return v->size - 1 <= mask - v->bus ? v->size : mask - v->bus + 1;
}

/* Memory below the view has an offset beyond all room. */
static inline bool lend_plain_reaches(u64 room, u64 offset, size_t size)
{
	return likely(offset <= room && size <= room - offset);
}

/**
 * lend_plain_map() - tell a device of a block of memory
 * @dev: a borrowed device
 * @phys: where it is
 * @size: octets
 * @dir: who writes to it
 * @attrs: ignored
 *
 * Context: any.
 * Return: the device's address, or DMA_MAPPING_ERROR.
 */
dma_addr_t lend_plain_map(struct device *dev, phys_addr_t phys, size_t size,
			  enum dma_data_direction dir, unsigned long attrs)
{
	struct borrowed_device *b = lend_dma_of(dev);
	const struct lend_view *v = &b->views.view[0];
	u64 offset = phys - v->first;

	if (!lend_dma_enter(b))
		return DMA_MAPPING_ERROR;
	if (!lend_plain_reaches(lend_plain_room(v, dma_get_mask(dev)), offset, size)) {
		lend_dma_refuse(b, dev, size, lend_plain_beyond);
		return DMA_MAPPING_ERROR;
	}
	lend_dma_made(b, 1, size);
	trace_lend_map(b->object.id, v->bus + offset, size, dir, true);
	return v->bus + offset;
}

/**
 * lend_plain_unmap() - a device is no more to use a block of memory
 * @dev: a borrowed device
 * @addr: what lend_plain_map() has returned
 * @size: octets
 * @dir: who wrote to it
 * @attrs: ignored
 *
 * Context: any.
 */
void lend_plain_unmap(struct device *dev, dma_addr_t addr, size_t size,
		      enum dma_data_direction dir, unsigned long attrs)
{
	struct borrowed_device *b = lend_dma_of(dev);

	trace_lend_map(b->object.id, addr, size, dir, false);
	lend_dma_ended(b, 1, size);
}

/**
 * lend_plain_map_sg() - tell a device of a list of blocks
 * @dev: a borrowed device
 * @sgl: the list
 * @nents: its entries
 * @dir: who writes to them
 * @attrs: ignored
 *
 * Context: any.
 * Return: @nents; -EIO the device does not reach all of them, and is told of none.
 */
int lend_plain_map_sg(struct device *dev, struct scatterlist *sgl, int nents,
		      enum dma_data_direction dir, unsigned long attrs)
{
	struct borrowed_device *b = lend_dma_of(dev);
	const struct lend_view *v = &b->views.view[0];
	u64 room = lend_plain_room(v, dma_get_mask(dev));
	u64 first = v->first, bus = v->bus, offset;
	struct scatterlist *sg;
	size_t size = 0;
	int i;

	if (!lend_dma_enter(b))
		return -EIO;
	for_each_sg(sgl, sg, nents, i) {
		offset = sg_phys(sg) - first;
		if (!lend_plain_reaches(room, offset, sg->length)) {
			lend_dma_refuse(b, dev, sg->length, lend_plain_beyond);
			return -EIO;
		}
		sg_dma_address(sg) = bus + offset;
		sg_dma_len(sg) = sg->length;
		size += sg->length;
	}
	lend_dma_made(b, nents, size);
	lend_dma_traced(b, sgl, nents, dir, true);
	return nents;
}

/**
 * lend_plain_unmap_sg() - a device is no more to use a list of blocks
 * @dev: a borrowed device
 * @sgl: the list
 * @nents: its entries
 * @dir: who wrote to them
 * @attrs: ignored
 *
 * Context: any.
 */
void lend_plain_unmap_sg(struct device *dev, struct scatterlist *sgl, int nents,
			 enum dma_data_direction dir, unsigned long attrs)
{
	struct borrowed_device *b = lend_dma_of(dev);
	struct scatterlist *sg;
	size_t size = 0;
	int i;

	lend_dma_traced(b, sgl, nents, dir, false);
	for_each_sg(sgl, sg, nents, i)
		size += sg_dma_len(sg);
	lend_dma_ended(b, nents, size);
}
