/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory windows of a link. */
#ifndef LEND_WINDOW_H
#define LEND_WINDOW_H

#include <linux/types.h>

#include "link.h"

struct device;
struct netlink_ext_ack;

bool lend_is_translated(struct device *dev);
bool lend_is_plain(struct device *dev);
int lend_windows_probe(struct lend_link *link);
int lend_windows_open(struct lend_link *link);
const char *lend_windows_error(int error);
void lend_windows_close(struct lend_link *link);
int lend_window_get_align(struct lend_link *link, int i, u64 *align, u64 *size);
int lend_window_set(struct lend_link *link, int i, u64 base, u64 size);
int lend_bar_window_cover(struct lend_link *link, u64 lo, u64 hi, bool in_use,
			  struct netlink_ext_ack *extack);
int lend_window_of(const struct lend_link *link, u64 bus, u64 size, u64 *offset);
int lend_window_claim(struct lend_link *link, int widx);
void lend_windows_unclaim(struct lend_link *link);

/* window_free.c */
void lend_windows_open_free(struct lend_link *link);

/**
 * lend_window_is_free() - is this window neither for DMA nor for BARs
 * @link: the link
 * @i: index of the window
 *
 * Context: any.
 */
static inline bool lend_window_is_free(const struct lend_link *link, int i)
{
	return i != link->dma_win && i != link->bar_win;
}

#endif
