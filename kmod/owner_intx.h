/* SPDX-License-Identifier: GPL-2.0-only */
/* Owner side: INTx of a lent device, relayed; its command register. */
#ifndef LEND_OWNER_INTX_H
#define LEND_OWNER_INTX_H

#include <linux/list.h>
#include <linux/types.h>

struct owner_intx;
struct owner_irq;
struct owner_source;

void owner_intx_init(struct owner_irq *irq);
void owner_intx_begin(struct owner_irq *irq);
int owner_intx_start(struct owner_irq *irq, struct owner_source **out, struct list_head *closed);
void owner_intx_stop(struct owner_irq *irq, struct list_head *closed);
bool owner_intx_resume(struct owner_intx *intx);
bool owner_intx_guard(struct owner_irq *irq);
void owner_intx_unguard(struct owner_irq *irq, bool guarded);
u8 owner_intx_pin(const struct owner_irq *irq);

u32 owner_command_shown(const struct owner_irq *irq, u32 where, u32 size, u32 raw);
int owner_command_write(struct owner_irq *irq, u32 where, u32 size, u32 value);
void owner_command_stop(struct owner_irq *irq);
void owner_command_reset(struct owner_irq *irq);
void owner_command_restored(struct owner_irq *irq);

#endif
