// SPDX-License-Identifier: GPL-2.0-only
/*
 * Jobs: requests of user space that may take long. Generic netlink holds a lock for
 * all families while it hands a request over, and whoever registers one waits for it,
 * with all requests that come after. A driver's probe, a device's reset or a peer that
 * does not answer must not be waited for there: such a request is copied, done by a
 * work item, and answered from there. Who has sent it sees no difference.
 *
 * Called by netlink.c. Locks: none.
 */

#include <linux/moduleparam.h>
#include <linux/netlink.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include <net/genetlink.h>

#include "jobs.h"
#include "uapi/ntb_lend.h"

static bool jobs_in_place;
module_param(jobs_in_place, bool, 0600);
MODULE_PARM_DESC(jobs_in_place,
		 "For tests that inject faults into whoever asks: do requests at once, under generic netlink's lock (default no)");

/* Room for what is wrong, in words. */
#define LEND_JOB_TEXT	512

/**
 * struct lend_job - one request that is done later
 * @work: does it
 * @doit: what it does
 * @info: the request as @doit sees it, with its reply
 * @extack: what is wrong, in words
 * @end: to say how it went; there before anything is done
 * @attrs: the attributes, in @request
 * @request: the message
 */
struct lend_job {
	struct work_struct work;
	int (*doit)(struct sk_buff *skb, struct genl_info *info);
	struct genl_info info;
	struct netlink_ext_ack extack;
	struct sk_buff *end;
	struct nlattr *attrs[NTB_LEND_A_MAIN_MAX + 1];
	struct nlmsghdr *request;
};

static struct workqueue_struct *lend_jobs;

static void lend_job_free(struct lend_job *job)
{
	nlmsg_free(job->end);
	nlmsg_free(job->info.user_ptr[0]);
	kfree(job->request);
	kfree(job);
}

/* Process context. As netlink_ack(), which needs the socket of who asks: it may be closed. */
static void lend_job_tell(struct lend_job *job, int ret)
{
	const char *text = ret ? job->extack._msg : NULL;
	struct genl_info *info = &job->info;
	struct sk_buff *end = job->end;
	struct nlmsgerr *error;
	struct nlmsghdr *nlh;

	if (!ret && !(job->request->nlmsg_flags & NLM_F_ACK))
		return;
	nlh = nlmsg_put(end, info->snd_portid, info->snd_seq, NLMSG_ERROR, sizeof(*error),
			NLM_F_CAPPED);
	if (!nlh)
		return;
	error = nlmsg_data(nlh);
	error->error = ret;
	error->msg = *job->request;
	if (text && !nla_put_string(end, NLMSGERR_ATTR_MSG, text))
		nlh->nlmsg_flags |= NLM_F_ACK_TLVS;
	nlmsg_end(end, nlh);
	job->end = NULL;
	genlmsg_unicast(genl_info_net(info), end, info->snd_portid);
}

/* Work item. */
static void lend_job_work(struct work_struct *work)
{
	struct lend_job *job = container_of(work, struct lend_job, work);

	lend_job_tell(job, job->doit(NULL, &job->info));
	lend_job_free(job);
}

/* Process context. Has @job refer to its own copy of the request alone. Returns 0 or -ENOMEM. */
static int lend_job_copy(struct lend_job *job, const struct genl_info *info)
{
	const void *from = info->nlhdr;
	void *to = kmemdup(from, info->nlhdr->nlmsg_len, GFP_KERNEL);
	int i;

	if (!to)
		return -ENOMEM;
	for (i = 0; i < ARRAY_SIZE(job->attrs); i++)
		if (info->attrs[i])
			job->attrs[i] = to + ((const void *)info->attrs[i] - from);
	job->request = to;
	job->info = *info;
	job->info.nlhdr = to;
	job->info.genlhdr = nlmsg_data(to);
	job->info.attrs = job->attrs;
	job->info.extack = &job->extack;
	return 0;
}

/**
 * lend_job_begin() - have a request done by a work item
 * @doit: does it, as an operation of generic netlink, but without &struct sk_buff
 * @info: the request; user_ptr[0] is its reply, which is the job's if this succeeds
 *
 * Context: process; an operation of a family without network namespaces.
 * Return: -EINTR: netlink does not acknowledge the request, the job will; 0: there is no
 * job, and netlink is to have it done; or -ENOMEM.
 */
int lend_job_begin(int (*doit)(struct sk_buff *skb, struct genl_info *info),
		   struct genl_info *info)
{
	struct lend_job *job;

	if (READ_ONCE(jobs_in_place))
		return 0;
	job = kzalloc(sizeof(*job), GFP_KERNEL);
	if (!job)
		return -ENOMEM;
	job->end = nlmsg_new(sizeof(struct nlmsgerr) + LEND_JOB_TEXT, GFP_KERNEL);
	if (!job->end || lend_job_copy(job, info)) {
		lend_job_free(job);
		return -ENOMEM;
	}
	info->user_ptr[0] = NULL;
	job->doit = doit;
	INIT_WORK(&job->work, lend_job_work);
	queue_work(lend_jobs, &job->work);
	return -EINTR;
}

/**
 * lend_jobs_start() - prepare for jobs
 *
 * Context: process.
 * Return: 0 or -ENOMEM.
 */
int lend_jobs_start(void)
{
	/* One that hangs holds up no other; a suspend waits for all. */
	lend_jobs = alloc_workqueue("ntb_lend_jobs", WQ_UNBOUND | WQ_FREEZABLE, 0);
	return lend_jobs ? 0 : -ENOMEM;
}

/**
 * lend_jobs_stop() - wait for all jobs
 *
 * Context: process; none begins any more.
 */
void lend_jobs_stop(void)
{
	destroy_workqueue(lend_jobs);
}
