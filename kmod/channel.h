/* SPDX-License-Identifier: GPL-2.0-only */
/* Channel: requests to the peer's kernel, in any context, and their server. */
#ifndef LEND_CHANNEL_H
#define LEND_CHANNEL_H

#include "proto.h"

struct lend_link;

/**
 * struct lend_call - one request and its answer
 * @op: enum lend_op
 * @size: octets of a configuration access
 * @handle: lent device on the owner
 * @arg: offset or index
 * @value: what to write
 * @epoch: of the lease
 * @val: the answer
 */
struct lend_call {
	u8 op;
	u8 size;
	u32 handle;
	u32 arg;
	u32 value;
	u64 epoch;
	u64 val[7];
};

int lend_channel_call(struct lend_link *link, struct lend_call *call);
int lend_channel_start(struct lend_link *link);
void lend_channel_stop(struct lend_link *link);
void lend_channel_reset(struct lend_link *link);
void lend_channel_kick(struct lend_link *link);

#endif
