/* SPDX-License-Identifier: GPL-2.0-only */
/* What the owner's kernel does for the borrower's. */
#ifndef LEND_SERVE_H
#define LEND_SERVE_H

#include "proto.h"

struct lend_link;
struct pci_dev;

enum lend_status lend_serve(struct lend_link *link, const struct lend_request *req,
			    struct lend_response *resp);
int lend_raw_read(struct pci_dev *pdev, u32 where, u32 size, u32 *raw);
int lend_raw_write(struct pci_dev *pdev, u32 where, u32 size, u32 value);

#endif
