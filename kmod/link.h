/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Links: one peer port of one NTB function, from the handshake to its loss.
 */
#ifndef LEND_LINK_H
#define LEND_LINK_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/ntb.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "proto.h"
#include "region.h"
#include "relay.h"
#include "uapi/ntb_lend.h"

struct lend_pool;

#define LEND_ALL_DB		(BIT_ULL(LEND_DB_COUNT) - 1)

/**
 * struct lend_window - one memory window, both directions
 * @pci_bar: BAR of the NTB function behind @base; -1 when not found
 * @base: CPU physical address of the outbound window
 * @bus: PCI bus address of the outbound window
 * @size: octets of the outbound window; 0: the firmware left it out
 * @inbound_base: DMA address the peer's window is translated to
 * @inbound_size: octets the peer can reach; 0 when closed
 * @inbound_max: most octets the bridge translates inbound
 * @res: the outbound window as the root buses of borrowed devices see it
 * @claimed: the region was taken over from the bridge driver into @res
 */
struct lend_window {
	int pci_bar;
	phys_addr_t base;
	u64 bus;
	resource_size_t size;
	dma_addr_t inbound_base;
	resource_size_t inbound_size;
	resource_size_t inbound_max;
	struct resource res;
	bool claimed;
};

struct lend_counters {
	atomic64_t requests;
	atomic64_t responses;
	atomic64_t timeouts;
	atomic64_t served;
	atomic64_t rejected;
	atomic64_t db_sent;
	atomic64_t db_received;
	atomic64_t mbox_sent;
	atomic64_t mbox_received;
	atomic64_t hb_missed;
};

/**
 * struct lend_link - one peer port of one NTB function
 * @node: on the list of links
 * @ref: taken while the link is in use outside the list's lock
 * @ntb: the NTB device
 * @pdev: its PCI function; all DMA of borrowed devices is mapped through it
 * @bridge: the bridge driver's module, held while a device is lent or borrowed
 * @id: number on this host
 * @pidx: the NTB API's peer index
 * @lock: serialises state changes, attach and detach; may be held for as long
 *	as a driver's probe takes
 * @lease_lock: serialises what begins and ends leases to the peer, and what its
 *	windows show here; taken after @lock
 * @state: see the netlink spec; written under @lock, read anywhere
 * @message: why it is not ready; written under @lock
 * @physical: the bridge reports the link as up
 * @epoch: of this side; new at each load and each time the link was lost
 * @peer_epoch: 0 while unknown
 * @peer_protocol: 0 while unknown
 * @dead: set in any context when the peer is lost; ends all waiting
 * @removed: the NTB function is being unbound
 * @users: requesters between their check of @dead and their last use of
 *	@peer_chan
 * @work: runs the state machine in process context
 * @hb_work: sends and checks heartbeats; takes no lock
 * @wq: ordered queue of @work
 * @peer_told: the peer was rung because of its first heartbeat (1), and because
 *	ours has arrived (2)
 * @proofs: how often the handshake has waited for writes to arrive
 * @hb_value: last heartbeat sent
 * @hb_seen: last heartbeat of the peer
 * @hb_changed: when that was, in jiffies
 * @win: windows; @nwin of them
 * @dma_win: index of the window for DMA, interrupts and channel
 * @bar_win: index of the window for BARs; equals @dma_win with one window only.
 *	Those that are neither are free, see window_free.c
 * @dma_mask: what the NTB function's DMA mask was before
 * @translated: an IOMMU translates the NTB function's DMA
 * @plain: its DMA address is memory's physical one, and mapping does nothing
 * @pool: memory that windows show, where the DMA window does not show all; or
 *	NULL
 * @chan: own channel memory, written by the peer
 * @chan_dma: its DMA address for the NTB function
 * @peer_chan: the peer's channel memory through the window, or NULL
 * @slots_busy: one bit per request slot in use
 * @slots_stuck: those whose request timed out and is not answered yet
 * @slot_seq: last sequence number used in each slot
 * @answered_at: when the peer's server last answered; anyone writes it
 * @served_seq: last sequence number of the peer's requests served, by slot; who
 *	sets it serves it
 * @server: thread that serves the peer's requests
 * @server_wait: where it sleeps
 * @server_kick: a doorbell has rung since it looked
 * @mbox: mailbox state, see mailbox.h
 * @relay: interrupts relayed in both directions
 * @counters: see the netlink spec
 */
struct lend_link {
	struct list_head node;
	struct kref ref;
	struct ntb_dev *ntb;
	struct pci_dev *pdev;
	struct module *bridge;
	u32 id;
	int pidx;

	struct mutex lock; /* state changes, attach, detach */
	struct mutex lease_lock; /* leases, inbound windows */
	enum ntb_lend_link_state state;
	const char *message;
	bool physical;
	u64 epoch;
	u64 peer_epoch;
	u32 peer_protocol;
	bool dead;
	bool removed;
	atomic_t users;
	struct delayed_work work;
	struct delayed_work hb_work;
	struct workqueue_struct *wq;
	unsigned int peer_told;
	unsigned int proofs;
	u64 hb_value;
	u64 hb_seen;
	unsigned long hb_changed;

	struct lend_window win[LEND_WINDOWS_MAX];
	int nwin;
	int dma_win;
	int bar_win;
	u64 dma_mask;
	bool translated;
	bool plain;
	struct lend_pool *pool;

	struct lend_chan *chan;
	dma_addr_t chan_dma;
	struct lend_chan __iomem *peer_chan;
	unsigned long slots_busy;
	unsigned long slots_stuck;
	u32 slot_seq[LEND_SLOTS];
	u64 answered_at;
	u32 served_seq[LEND_SLOTS];
	struct task_struct *server;
	wait_queue_head_t server_wait;
	atomic_t server_kick;

	struct {
		struct mutex lock; /* one message under way */
		struct work_struct work;
		wait_queue_head_t wait;
		u32 seq;
		u32 seen;
	} mbox;

	struct lend_relay *relay;
	struct lend_counters counters;
};

int lend_link_register(void);
void lend_link_unregister(void);

struct lend_link *lend_link_get(u32 id);
void lend_link_put(struct lend_link *link);
/* Calls @fn for each link from @start on until it returns non-zero. */
int lend_link_for_each(u32 start, int (*fn)(struct lend_link *link, void *arg), void *arg);
void lend_link_visit_all(void (*fn)(struct lend_link *link));

/**
 * lend_link_is_ready() - may the peer be asked anything
 * @link: the link
 *
 * Context: any.
 */
static inline bool lend_link_is_ready(const struct lend_link *link)
{
	return READ_ONCE(link->state) == NTB_LEND_LINK_STATE_READY &&
	       !READ_ONCE(link->dead);
}

void lend_link_set_state(struct lend_link *link, enum ntb_lend_link_state state,
			 const char *message);
void lend_link_become_ready(struct lend_link *link);
void lend_link_restart(struct lend_link *link, const char *why);

void lend_link_ring(struct lend_link *link, enum lend_doorbell db);
bool lend_link_enter(struct lend_link *link);
void lend_link_leave(struct lend_link *link);

#endif
