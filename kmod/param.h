/* SPDX-License-Identifier: GPL-2.0-only */
/* Parameters of the module that have bounds. */
#ifndef LEND_PARAM_H
#define LEND_PARAM_H

#include <linux/moduleparam.h>

/**
 * LEND_PARAM_UINT() - let an unsigned int be set from a least to a greatest value
 * @name: of the variable, and of the parameter
 * @least: what is refused is below
 * @greatest: or above
 * @text: describes it
 */
#define LEND_PARAM_UINT(name, least, greatest, text)				\
static int lend_set_##name(const char *value, const struct kernel_param *param)	\
{										\
	return param_set_uint_minmax(value, param, least, greatest);		\
}										\
										\
static const struct kernel_param_ops lend_ops_##name = {			\
	.set = lend_set_##name,							\
	.get = param_get_uint,							\
};										\
										\
module_param_cb(name, &lend_ops_##name, &name, 0644);				\
__MODULE_PARM_TYPE(name, "uint");						\
MODULE_PARM_DESC(name, text)

#endif
