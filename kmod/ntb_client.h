/* SPDX-License-Identifier: GPL-2.0-only */
/* The client of the NTB API. */
#ifndef LEND_NTB_CLIENT_H
#define LEND_NTB_CLIENT_H

struct lend_link_hooks;

int lend_client_register(const struct lend_link_hooks *hooks);
void lend_client_unregister(void);

#endif
