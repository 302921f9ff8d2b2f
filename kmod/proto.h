/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What crosses the bridge between two ntb_lend modules. Little-endian; both
 * sides must speak the same LEND_PROTOCOL.
 *
 * Each host has one struct lend_chan in its own memory, which the peer writes
 * through a window: requests of the peer, responses to own requests, the
 * peer's heartbeat, its mailbox messages and relayed interrupts. Nothing is
 * ever read across the bridge, apart from one read that flushes posted writes.
 *
 * Writers put the body first and the sequence number last; posted writes keep
 * their order, so a reader that sees the number sees the body.
 */
#ifndef LEND_PROTO_H
#define LEND_PROTO_H

#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/types.h>

#define LEND_PROTOCOL	3
#define LEND_MAGIC	0x4e4c	/* "LN" */

/*
 * Scratchpads, written by the peer. LEND_SPAD_STATE goes last:
 * magic << 16 | protocol << 8 | enum lend_hello.
 */
enum lend_spad {
	LEND_SPAD_STATE,
	LEND_SPAD_EPOCH_LO,
	LEND_SPAD_EPOCH_HI,
	LEND_SPAD_CHAN_LO,	/* where in the window the channel memory is */
	LEND_SPAD_CHAN_HI,	/* window index in bits 31:24 */
	LEND_SPAD_ECHO_LO,	/* the epoch of the peer that was seen, or 0 */
	LEND_SPAD_ECHO_HI,
	LEND_SPAD_COUNT,
};

enum lend_hello {
	LEND_HELLO_NONE,	/* no ntb_lend here (any more) */
	LEND_HELLO_HERE,	/* parameters are valid */
	LEND_HELLO_READY,	/* ... and the echo is your epoch */
};

/*
 * Doorbell bits, from 0 on: bit 15 of AMD bridges and 31 of Intel's belong to
 * their drivers, and an endpoint bridge may have no more than two or three.
 */
enum lend_doorbell {
	LEND_DB_HELLO,		/* scratchpads have changed */
	LEND_DB_REQUEST,	/* a request slot is filled */
	LEND_DB_MAILBOX,	/* a message or its acknowledgment is there */
	LEND_DB_RELAY,		/* a relayed interrupt was raised or handled */
	LEND_DB_COUNT,
};

#define LEND_ALL_DB	(BIT_ULL(LEND_DB_COUNT) - 1)

enum lend_op {
	LEND_OP_PING = 1,	/* value comes back */
	LEND_OP_OPEN,		/* attach: what is the device, where is its DMA window */
	LEND_OP_BAR,		/* arg: BAR index or LEND_BAR_ROM; where is it */
	LEND_OP_CLOSE,		/* detach: the borrower has let go */
	LEND_OP_CONFIG_READ,	/* arg: offset, size: 1, 2, 4 */
	LEND_OP_CONFIG_WRITE,
	LEND_OP_REVOKE,		/* owner to borrower: the lease is over, by force */
	LEND_OP_IRQ_OPEN,	/* relay an interrupt; arg: see LEND_IRQ() */
	LEND_OP_IRQ_CLOSE,
	LEND_OP_WINDOW,		/* arg: see LEND_PLACE(); where does the device find a window */
	LEND_OP_REACH,		/* arg: page in the DMA window, value: see LEND_REACH_ALL */
};

/* Interrupts of a device that the owner takes and passes on by doorbell. */
enum lend_irq_kind {
	LEND_IRQ_INTX,
	LEND_IRQ_MSI,
	LEND_IRQ_MSIX,
	LEND_IRQ_KINDS,
};

/* lend_request.arg of LEND_OP_IRQ_OPEN and LEND_OP_IRQ_CLOSE */
#define LEND_IRQ(kind, index)	((u32)(kind) << 16 | (index))
#define LEND_IRQ_KIND(arg)	((arg) >> 16)
#define LEND_IRQ_INDEX(arg)	((arg) & 0xffff)

/*
 * lend_request.arg of LEND_OP_WINDOW: a window, and a page in it, into which the
 * owner writes lend_request.value: so the borrower sees that it translates.
 */
#define LEND_PLACE(window, page)	((u32)(window) << 28 | (page))
#define LEND_PLACE_WINDOW(arg)		((arg) >> 28)
#define LEND_PLACE_PAGE(arg)		((arg) & LEND_PLACE_PAGE_MAX)
#define LEND_PLACE_PAGE_MAX		GENMASK(27, 0)
#define LEND_PLACE_SHIFT		12

/*
 * lend_request.value of LEND_OP_REACH: so many pages more of the DMA window the device
 * is to reach, which must have LEND_OPEN_NARROWS. 0: nothing of any window, from now on;
 * all: every window, as after LEND_OP_OPEN.
 */
#define LEND_REACH_ALL	(~0U)

/* Response status. */
enum lend_status {
	LEND_OK,
	LEND_ERR_INVALID,	/* malformed request */
	LEND_ERR_STALE,		/* session or lease epoch is not the live one */
	LEND_ERR_DENIED,	/* the filter refuses this */
	LEND_ERR_DEVICE,	/* the device did not answer */
	LEND_ERR_BUSY,		/* attached already */
	LEND_ERR_SPACE,		/* no more of it is left for the borrower */
};

