/* SPDX-License-Identifier: GPL-2.0-only */
/* Owner side: physical functions bound to ntb_lend, and their leases. */
#ifndef LEND_OWNER_H
#define LEND_OWNER_H

#include "lent.h"
#include "proto.h"
#include "registry.h"

struct lend_channel;
struct lend_link;
struct netlink_ext_ack;

extern struct lend_registry owner_lent;

int owner_register(void);
void owner_unregister(void);

struct lent_device *owner_get(u32 id);
struct lent_device *owner_find(const char *address);
void owner_put(struct lent_device *lent);

int owner_lend(struct lent_device *lent, struct lend_link *link, u64 epoch,
	       struct netlink_ext_ack *extack);
int owner_unlend(struct lent_device *lent, bool force, struct netlink_ext_ack *extack);
void owner_link_dead(struct lend_link *link);
void owner_link_lost(struct lend_link *link);
enum lend_status owner_serve(struct lend_channel *channel, const struct lend_request *req,
			     struct lend_response *resp);
const char *owner_limit(enum lent_limit limit);

#endif
