// SPDX-License-Identifier: GPL-2.0-only
/* Generic netlink, as described by netlink/ntb_lend.yaml. */

#include <linux/netlink.h>
#include <net/genetlink.h>

#include "attributes.h"
#include "borrowed.h"
#include "borrower.h"
#include "compat.h"
#include "jobs.h"
#include "lease.h"
#include "lent.h"
#include "link.h"
#include "mailbox.h"
#include "netlink.h"
#include "proto.h"
#include "uapi/ntb_lend.h"

static struct genl_family lend_family;

enum lend_mcgrp { LEND_MCGRP_EVENTS };

/* Who receives the messages for each mailbox port; 0 is nobody. */
struct lend_mailbox_bound {
	struct net *net;
	u32 portid;
};

static DEFINE_SPINLOCK(lend_mailbox_lock);
static struct lend_mailbox_bound lend_mailbox_bound[NTB_LEND_MAILBOX_PORT_BORROWER + 1];

static const struct nla_policy lend_link_policy[] = {
	[NTB_LEND_A_LINK_ID] = { .type = NLA_U32 },
	[NTB_LEND_A_LINK_BANNED] = NLA_POLICY_MAX(NLA_U8, 1),
};

static const struct nla_policy lend_lent_policy[] = {
	[NTB_LEND_A_LENT_ID] = { .type = NLA_U32 },
	[NTB_LEND_A_LENT_ADDRESS] = { .type = NLA_NUL_STRING, .len = 31 },
	[NTB_LEND_A_LENT_LINK] = { .type = NLA_U32 },
	[NTB_LEND_A_LENT_EPOCH] = { .type = NLA_U64 },
};

static const struct nla_policy lend_borrowed_policy[] = {
	[NTB_LEND_A_BORROWED_ID] = { .type = NLA_U32 },
	[NTB_LEND_A_BORROWED_LINK] = { .type = NLA_U32 },
	[NTB_LEND_A_BORROWED_REMOTE_ID] = { .type = NLA_U32 },
	[NTB_LEND_A_BORROWED_EPOCH] = { .type = NLA_U64 },
	[NTB_LEND_A_BORROWED_DRIVER] = { .type = NLA_NUL_STRING, .len = 63 },
};

static const struct nla_policy lend_mailbox_policy[] = {
	[NTB_LEND_A_MAILBOX_LINK] = { .type = NLA_U32 },
	[NTB_LEND_A_MAILBOX_PORT] = NLA_POLICY_RANGE(NLA_U32, NTB_LEND_MAILBOX_PORT_OWNER,
						     NTB_LEND_MAILBOX_PORT_BORROWER),
	[NTB_LEND_A_MAILBOX_PAYLOAD] = { .type = NLA_BINARY, .len = NTB_LEND_MAILBOX_MAX },
};

static const struct nla_policy lend_main_policy[] = {
	[NTB_LEND_A_MAIN_LINK] = NLA_POLICY_NESTED(lend_link_policy),
	[NTB_LEND_A_MAIN_LENT] = NLA_POLICY_NESTED(lend_lent_policy),
	[NTB_LEND_A_MAIN_BORROWED] = NLA_POLICY_NESTED(lend_borrowed_policy),
	[NTB_LEND_A_MAIN_MAILBOX] = NLA_POLICY_NESTED(lend_mailbox_policy),
	[NTB_LEND_A_MAIN_FORCE] = { .type = NLA_FLAG },
};

/*
 * A request's nest: its attribute, its policy, and the attributes that must be
 * there, as a list that ends with 0.
 */
struct lend_nest {
	int type;
	int max;
	const struct nla_policy *policy;
	int need[4];
};

/* Parse a request's nest into @tb and check that what is needed is there. */
static int lend_parse(struct genl_info *info, struct nlattr **tb, const struct lend_nest *what)
{
	struct nlattr *nest = info->attrs[what->type];
	const int *need;
	int ret;

	if (!nest) {
		NL_SET_ERR_MSG_FMT(info->extack, "attribute %d is missing", what->type);
		return -EINVAL;
	}
	ret = nla_parse_nested(tb, what->max, nest, what->policy, info->extack);
	if (ret)
		return ret;
	for (need = what->need; *need; need++) {
		if (!tb[*need]) {
			NL_SET_ERR_MSG_FMT(info->extack, "attribute %d.%d is missing",
					   what->type, *need);
			return -EINVAL;
		}
	}
	return 0;
}

