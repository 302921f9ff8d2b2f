/* SPDX-License-Identifier: GPL-2.0-only */
/* Owner side: the driver that holds functions while they may be lent. */
#ifndef LEND_OWNER_H
#define LEND_OWNER_H

int owner_register(void);
void owner_unregister(void);

#endif
