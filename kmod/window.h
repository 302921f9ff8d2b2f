/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory windows of a link, both directions. */
#ifndef LEND_WINDOW_H
#define LEND_WINDOW_H

#include <linux/ioport.h>
#include <linux/types.h>

#include "region.h"

struct device;
struct netlink_ext_ack;
struct ntb_dev;
struct pci_dev;

/**
 * struct lend_window - one memory window, both directions
 * @pci_bar: BAR of the NTB function behind @base; -1 when not found
 * @base: CPU physical address of the outbound window
 * @bus: PCI bus address of the outbound window
 * @size: octets of the outbound window; 0: the firmware left it out
 * @inbound_base: DMA address the peer's window is translated to
 * @inbound_size: octets the peer can reach; 0 when closed
 * @inbound_max: most octets the bridge translates inbound
 * @res: the outbound window as the root buses of borrowed devices see it
 * @claimed: the region was taken over from the bridge driver into @res
 */
struct lend_window {
	int pci_bar;
	phys_addr_t base;
	u64 bus;
	resource_size_t size;
	dma_addr_t inbound_base;
	resource_size_t inbound_size;
	resource_size_t inbound_max;
	struct resource res;
	bool claimed;
};

/**
 * struct lend_windows - the windows of a link
 * @ntb: the NTB device
 * @pdev: its PCI function; all DMA of borrowed devices is mapped through it
 * @pidx: the NTB API's peer index
 * @win: the windows; @count of them
 * @count: see @win
 * @dma: index of the window for DMA, interrupts and channel
 * @bar: index of the window for BARs; equals @dma with one window only. Those
 *	that are neither are free: they show more memory, where that helps
 * @dma_mask: what the NTB function's DMA mask was before
 * @translated: an IOMMU translates the NTB function's DMA
 * @plain: its DMA address is memory's physical one, and mapping does nothing
 * @partial: the DMA window does not show all memory
 * @narrows: the DMA window shows no more than the channel needs, @idle octets,
 *	and free ones nothing, while nobody uses them
 * @idle: see @narrows
 * @arena: octets of the DMA window that user space gets for a device at the most, see
 *	borrower_arena.c; 0: not known yet
 * @arenas: octets that it has for all devices
 * @users: borrowed devices, and leases with BARs in the DMA window
 * @region: by window, the memory that each shows when it is open; once there is
 *	one it does not change
 */
struct lend_windows {
	struct ntb_dev *ntb;
	struct pci_dev *pdev;
	int pidx;
	struct lend_window win[LEND_WINDOWS_MAX];
	int count;
	int dma;
	int bar;
	u64 dma_mask;
	bool translated;
	bool plain;
	bool partial;
	bool narrows;
	u64 idle;
	size_t arena;
	size_t arenas;
	unsigned int users;
	struct lend_region region[LEND_WINDOWS_MAX];
};

bool lend_is_translated(struct device *dev);
int lend_windows_probe(struct lend_windows *w);
void lend_windows_remove(struct lend_windows *w);
int lend_windows_check(struct lend_windows *w, u64 end);
int lend_windows_open(struct lend_windows *w);
const char *lend_windows_error(int error);
void lend_windows_close(struct lend_windows *w);
int lend_windows_use(struct lend_windows *w);
void lend_windows_unuse(struct lend_windows *w);
int lend_bar_window_cover(struct lend_windows *w, u64 lo, u64 hi, bool in_use,
			  struct netlink_ext_ack *extack);
void lend_bar_window_close(struct lend_windows *w);
int lend_window_of(const struct lend_windows *w, u64 bus, u64 size, u64 *offset);
int lend_window_claim(struct lend_windows *w, int i);
void lend_windows_unclaim(struct lend_windows *w);

/**
 * lend_windows_are_narrow() - are BARs better shown by the window that is for them
 * @w: the windows
 *
 * Context: process; caller holds the lease lock.
 */
static inline bool lend_windows_are_narrow(const struct lend_windows *w)
{
	return w->narrows && !w->users && w->bar != w->dma;
}

/**
 * lend_window_is_free() - is this window neither for DMA nor for BARs
 * @w: the windows
 * @i: index of the window
 *
 * Context: any.
 */
static inline bool lend_window_is_free(const struct lend_windows *w, int i)
{
	return i != w->dma && i != w->bar;
}

#endif
