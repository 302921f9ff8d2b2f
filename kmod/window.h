/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory windows of a link. */
#ifndef LEND_WINDOW_H
#define LEND_WINDOW_H

#include <linux/types.h>

struct device;
struct lend_link;
struct netlink_ext_ack;

bool lend_is_translated(struct device *dev);
bool lend_is_plain(struct device *dev);
int lend_windows_probe(struct lend_link *link);
int lend_windows_open(struct lend_link *link);
const char *lend_windows_error(int error);
void lend_windows_close(struct lend_link *link);
int lend_bar_window_cover(struct lend_link *link, u64 lo, u64 hi, bool in_use,
			  struct netlink_ext_ack *extack);
int lend_window_of(const struct lend_link *link, u64 bus, u64 size, u64 *offset);
int lend_window_claim(struct lend_link *link, int widx);
void lend_windows_unclaim(struct lend_link *link);

#endif