static const struct lend_nest lend_nest_link = {
	NTB_LEND_A_MAIN_LINK, ARRAY_SIZE(lend_link_policy) - 1, lend_link_policy,
	{ NTB_LEND_A_LINK_ID },
};

static const struct lend_nest lend_nest_ban = {
	NTB_LEND_A_MAIN_LINK, ARRAY_SIZE(lend_link_policy) - 1, lend_link_policy,
	{ NTB_LEND_A_LINK_ID, NTB_LEND_A_LINK_BANNED },
};

static const struct lend_nest lend_nest_lent = {
	NTB_LEND_A_MAIN_LENT, ARRAY_SIZE(lend_lent_policy) - 1, lend_lent_policy, { },
};

static const struct lend_nest lend_nest_lend = {
	NTB_LEND_A_MAIN_LENT, ARRAY_SIZE(lend_lent_policy) - 1, lend_lent_policy,
	{ NTB_LEND_A_LENT_ADDRESS, NTB_LEND_A_LENT_LINK, NTB_LEND_A_LENT_EPOCH },
};

static const struct lend_nest lend_nest_unlend = {
	NTB_LEND_A_MAIN_LENT, ARRAY_SIZE(lend_lent_policy) - 1, lend_lent_policy,
	{ NTB_LEND_A_LENT_ADDRESS, NTB_LEND_A_LENT_EPOCH },
};

static const struct lend_nest lend_nest_borrowed = {
	NTB_LEND_A_MAIN_BORROWED, ARRAY_SIZE(lend_borrowed_policy) - 1, lend_borrowed_policy,
	{ NTB_LEND_A_BORROWED_ID },
};

static const struct lend_nest lend_nest_detach = {
	NTB_LEND_A_MAIN_BORROWED, ARRAY_SIZE(lend_borrowed_policy) - 1, lend_borrowed_policy,
	{ NTB_LEND_A_BORROWED_ID, NTB_LEND_A_BORROWED_EPOCH },
};

static const struct lend_nest lend_nest_attach = {
	NTB_LEND_A_MAIN_BORROWED, ARRAY_SIZE(lend_borrowed_policy) - 1, lend_borrowed_policy,
	{ NTB_LEND_A_BORROWED_LINK, NTB_LEND_A_BORROWED_REMOTE_ID, NTB_LEND_A_BORROWED_EPOCH },
};

static const struct lend_nest lend_nest_mailbox = {
	NTB_LEND_A_MAIN_MAILBOX, ARRAY_SIZE(lend_mailbox_policy) - 1, lend_mailbox_policy,
	{ NTB_LEND_A_MAILBOX_PORT },
};

static const struct lend_nest lend_nest_mail = {
	NTB_LEND_A_MAIN_MAILBOX, ARRAY_SIZE(lend_mailbox_policy) - 1, lend_mailbox_policy,
	{ NTB_LEND_A_MAILBOX_LINK, NTB_LEND_A_MAILBOX_PORT, NTB_LEND_A_MAILBOX_PAYLOAD },
};

static struct lend_link *lend_find_link(struct genl_info *info, struct nlattr *id)
{
	struct lend_link *link = lend_link_get(nla_get_u32(id));

	if (!link)
		NL_SET_ERR_MSG_FMT(info->extack, "no link %u", nla_get_u32(id));
	return link;
}

/* Replies, dumps and events */

static int lend_put_message(struct sk_buff *skb, u32 portid, u32 seq, int flags, u8 cmd,
			    lend_put_fn put, void *object)
{
	void *hdr = genlmsg_put(skb, portid, seq, &lend_family, flags, cmd);

	if (!hdr)
		return -EMSGSIZE;
	if (put(skb, object)) {
		genlmsg_cancel(skb, hdr);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, hdr);
	return 0;
}

/* What may take long is done, and answered, by a job. */
#define LEND_AS_JOB	1

/*
 * Process context. The reply of each operation is allocated before it: what has been done
 * must not be told as an error.
 */
static int lend_pre_doit(const LEND_GENL_OPS *ops, struct sk_buff *skb, struct genl_info *info)
{
	int ret = 0;

	info->user_ptr[0] = genlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);
	if (!info->user_ptr[0])
		return -ENOMEM;
	if (ops->internal_flags & LEND_AS_JOB)
		ret = lend_job_begin(ops->doit, info);
	/* Then nothing comes after it. */
	if (ret)
		nlmsg_free(info->user_ptr[0]);
	return ret;
}

