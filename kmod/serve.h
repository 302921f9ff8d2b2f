/* SPDX-License-Identifier: GPL-2.0-only */
/* What the owner's kernel does for the borrower's. */
#ifndef LEND_SERVE_H
#define LEND_SERVE_H

#include "proto.h"

struct lend_link;

enum lend_status lend_serve(struct lend_link *link, const struct lend_request *req,
			    struct lend_response *resp);

#endif
