/* SPDX-License-Identifier: GPL-2.0-only */
/* What bridges and their drivers differ in. */
#ifndef LEND_BRIDGE_H
#define LEND_BRIDGE_H

#include <linux/types.h>

struct ntb_dev;

int lend_bridge_check(struct ntb_dev *ntb);
int lend_bridge_enable_link(struct ntb_dev *ntb);
bool lend_bridge_admits(const struct ntb_dev *ntb);
bool lend_bridge_moves_ends(const struct ntb_dev *ntb);

#endif