/* Process context. */
static void lend_post_doit(const LEND_GENL_OPS *ops, struct sk_buff *skb, struct genl_info *info)
{
	nlmsg_free(info->user_ptr[0]);
}

/* Process context; once for each operation. */
static int lend_reply(struct genl_info *info, lend_put_fn put, void *object)
{
	struct sk_buff *skb = info->user_ptr[0];
	int ret;

	ret = lend_put_message(skb, info->snd_portid, info->snd_seq, 0, info->genlhdr->cmd, put,
			       object);
	if (ret)
		return ret;
	info->user_ptr[0] = NULL;
	return genlmsg_reply(skb, info);
}

static void lend_event(u8 cmd, lend_put_fn put, void *object)
{
	struct sk_buff *skb;

	if (!genl_has_listeners(&lend_family, &init_net, LEND_MCGRP_EVENTS))
		return;
	skb = genlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);
	if (!skb)
		return;
	if (lend_put_message(skb, 0, 0, 0, cmd, put, object)) {
		nlmsg_free(skb);
		return;
	}
	genlmsg_multicast(&lend_family, skb, 0, LEND_MCGRP_EVENTS, GFP_KERNEL);
}

static void lend_link_changed(struct lend_object *object)
{
	lend_event(NTB_LEND_CMD_LINK_EVENT, lend_put_link, object);
}

/* The lent device's lock is not held. */
static void lend_lent_changed(struct lend_object *object)
{
	lend_event(NTB_LEND_CMD_LENT_EVENT, lend_put_lent, object);
}

static void lend_borrowed_changed(struct lend_object *object)
{
	lend_event(NTB_LEND_CMD_BORROWED_EVENT, lend_put_borrowed, object);
}

struct lend_dump {
	struct sk_buff *skb;
	struct netlink_callback *cb;
	u8 cmd;
	lend_put_fn put;
};

/* cb->args[0] is the number of the next object to dump. */
static int lend_dump_one(struct lend_object *object, void *arg)
{
	struct lend_dump *d = arg;
	int ret = lend_put_message(d->skb, NETLINK_CB(d->cb->skb).portid, d->cb->nlh->nlmsg_seq,
				   NLM_F_MULTI, d->cmd, d->put, object);

	if (!ret)
		d->cb->args[0] = (long)object->id + 1;
	return ret;
}

/* Process context. In the order of the numbers, by which a dump is resumed. */
static int lend_dump(struct lend_registry *registry, struct sk_buff *skb,
		     struct netlink_callback *cb, u8 cmd, lend_put_fn put)
{
	struct lend_dump d = { skb, cb, cmd, put };

	lend_registry_for_each(registry, cb->args[0], lend_dump_one, &d);
	return skb->len;
}

static int lend_nl_link_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	return lend_dump(&lend_links, skb, cb, NTB_LEND_CMD_LINK_GET, lend_put_link);
}

static int lend_nl_lent_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	return lend_dump(&lent_devices, skb, cb, NTB_LEND_CMD_LENT_GET, lend_put_lent);
}

static int lend_nl_borrowed_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	return lend_dump(&borrower_borrowed, skb, cb, NTB_LEND_CMD_BORROWED_GET, lend_put_borrowed);
}

/* Requests */

static int lend_nl_link_get(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *tb[ARRAY_SIZE(lend_link_policy)];
	struct lend_link *link;
	int ret;

	ret = lend_parse(info, tb, &lend_nest_link);
	if (ret)
		return ret;
	link = lend_find_link(info, tb[NTB_LEND_A_LINK_ID]);
	if (!link)
		return -ENODEV;
	ret = lend_reply(info, lend_put_link, &link->object);
	lend_link_put(link);
	return ret;
}

static int lend_nl_ban(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *tb[ARRAY_SIZE(lend_link_policy)];
	struct lend_link *link;
	int ret;

	ret = lend_parse(info, tb, &lend_nest_ban);
	if (ret)
		return ret;
	link = lend_find_link(info, tb[NTB_LEND_A_LINK_ID]);
	if (!link)
		return -ENODEV;
	lend_link_ban(link, nla_get_u8(tb[NTB_LEND_A_LINK_BANNED]));
	ret = lend_reply(info, lend_put_link, &link->object);
	lend_link_put(link);
	return ret;
}

/* The lent device that a request names by handle or address, or NULL. */
static struct lent_device *lend_find_lent(struct genl_info *info, struct nlattr **tb)
{
	struct lent_device *lent;

