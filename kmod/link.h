/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Links: one peer port of one NTB function, from the handshake to its loss.
 */
#ifndef LEND_LINK_H
#define LEND_LINK_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/ntb.h>
#include <linux/workqueue.h>

#include "budget.h"
#include "channel.h"
#include "mailbox.h"
#include "proto.h"
#include "registry.h"
#include "uapi/ntb_lend.h"
#include "window.h"

struct lend_link;
struct lend_pool;
struct lend_relay;

/**
 * struct lend_link_hooks - what happens above a link
 * @serve: answers the peer's requests
 * @deliver: hands its messages to daemons
 * @distrust: why no window may open to the peer, or NULL; process context, caller
 *	holds the link's lock
 * @dead: the peer is lost; process context, takes no link's lock, and ends what
 *	waits for the peer
 * @lost: the session is over: nobody uses the peer's memory any more, all leases
 *	over the link end; process context, caller holds the link's lock
 */
struct lend_link_hooks {
	lend_channel_serve *serve;
	lend_mailbox_deliver *deliver;
	const char *(*distrust)(const struct lend_link *link);
	void (*dead)(struct lend_link *link);
	void (*lost)(struct lend_link *link);
};

/**
 * struct lend_handshake - how far two sides know each other
 * @peer_protocol: 0 while unknown
 * @peer_told: the peer was rung because of its first heartbeat (1), and because
 *	ours has arrived (2)
 * @proofs: how often the handshake has waited for writes to arrive
 */
struct lend_handshake {
	u32 peer_protocol;
	unsigned int peer_told;
	unsigned int proofs;
};

/**
 * struct lend_heartbeat - that both sides live
 * @work: sends and checks; not under the link's lock
 * @value: last one sent
 * @seen: last one of the peer
 * @changed: when that was, in jiffies
 */
struct lend_heartbeat {
	struct delayed_work work;
	u64 value;
	u64 seen;
	unsigned long changed;
};

/**
 * struct lend_link - one peer port of one NTB function
 * @object: its number, and who uses it
 * @hooks: what happens above it
 * @ntb: the NTB device
 * @pdev: its PCI function
 * @bridge: the bridge driver's module, see lend_link_hold_bridge()
 * @port: this side's port of the bridge
 * @peer_port: the other side's
 * @lock: serialises state changes, attach and detach; may be held for as long
 *	as a driver's probe takes
 * @lease_lock: serialises what begins and ends leases to the peer, and what its
 *	windows show here; taken after @lock
 * @leases: to the peer, those that are not fenced; under @lease_lock
 * @state: see the netlink spec; written under @lock, read anywhere
 * @message: why it is not ready; written under @lock
 * @physical: the bridge reports the link as up
 * @lost_because: why the channel is dead; a literal
 * @banned: it is kept down; written by netlink, read anywhere
 * @removed: the NTB function is being unbound, or this host shut down; written under
 *	@lease_lock
 * @wq: ordered queue of @work
 * @work: runs the state machine in process context
 * @calm: looks at doorbells that are masked since they ring too often; the client's
 * @doorbells: how often they have interrupted; in interrupts
 * @hellos: how often the state machine looked because the peer rang, or its link
 *	changed; as @doorbells
 * @sessions: how often the peer was met; under @lock
 * @openings: how often listeners were told that the peer opens or closes a device; the
 *	server's
 * @handshake: under @lock
 * @heartbeat: see there
 * @windows: see window.h
 * @pool: memory that windows show, where the DMA window does not show all; or
 *	NULL
 * @channel: see channel.h
 * @mailbox: see mailbox.h
 * @relay: interrupts relayed in both directions
 */
struct lend_link {
	struct lend_object object;
	const struct lend_link_hooks *hooks;
	struct ntb_dev *ntb;
	struct pci_dev *pdev;
	struct module *bridge;
	int port;
	int peer_port;

	struct mutex lock; /* state changes, attach, detach */
	struct mutex lease_lock; /* leases, inbound windows */
	struct list_head leases;
	enum ntb_lend_link_state state;
	const char *message;
	bool physical;
	const char *lost_because;
	bool banned;
	bool removed;
	struct workqueue_struct *wq;
	struct delayed_work work;
	struct delayed_work calm;
	struct lend_budget doorbells;
	struct lend_budget hellos;
	struct lend_budget sessions;
	struct lend_budget openings;

	struct lend_handshake handshake;
	struct lend_heartbeat heartbeat;
	struct lend_windows windows;
	struct lend_pool *pool;
	struct lend_channel channel;
	struct lend_mailbox mailbox;
	struct lend_relay *relay;
};

extern struct lend_registry lend_links;

/* As dev_info() of the NTB device, which a link may outlive. */
#define lend_link_info(link, fmt, ...)					\
	pr_info("ntb_lend %s: " fmt, pci_name((link)->pdev), ##__VA_ARGS__)

struct lend_link *lend_link_alloc(struct ntb_dev *ntb, const struct lend_link_hooks *hooks);
void lend_link_event(struct lend_link *link);
void lend_link_look(struct lend_link *link);
void lend_link_retire(struct lend_link *link);
void lend_link_shut(struct lend_link *link);
void lend_link_shutdown(struct lend_link *link);

struct lend_link *lend_link_get(u32 id);
void lend_link_hold(struct lend_link *link);
void lend_link_put(struct lend_link *link);
struct module *lend_link_hold_bridge(struct lend_link *link);
void lend_link_ban(struct lend_link *link, bool banned);
void lend_link_lose(struct lend_link *link, const char *why);
void lend_link_close_windows(struct lend_link *link);
int lend_link_use_windows(struct lend_link *link);
void lend_link_unuse_windows(struct lend_link *link);

/**
 * lend_link_is_ready() - may the peer be asked anything
 * @link: the link
 *
 * Context: any.
 */
static inline bool lend_link_is_ready(const struct lend_link *link)
{
	return lend_channel_is_ready(&link->channel);
}

/**
 * lend_link_of() - the link that a channel belongs to
 * @channel: the channel
 *
 * Context: any.
 */
static inline struct lend_link *lend_link_of(struct lend_channel *channel)
{
	return container_of(channel, struct lend_link, channel);
}

#endif
