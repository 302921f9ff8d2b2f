/* SPDX-License-Identifier: GPL-2.0-only */
/* Interrupts of borrowed devices. */
#ifndef LEND_IRQ_H
#define LEND_IRQ_H

#include <linux/types.h>

struct borrowed_device;
struct cpumask;
struct fwnode_handle;
struct irq_chip;
struct irq_data;
struct irq_domain;
struct lend_region;
struct msi_msg;
struct pci_dev;

/* irq_msi_domain.c or irq_msi_parent.c, which are above irq.c: see lend_irq_init() */
struct irq_domain *lend_msi_domain_create(struct borrowed_device *b, struct fwnode_handle *fwnode,
					  struct irq_domain *parent);

int lend_irq_init(struct borrowed_device *b,
		  struct irq_domain *(*create)(struct borrowed_device *b,
					       struct fwnode_handle *fwnode,
					       struct irq_domain *parent));
void lend_irq_adopt(struct pci_dev *pdev);
void lend_irq_exit(struct borrowed_device *b);

void lend_msi_compose_for(struct borrowed_device *b, struct irq_data *data, struct msi_msg *msg);
int lend_msi_set_affinity(struct irq_data *data, const struct cpumask *mask, bool force);
bool lend_msi_has_rows(const struct borrowed_device *b, const struct irq_domain *parent);
bool lend_msi_region(const struct borrowed_device *b, struct lend_region *region);
void lend_msi_relay_chip(struct irq_chip *chip);

#endif