	if (tb[NTB_LEND_A_LENT_ADDRESS])
		lent = lent_find(nla_data(tb[NTB_LEND_A_LENT_ADDRESS]));
	else if (tb[NTB_LEND_A_LENT_ID])
		lent = lent_get(nla_get_u32(tb[NTB_LEND_A_LENT_ID]));
	else
		lent = NULL;
	if (!lent)
		NL_SET_ERR_MSG(info->extack, "no such function is bound to ntb_lend");
	return lent;
}

static int lend_nl_lent_get(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *tb[ARRAY_SIZE(lend_lent_policy)];
	struct lent_device *lent;
	int ret;

	ret = lend_parse(info, tb, &lend_nest_lent);
	if (ret)
		return ret;
	lent = lend_find_lent(info, tb);
	if (!lent)
		return -ENODEV;
	ret = lend_reply(info, lend_put_lent, &lent->object);
	lent_put(lent);
	return ret;
}

static int lend_nl_lend(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *tb[ARRAY_SIZE(lend_lent_policy)];
	struct lent_device *lent;
	struct lend_link *link;
	int ret;

	ret = lend_parse(info, tb, &lend_nest_lend);
	if (ret)
		return ret;
	lent = lend_find_lent(info, tb);
	if (!lent)
		return -ENODEV;
	ret = -ENODEV;
	link = lend_find_link(info, tb[NTB_LEND_A_LENT_LINK]);
	if (link) {
		ret = lease_lend(lent, link, nla_get_u64(tb[NTB_LEND_A_LENT_EPOCH]),
				 info->extack);
		lend_link_put(link);
	}
	if (!ret)
		ret = lend_reply(info, lend_put_lent, &lent->object);
	lent_put(lent);
	return ret;
}

static int lend_nl_unlend(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *tb[ARRAY_SIZE(lend_lent_policy)];
	struct lent_device *lent;
	int ret;

	ret = lend_parse(info, tb, &lend_nest_unlend);
	if (ret)
		return ret;
	lent = lend_find_lent(info, tb);
	if (!lent)
		return -ENODEV;
	ret = lease_unlend(lent, nla_get_u64(tb[NTB_LEND_A_LENT_EPOCH]),
			   info->attrs[NTB_LEND_A_MAIN_FORCE], info->extack);
	if (!ret)
		ret = lend_reply(info, lend_put_lent, &lent->object);
	lent_put(lent);
	return ret;
}

static struct borrowed_device *lend_find_borrowed(struct genl_info *info, struct nlattr *id)
{
	struct borrowed_device *b = borrower_get(nla_get_u32(id));

	if (!b)
		NL_SET_ERR_MSG_FMT(info->extack, "no borrowed device %u", nla_get_u32(id));
	return b;
}

static int lend_nl_borrowed_get(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *tb[ARRAY_SIZE(lend_borrowed_policy)];
	struct borrowed_device *b;
	int ret;

	ret = lend_parse(info, tb, &lend_nest_borrowed);
	if (ret)
		return ret;
	b = lend_find_borrowed(info, tb[NTB_LEND_A_BORROWED_ID]);
	if (!b)
		return -ENODEV;
	ret = lend_reply(info, lend_put_borrowed, &b->object);
	borrower_put(b);
	return ret;
}

static int lend_nl_attach(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *tb[ARRAY_SIZE(lend_borrowed_policy)];
	struct borrowed_device *b;
	struct nlattr *driver;
	struct lend_link *link;
	int ret;

	ret = lend_parse(info, tb, &lend_nest_attach);
	if (ret)
		return ret;
	link = lend_find_link(info, tb[NTB_LEND_A_BORROWED_LINK]);
	if (!link)
		return -ENODEV;
	driver = tb[NTB_LEND_A_BORROWED_DRIVER];
	ret = borrower_attach(link, nla_get_u32(tb[NTB_LEND_A_BORROWED_REMOTE_ID]),
			      nla_get_u64(tb[NTB_LEND_A_BORROWED_EPOCH]),
			      driver ? nla_data(driver) : NULL, &b, info->extack);
	lend_link_put(link);
	if (ret)
		return ret;
	ret = lend_reply(info, lend_put_borrowed, &b->object);
	borrower_put(b);
	return ret;
}