/* In lend_chan.heartbeat: the peer's one has arrived. */
#define LEND_HEARTBEAT_SEEN	BIT_ULL(63)

#define LEND_SLOTS	16

/**
 * struct lend_request - one request, in the server's memory
 * @seq: written last; differs from the one before in this slot, never 0
 * @op: enum lend_op
 * @size: octets of a configuration access
 * @attempt: how often the same was written before, because no answer came: the
 *	server answers once more and does nothing else
 * @session: epoch of the requester's side of the link
 * @epoch: epoch of the lease
 * @handle: handle of the lent device on the owner
 * @arg: offset or index
 * @value: what to write, or to return
 */
struct lend_request {
	__le32 seq;
	u8 op;
	u8 size;
	__le16 attempt;
	__le64 session;
	__le64 epoch;
	__le32 handle;
	__le32 arg;
	__le32 value;
	__le32 reserved1[7];
};

/**
 * struct lend_response - the answer, in the requester's memory
 * @seq: that of the request; written last
 * @status: enum lend_status
 * @val: depends on the operation, see below
 */
struct lend_response {
	__le32 seq;
	__le32 status;
	__le64 val[7];
};

/* lend_response.val of LEND_OP_OPEN */
enum lend_open_val {
	LEND_OPEN_ADDRESS,	/* domain << 16 | bus << 8 | devfn on the owner */
	LEND_OPEN_DMA_BASE,	/* bus address of the owner's DMA window, for the device */
	LEND_OPEN_DMA_SIZE,
	LEND_OPEN_CFG_SIZE,	/* 256 or 4096 */
	LEND_OPEN_DMA_WINDOW,	/* its index, which is the same on both hosts */
	LEND_OPEN_FLAGS,	/* LEND_OPEN_NARROWS */
};

/* The owner can limit what the device reaches to parts of the window: LEND_OP_REACH. */
#define LEND_OPEN_NARROWS	BIT(0)

/* Index of the expansion ROM behind the BARs, as in struct pci_dev. */
#define LEND_BAR_ROM	6
#define LEND_BARS	7

/* lend_response.val of LEND_OP_BAR */
enum lend_bar_val {
	LEND_BAR_SIZE,		/* 0: not there */
	LEND_BAR_OFFSET,	/* in the borrower's window */
	LEND_BAR_PLACE,		/* flags << 8 | window index */
};

/* lend_response.val of LEND_OP_WINDOW */
enum lend_window_val {
	LEND_WINDOW_BASE,	/* bus address of that window of the owner, for the device */
	LEND_WINDOW_SIZE,	/* 0: the device does not find it */
};

/* lend_response.val of LEND_OP_IRQ_OPEN */
enum lend_irq_val {
	LEND_IRQ_SLOT,		/* in lend_chan.raised and lend_chan.handled */
	LEND_IRQ_COUNT,		/* where its counter starts */
};

/* Relayed interrupts of one direction of a link. */
#define LEND_RELAYS	256

#define LEND_MBOX_MAX	4032

/**
 * struct lend_mbox - one mailbox message, in the receiver's memory
 * @seq: written last
 * @len: octets of @data
 * @port: enum ntb_lend_mailbox_port
 * @session: epoch of the sender's side of the link
 */
struct lend_mbox {
	__le32 seq;
	__le32 len;
	__le32 port;
	__le32 reserved0;
	__le64 session;
	__le64 reserved1[5];
	u8 data[LEND_MBOX_MAX];
};

/* lend_chan.mbox_ack_status */
enum lend_mbox_status {
	LEND_MBOX_DELIVERED,
	LEND_MBOX_REFUSED,	/* nobody is bound to that port */
	LEND_MBOX_INVALID,
	LEND_MBOX_BUSY,		/* the receiver's socket is full */
};

/**
 * struct lend_chan - all that the peer writes
 * @heartbeat: counts up while the peer lives, never 0; and LEND_HEARTBEAT_SEEN
 * @mbox_ack_seq: @mbox.seq of the last message of ours that was dealt with
 * @mbox_ack_status: enum lend_mbox_status; written before @mbox_ack_seq
 * @req: the peer's requests
 * @resp: responses to our requests
 * @raised: the peer's relayed interrupts: lend_relay_word() of how often each
 *	was raised
 * @handled: interrupts relayed to the peer: up to which count the peer has
 *	handled each; level-triggered ones only
 * @mbox: the peer's message to us
 */
struct lend_chan {
	__le64 heartbeat;
	__le32 mbox_ack_seq;
	__le32 mbox_ack_status;
	__le64 reserved[6];
	struct lend_request req[LEND_SLOTS];
	struct lend_response resp[LEND_SLOTS];
	__le64 raised[LEND_RELAYS];
	__le64 handled[LEND_RELAYS];
	struct lend_mbox mbox;
};

static_assert(sizeof(struct lend_request) == 64);
static_assert(sizeof(struct lend_response) == 64);
static_assert(sizeof(struct lend_mbox) == 64 + LEND_MBOX_MAX);
static_assert(sizeof(struct lend_chan) ==
	      64 + 2 * 64 * LEND_SLOTS + 2 * 8 * LEND_RELAYS + 64 + LEND_MBOX_MAX);

#endif
