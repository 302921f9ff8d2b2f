/* SPDX-License-Identifier: GPL-2.0-only */
/* Jobs: requests of user space that may take long, done outside of generic netlink's lock. */
#ifndef LEND_JOBS_H
#define LEND_JOBS_H

struct genl_info;
struct sk_buff;

int lend_jobs_start(void);
void lend_jobs_stop(void);
int lend_job_begin(int (*doit)(struct sk_buff *skb, struct genl_info *info),
		   struct genl_info *info);

#endif