static int lend_nl_detach(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *tb[ARRAY_SIZE(lend_borrowed_policy)];
	struct borrowed_device *b;
	int ret;

	ret = lend_parse(info, tb, &lend_nest_detach);
	if (ret)
		return ret;
	b = lend_find_borrowed(info, tb[NTB_LEND_A_BORROWED_ID]);
	if (!b)
		return -ENODEV;
	ret = borrower_detach(b, nla_get_u64(tb[NTB_LEND_A_BORROWED_EPOCH]), info->extack);
	if (!ret)
		ret = lend_reply(info, lend_put_borrowed, &b->object);
	borrower_put(b);
	return ret;
}

/* Mailbox */

static int lend_nl_mailbox_bind(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *tb[ARRAY_SIZE(lend_mailbox_policy)];
	struct lend_mailbox_bound *bound;
	int ret;

	ret = lend_parse(info, tb, &lend_nest_mailbox);
	if (ret)
		return ret;
	bound = &lend_mailbox_bound[nla_get_u32(tb[NTB_LEND_A_MAILBOX_PORT])];
	spin_lock_bh(&lend_mailbox_lock);
	if (bound->portid && bound->portid != info->snd_portid) {
		NL_SET_ERR_MSG(info->extack, "another process receives for this port");
		ret = -EBUSY;
	} else {
		bound->net = genl_info_net(info);
		bound->portid = info->snd_portid;
	}
	spin_unlock_bh(&lend_mailbox_lock);
	return ret;
}

static int lend_nl_mailbox_send(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *tb[ARRAY_SIZE(lend_mailbox_policy)], *payload;
	struct lend_link *link;
	int ret;

	ret = lend_parse(info, tb, &lend_nest_mail);
	if (ret)
		return ret;
	payload = tb[NTB_LEND_A_MAILBOX_PAYLOAD];
	link = lend_find_link(info, tb[NTB_LEND_A_MAILBOX_LINK]);
	if (!link)
		return -ENODEV;
	ret = lend_mailbox_send(&link->mailbox, nla_get_u32(tb[NTB_LEND_A_MAILBOX_PORT]),
				nla_data(payload), nla_len(payload));
	lend_link_put(link);
	return ret;
}

/**
 * lend_netlink_deliver() - hand a message of the peer to its daemon
 * @mailbox: where it came to
 * @port: which daemon; not checked yet
 * @data: the message
 * @len: its octets
 *
 * Context: process.
 * Return: enum lend_mbox_status.
 */
u32 lend_netlink_deliver(struct lend_mailbox *mailbox, u32 port, const void *data, size_t len)
{
	struct lend_link *link = container_of(mailbox, struct lend_link, mailbox);
	struct lend_mail mail = { link, port, data, len };
	struct lend_mailbox_bound to;
	struct sk_buff *skb;
	int ret;

	if (port < NTB_LEND_MAILBOX_PORT_OWNER || port > NTB_LEND_MAILBOX_PORT_BORROWER)
		return LEND_MBOX_INVALID;
	spin_lock_bh(&lend_mailbox_lock);
	to = lend_mailbox_bound[port];
	spin_unlock_bh(&lend_mailbox_lock);
	if (!to.portid)
		return LEND_MBOX_REFUSED;

	skb = genlmsg_new(LEND_MBOX_MAX + 256, GFP_KERNEL);
	if (!skb)
		return LEND_MBOX_BUSY;
	ret = lend_put_message(skb, 0, 0, 0, NTB_LEND_CMD_MAILBOX_MESSAGE, lend_put_mail, &mail);
	if (ret) {
		nlmsg_free(skb);
		return LEND_MBOX_BUSY;
	}
	ret = genlmsg_unicast(to.net, skb, to.portid);
	if (ret == -ECONNREFUSED)
		return LEND_MBOX_REFUSED;
	return ret ? LEND_MBOX_BUSY : LEND_MBOX_DELIVERED;
}

static int lend_netlink_notify(struct notifier_block *nb, unsigned long event, void *data)
{
	struct netlink_notify *n = data;
	int i;

	if (event != NETLINK_URELEASE || n->protocol != NETLINK_GENERIC)
		return NOTIFY_DONE;
	spin_lock_bh(&lend_mailbox_lock);
	for (i = 0; i < ARRAY_SIZE(lend_mailbox_bound); i++)
		if (lend_mailbox_bound[i].portid == n->portid &&
		    lend_mailbox_bound[i].net == n->net)
			lend_mailbox_bound[i].portid = 0;
	spin_unlock_bh(&lend_mailbox_lock);
	return NOTIFY_DONE;
}

