/* SPDX-License-Identifier: GPL-2.0-only */
/* Owner side: the answers to the borrower's requests. */
#ifndef LEND_OWNER_SERVE_H
#define LEND_OWNER_SERVE_H

#include "proto.h"

struct lend_channel;

enum lend_status owner_serve(struct lend_channel *channel, const struct lend_request *req,
			     struct lend_response *resp);

#endif
