// SPDX-License-Identifier: GPL-2.0-only
/*
 * The handshake: both sides say in scratchpads who they are and where their
 * channel memory is, then each proves that its writes arrive there.
 *
 * The second part matters because a bridge may take a translation and not use
 * it: drivers check what they can, and some of them ignore what the bridge says.
 */

#include <linux/io.h>

#include "handshake.h"
#include "link.h"

/* After so many looks at it a window is not slow any more, but broken. */
#define LEND_PROOFS	12

/**
 * lend_link_publish() - tell the peer what we are, state last
 * @link: the link, physically up
 * @hello: what to say
 *
 * Context: process; caller holds @link->lock.
 */
void lend_link_publish(struct lend_link *link, enum lend_hello hello)
{
	const u32 val[LEND_SPAD_COUNT] = {
		[LEND_SPAD_STATE] = LEND_MAGIC << 16 | LEND_PROTOCOL << 8 | hello,
		[LEND_SPAD_EPOCH_LO] = lower_32_bits(link->epoch),
		[LEND_SPAD_EPOCH_HI] = upper_32_bits(link->epoch),
		[LEND_SPAD_CHAN_LO] = lower_32_bits(link->chan_dma),
		[LEND_SPAD_CHAN_HI] = upper_32_bits(link->chan_dma) | link->dma_win << 24,
		[LEND_SPAD_ECHO_LO] = lower_32_bits(link->peer_epoch),
		[LEND_SPAD_ECHO_HI] = upper_32_bits(link->peer_epoch),
	};
	int i;

	for (i = LEND_SPAD_COUNT - 1; i >= 0; i--)
		ntb_peer_spad_write(link->ntb, link->pidx, i, val[i]);
	lend_link_ring(link, LEND_DB_HELLO);
}

struct lend_hello_seen {
	u32 protocol;
	enum lend_hello hello;
	u64 epoch;
	u64 echo;
	u64 chan;
	int window;
};

static u64 lend_spad_read64(struct lend_link *link, enum lend_spad lo)
{
	u64 low = ntb_spad_read(link->ntb, lo);

	return low | (u64)ntb_spad_read(link->ntb, lo + 1) << 32;
}

/* What the peer says; false while it says nothing, or is changing it. */
static bool lend_link_read_hello(struct lend_link *link, struct lend_hello_seen *seen)
{
	u32 state = ntb_spad_read(link->ntb, LEND_SPAD_STATE);
	u64 chan;

	if (state >> 16 != LEND_MAGIC)
		return false;
	seen->protocol = state >> 8 & 0xff;
	seen->hello = state & 0xff;
	seen->epoch = lend_spad_read64(link, LEND_SPAD_EPOCH_LO);
	seen->echo = lend_spad_read64(link, LEND_SPAD_ECHO_LO);
	chan = lend_spad_read64(link, LEND_SPAD_CHAN_LO);
	seen->window = chan >> 56;
	seen->chan = chan & GENMASK_ULL(55, 0);
	return ntb_spad_read(link->ntb, LEND_SPAD_STATE) == state &&
	       lend_spad_read64(link, LEND_SPAD_EPOCH_LO) == seen->epoch;
}

/* Process context, @link->lock held. */
static int lend_link_map_peer(struct lend_link *link, const struct lend_hello_seen *seen)
{
	const struct lend_window *win;

	if (seen->window < 0 || seen->window >= link->nwin ||
	    !IS_ALIGNED(seen->chan, 64))
		return -EPROTO;
	win = &link->win[seen->window];
	if (seen->chan > win->size || win->size - seen->chan < sizeof(struct lend_chan))
		return -EPROTO;
	link->peer_chan = ioremap_wc(win->base + seen->chan, sizeof(struct lend_chan));
	return link->peer_chan ? 0 : -ENOMEM;
}

/**
 * lend_heartbeat_write() - write the next heartbeat into the peer's memory
 * @link: the link; its peer's channel memory is mapped
 * @seen: the peer's heartbeat has arrived here
 *
 * Context: any; one caller at a time.
 */
void lend_heartbeat_write(struct lend_link *link, bool seen)
{
	writeq(++link->hb_value | (seen ? LEND_HEARTBEAT_SEEN : 0), &link->peer_chan->heartbeat);
}

/*
 * Process context, @link->lock held; the peer knows our epoch, so its channel
 * memory is where it says. True when writes arrive in both directions.
 */
static bool lend_link_prove_window(struct lend_link *link)
{
	u64 heartbeat = le64_to_cpu(READ_ONCE(link->chan->heartbeat));
	unsigned int tell = heartbeat ? 2 : 1;

	lend_heartbeat_write(link, heartbeat);
	/* Out of the write-combining buffer, and before the doorbell. */
	wmb();
	if (link->peer_told != tell)
		lend_link_ring(link, LEND_DB_HELLO);
	link->peer_told = tell;
	if (heartbeat & LEND_HEARTBEAT_SEEN)
		return true;
	if (++link->proofs > LEND_PROOFS)
		lend_link_set_state(link, NTB_LEND_LINK_STATE_HANDSHAKE, heartbeat ?
				    "writes do not reach the peer: its bridge does not translate" :
				    "the peer's writes do not arrive: this bridge does not translate");
	return false;
}

/**
 * lend_link_shake_hands() - take the handshake as far as the peer lets us
 * @link: the link, physically up
 *
 * Context: process; caller holds @link->lock.
 */
void lend_link_shake_hands(struct lend_link *link)
{
	struct lend_hello_seen seen;
	int ret;

	if (!lend_link_read_hello(link, &seen) || seen.hello == LEND_HELLO_NONE) {
		if (link->state == NTB_LEND_LINK_STATE_READY) {
			lend_link_restart(link, "ntb_lend was unloaded on the peer");
			return;
		}
		lend_link_set_state(link, NTB_LEND_LINK_STATE_HANDSHAKE,
				    "no ntb_lend on the peer yet");
		goto publish;
	}
	if (seen.protocol != LEND_PROTOCOL) {
		if (link->state == NTB_LEND_LINK_STATE_READY) {
			lend_link_restart(link, "the peer changed its protocol version");
			return;
		}
		link->peer_protocol = seen.protocol;
		lend_link_set_state(link, NTB_LEND_LINK_STATE_INCOMPATIBLE,
				    "the peer speaks another protocol version: load the same ntb_lend on both hosts");
		goto publish;
	}
	if (link->peer_epoch && link->peer_epoch != seen.epoch) {
		lend_link_restart(link, "the peer has started a new session");
		return;
	}
	if (!link->peer_epoch) {
		ret = lend_link_map_peer(link, &seen);
		if (ret) {
			lend_link_set_state(link, NTB_LEND_LINK_STATE_INCOMPATIBLE,
					    "the peer's channel memory is outside the window");
			goto publish;
		}
		link->peer_epoch = seen.epoch;
		link->peer_protocol = seen.protocol;
		lend_link_publish(link, LEND_HELLO_READY);
	}
	if (link->state != NTB_LEND_LINK_STATE_READY) {
		if (seen.hello != LEND_HELLO_READY || seen.echo != link->epoch)
			lend_link_publish(link, LEND_HELLO_READY);
		else if (lend_link_prove_window(link))
			lend_link_become_ready(link);
	} else if (seen.hello != LEND_HELLO_READY || seen.echo != link->epoch) {
		lend_link_publish(link, LEND_HELLO_READY);
	}
	return;
publish:
	lend_link_publish(link, LEND_HELLO_HERE);
}