static struct notifier_block lend_netlink_nb = {
	.notifier_call = lend_netlink_notify,
};

static const struct genl_ops lend_ops[] = {
	{
		.cmd = NTB_LEND_CMD_LINK_GET,
		.flags = GENL_ADMIN_PERM,
		.doit = lend_nl_link_get,
		.dumpit = lend_nl_link_dump,
	}, {
		.cmd = NTB_LEND_CMD_LENT_GET,
		.flags = GENL_ADMIN_PERM,
		.doit = lend_nl_lent_get,
		.dumpit = lend_nl_lent_dump,
	}, {
		.cmd = NTB_LEND_CMD_BORROWED_GET,
		.flags = GENL_ADMIN_PERM,
		.doit = lend_nl_borrowed_get,
		.dumpit = lend_nl_borrowed_dump,
	}, {
		.cmd = NTB_LEND_CMD_LEND,
		.flags = GENL_ADMIN_PERM,
		.internal_flags = LEND_AS_JOB,
		.doit = lend_nl_lend,
	}, {
		.cmd = NTB_LEND_CMD_UNLEND,
		.flags = GENL_ADMIN_PERM,
		.internal_flags = LEND_AS_JOB,
		.doit = lend_nl_unlend,
	}, {
		.cmd = NTB_LEND_CMD_ATTACH,
		.flags = GENL_ADMIN_PERM,
		.internal_flags = LEND_AS_JOB,
		.doit = lend_nl_attach,
	}, {
		.cmd = NTB_LEND_CMD_DETACH,
		.flags = GENL_ADMIN_PERM,
		.internal_flags = LEND_AS_JOB,
		.doit = lend_nl_detach,
	}, {
		.cmd = NTB_LEND_CMD_MAILBOX_BIND,
		.flags = GENL_ADMIN_PERM,
		.doit = lend_nl_mailbox_bind,
	}, {
		.cmd = NTB_LEND_CMD_MAILBOX_SEND,
		.flags = GENL_ADMIN_PERM,
		.internal_flags = LEND_AS_JOB,
		.doit = lend_nl_mailbox_send,
	}, {
		.cmd = NTB_LEND_CMD_BAN,
		.flags = GENL_ADMIN_PERM,
		.doit = lend_nl_ban,
	},
};

static const struct genl_multicast_group lend_mcgrps[] = {
	[LEND_MCGRP_EVENTS] = {
		.name = NTB_LEND_MCGRP_EVENTS,
		.flags = GENL_MCAST_CAP_NET_ADMIN,
	},
};

static struct genl_family lend_family __ro_after_init = {
	.name = NTB_LEND_FAMILY_NAME,
	.version = NTB_LEND_FAMILY_VERSION,
	.maxattr = ARRAY_SIZE(lend_main_policy) - 1,
	.policy = lend_main_policy,
	.module = THIS_MODULE,
	.ops = lend_ops,
	.n_ops = ARRAY_SIZE(lend_ops),
	.pre_doit = lend_pre_doit,
	.post_doit = lend_post_doit,
	.mcgrps = lend_mcgrps,
	.n_mcgrps = ARRAY_SIZE(lend_mcgrps),
	.parallel_ops = true,
	.resv_start_op = 1,
};

/**
 * lend_netlink_register() - open the interface to user space
 *
 * Context: process.
 * Return: 0 or a negative errno.
 */
int lend_netlink_register(void)
{
	int ret = netlink_register_notifier(&lend_netlink_nb);

	if (ret)
		return ret;
	ret = lend_jobs_start();
	if (ret)
		goto notifier;
	ret = genl_register_family(&lend_family);
	if (ret)
		goto jobs;
	WRITE_ONCE(lend_links.changed, lend_link_changed);
	WRITE_ONCE(lent_devices.changed, lend_lent_changed);
	WRITE_ONCE(borrower_borrowed.changed, lend_borrowed_changed);
	return 0;

jobs:
	lend_jobs_stop();
notifier:
	netlink_unregister_notifier(&lend_netlink_nb);
	return ret;
}

/**
 * lend_netlink_unregister() - close it
 *
 * Context: process.
 */
void lend_netlink_unregister(void)
{
	WRITE_ONCE(lend_links.changed, NULL);
	WRITE_ONCE(lent_devices.changed, NULL);
	WRITE_ONCE(borrower_borrowed.changed, NULL);
	genl_unregister_family(&lend_family);
	lend_jobs_stop();
	netlink_unregister_notifier(&lend_netlink_nb);
}
