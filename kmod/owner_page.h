/* SPDX-License-Identifier: GPL-2.0-only */
/* Owner side: what is left of the pages in which a lent function's BARs lie. */
#ifndef LEND_OWNER_PAGE_H
#define LEND_OWNER_PAGE_H

#include <linux/list.h>

struct pci_dev;
struct resource;

int owner_page_own(struct pci_dev *pdev, const struct resource *res, struct list_head *gaps);
void owner_page_disown(struct list_head *gaps);

#endif
