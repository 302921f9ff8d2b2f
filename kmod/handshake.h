/* SPDX-License-Identifier: GPL-2.0-only */
/* Handshake of a link. */
#ifndef LEND_HANDSHAKE_H
#define LEND_HANDSHAKE_H

#include "proto.h"

struct lend_link;

void lend_link_publish(struct lend_link *link, enum lend_hello hello);
void lend_link_shake_hands(struct lend_link *link);
void lend_heartbeat_write(struct lend_link *link, bool seen);

#endif
