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
#include "hello.h"
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
	const struct lend_hello_said said = {
		.hello = hello,
		.epoch = link->epoch,
		.echo = link->peer_epoch,
		.chan = link->chan_dma,
		.window = link->dma_win,
	};
	u32 spad[LEND_SPAD_COUNT];
	int i;

	lend_hello_pack(&said, spad);
	for (i = LEND_SPAD_COUNT - 1; i >= 0; i--)
		ntb_peer_spad_write(link->ntb, link->pidx, i, spad[i]);
	lend_link_ring(link, LEND_DB_HELLO);
}

/* What follows from what the peer says. Process context, @link->lock held. */
static enum lend_hello_step lend_link_listen(struct lend_link *link, struct lend_hello_said *said)
{
	u32 look[2][LEND_SPAD_COUNT];
	int i, j;

	for (i = 0; i < 2; i++)
		for (j = 0; j < LEND_SPAD_COUNT; j++)
			look[i][j] = ntb_spad_read(link->ntb, j);
	return lend_hello_next(link->epoch, link->peer_epoch, look[0], look[1], said);
}

/* Process context, @link->lock held. */
static int lend_link_map_peer(struct lend_link *link, const struct lend_hello_said *said)
{
	const struct lend_window *win;

	if (said->window >= link->nwin || !IS_ALIGNED(said->chan, 64))
		return -EPROTO;
	win = &link->win[said->window];
	if (said->chan > win->size || win->size - said->chan < sizeof(struct lend_chan))
		return -EPROTO;
	link->peer_chan = ioremap_wc(win->base + said->chan, sizeof(struct lend_chan));
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

/* Process context, @link->lock held. */
static void lend_link_meet(struct lend_link *link, const struct lend_hello_said *said)
{
	if (lend_link_map_peer(link, said)) {
		lend_link_set_state(link, NTB_LEND_LINK_STATE_INCOMPATIBLE,
				    "the peer's channel memory is outside the window");
		lend_link_publish(link, LEND_HELLO_HERE);
		return;
	}
	link->peer_epoch = said->epoch;
	link->peer_protocol = said->protocol;
	lend_link_set_state(link, NTB_LEND_LINK_STATE_HANDSHAKE, "the peer has not answered yet");
	lend_link_publish(link, LEND_HELLO_READY);
}

/**
 * lend_link_shake_hands() - take the handshake as far as the peer lets us
 * @link: the link, physically up
 *
 * Context: process; caller holds @link->lock.
 */
void lend_link_shake_hands(struct lend_link *link)
{
	struct lend_hello_said said;

	switch (lend_link_listen(link, &said)) {
	case LEND_STEP_WAIT:
		break;
	case LEND_STEP_CALL:
		lend_link_set_state(link, NTB_LEND_LINK_STATE_HANDSHAKE,
				    "no ntb_lend on the peer yet");
		lend_link_publish(link, LEND_HELLO_HERE);
		break;
	case LEND_STEP_INCOMPATIBLE:
		link->peer_protocol = said.protocol;
		lend_link_set_state(link, NTB_LEND_LINK_STATE_INCOMPATIBLE,
				    "the peer speaks another protocol version: load the same ntb_lend on both hosts");
		lend_link_publish(link, LEND_HELLO_HERE);
		break;
	case LEND_STEP_GONE:
		lend_link_restart(link, "ntb_lend was unloaded on the peer");
		break;
	case LEND_STEP_CHANGED:
		lend_link_restart(link, "the peer changed its protocol version");
		break;
	case LEND_STEP_RENEWED:
		lend_link_restart(link, "the peer has started a new session");
		break;
	case LEND_STEP_MEET:
		lend_link_meet(link, &said);
		break;
	case LEND_STEP_ECHO:
		lend_link_publish(link, LEND_HELLO_READY);
		break;
	case LEND_STEP_AGREE:
		if (link->state != NTB_LEND_LINK_STATE_READY && lend_link_prove_window(link))
			lend_link_become_ready(link);
		break;
	}
}
