/* SPDX-License-Identifier: GPL-2.0-only */
/* Channel: requests to the peer's kernel, in any context, and their transport. */
#ifndef LEND_CHANNEL_H
#define LEND_CHANNEL_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/wait.h>

#include "budget.h"
#include "proto.h"

struct device;
struct lend_channel;
struct ntb_dev;
struct task_struct;

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
 * typedef lend_channel_serve - answers one request of the peer
 * @channel: where it came from
 * @req: a copy of it that the peer cannot change
 * @resp: val is filled in
 *
 * Process context; any for LEND_OP_CONFIG_READ. Returns what to answer.
 */
typedef enum lend_status lend_channel_serve(struct lend_channel *channel,
					    const struct lend_request *req,
					    struct lend_response *resp);

/**
 * struct lend_channel - the memory that two hosts write for each other, and its use
 * @node: on the list of channels; read under RCU
 * @ntb: the NTB device
 * @id: number of the link
 * @serve: answers the peer's requests
 * @ready: the peer may be asked and answered; written by the link
 * @dead: set in any context when the peer is lost; ends all waiting
 * @users: who is between the check of @dead and the last use of @peer
 * @epoch: of this side; new at each load and each time the link was lost
 * @peer_epoch: 0 while unknown
 * @own: own memory, written by the peer
 * @dma: its DMA address for the NTB function
 * @peer: the peer's memory through the window, or NULL
 * @slots_busy: one bit per request slot in use
 * @slots_stuck: those whose request timed out and is not answered yet
 * @slot_seq: last sequence number used in each slot
 * @answered_at: when the peer's server last answered; anyone writes it
 * @slots_served: those in which a request of the peer is being served
 * @answers: to its last requests, by slot; belongs to who serves the slot
 * @attempts: how often it had sent each of them when it was answered; as @answers
 * @served: how often, the server's
 * @busy: how long the server took for that
 * @realtime: the server goes before others
 * @server: thread that serves the peer's requests
 * @server_wait: where it sleeps
 * @server_kick: a doorbell has rung since it looked
 * @counters: see the netlink spec
 */
struct lend_channel {
	struct list_head node;
	struct ntb_dev *ntb;
	u32 id;
	lend_channel_serve *serve;

	bool ready;
	bool dead;
	atomic_t users;
	u64 epoch;
	u64 peer_epoch;
	struct lend_chan *own;
	dma_addr_t dma;
	struct lend_chan __iomem *peer;

	unsigned long slots_busy;
	unsigned long slots_stuck;
	u32 slot_seq[LEND_SLOTS];
	u64 answered_at;
	unsigned long slots_served;
	struct lend_response answers[LEND_SLOTS];
	__le16 attempts[LEND_SLOTS];
	struct lend_budget served;
	struct lend_budget busy;
	bool realtime;
	struct task_struct *server;
	wait_queue_head_t server_wait;
	atomic_t server_kick;

	struct lend_counters counters;
};

/**
 * struct lend_call - one request and its answer
 * @op: enum lend_op
 * @size: octets of a configuration access
 * @handle: lent device on the owner
 * @arg: offset or index
 * @value: what to write
 * @epoch: of the lease
 * @val: the answer
 */
struct lend_call {
	u8 op;
	u8 size;
	u32 handle;
	u32 arg;
	u32 value;
	u64 epoch;
	u64 val[7];
};

int lend_channel_alloc(struct lend_channel *channel, struct device *dev);
void lend_channel_free(struct lend_channel *channel, struct device *dev);
int lend_channel_start(struct lend_channel *channel);
void lend_channel_stop(struct lend_channel *channel);
void lend_channel_reset(struct lend_channel *channel);
void lend_channel_kick(struct lend_channel *channel);
void lend_channel_ring(struct lend_channel *channel, enum lend_doorbell db);
bool lend_channel_enter(struct lend_channel *channel);
void lend_channel_leave(struct lend_channel *channel);
void lend_channel_quiesce(struct lend_channel *channel);
void lend_channel_flush(struct lend_channel *channel);
int lend_channel_call(struct lend_channel *channel, struct lend_call *call);
bool lend_channel_is_stuck(struct lend_channel *channel);

/**
 * lend_channel_is_ready() - may the peer be asked anything
 * @channel: the channel
 *
 * Context: any.
 */
static inline bool lend_channel_is_ready(const struct lend_channel *channel)
{
	return READ_ONCE(channel->ready) && !READ_ONCE(channel->dead);
}

#endif
