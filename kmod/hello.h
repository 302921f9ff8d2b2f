/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the handshake reads in scratchpads, and what follows from it. Pure logic.
 *
 * Scratchpads are written one by one, the doorbell after them. Who looks in
 * between finds them half old and half new: from that nothing may follow.
 */
#ifndef LEND_HELLO_H
#define LEND_HELLO_H

#include <linux/bits.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <linux/types.h>

#include "proto.h"

/**
 * struct lend_hello_said - what one side says
 * @protocol: version of the protocol
 * @hello: enum lend_hello, or what a later version has made of it
 * @epoch: its own
 * @echo: the epoch of the other side that it has seen, or 0
 * @chan: offset of its channel memory in @window
 * @window: index of the window
 */
struct lend_hello_said {
	u32 protocol;
	u32 hello;
	u64 epoch;
	u64 echo;
	u64 chan;
	u8 window;
};

/**
 * enum lend_hello_step - what to do about what the peer says
 * @LEND_STEP_WAIT: nothing, it is being written; a doorbell follows
 * @LEND_STEP_CALL: nobody is there, or knows that we are new: say that we are
 * @LEND_STEP_INCOMPATIBLE: it speaks another version of the protocol
 * @LEND_STEP_GONE: the peer we knew has left
 * @LEND_STEP_CHANGED: the peer we knew speaks another version now
 * @LEND_STEP_RENEWED: the peer we knew has begun a new session
 * @LEND_STEP_MEET: a peer we do not know, and no older session: find its channel
 *	memory, let it reach ours, echo its epoch
 * @LEND_STEP_ECHO: the peer does not know us: echo its epoch once more
 * @LEND_STEP_AGREE: both know each other
 */
enum lend_hello_step {
	LEND_STEP_WAIT,
	LEND_STEP_CALL,
	LEND_STEP_INCOMPATIBLE,
	LEND_STEP_GONE,
	LEND_STEP_CHANGED,
	LEND_STEP_RENEWED,
	LEND_STEP_MEET,
	LEND_STEP_ECHO,
	LEND_STEP_AGREE,
};

/**
 * lend_hello_pack() - make scratchpads of it
 * @said: what to say, in this version of the protocol
 * @spad: LEND_SPAD_COUNT words; to be written from the last to the first
 *
 * Context: any.
 */
static inline void lend_hello_pack(const struct lend_hello_said *said, u32 *spad)
{
	spad[LEND_SPAD_STATE] = LEND_MAGIC << 16 | LEND_PROTOCOL << 8 | said->hello;
	spad[LEND_SPAD_EPOCH_LO] = lower_32_bits(said->epoch);
	spad[LEND_SPAD_EPOCH_HI] = upper_32_bits(said->epoch);
	spad[LEND_SPAD_CHAN_LO] = lower_32_bits(said->chan);
	spad[LEND_SPAD_CHAN_HI] = upper_32_bits(said->chan) | (u32)said->window << 24;
	spad[LEND_SPAD_ECHO_LO] = lower_32_bits(said->echo);
	spad[LEND_SPAD_ECHO_HI] = upper_32_bits(said->echo);
}

static inline u64 lend_hello_join(const u32 *spad, enum lend_spad lo)
{
	return spad[lo] | (u64)spad[lo + 1] << 32;
}

/**
 * lend_hello_unpack() - what scratchpads say
 * @spad: LEND_SPAD_COUNT words
 * @said: what they say; all zero if that is nothing, or comes from nobody
 *
 * Context: any.
 */
static inline void lend_hello_unpack(const u32 *spad, struct lend_hello_said *said)
{
	u64 epoch = lend_hello_join(spad, LEND_SPAD_EPOCH_LO);
	u64 chan = lend_hello_join(spad, LEND_SPAD_CHAN_LO);

	memset(said, 0, sizeof(*said));
	if (spad[LEND_SPAD_STATE] >> 16 != LEND_MAGIC || !epoch)
		return;
	said->protocol = spad[LEND_SPAD_STATE] >> 8 & 0xff;
	said->hello = spad[LEND_SPAD_STATE] & 0xff;
	said->epoch = epoch;
	said->echo = lend_hello_join(spad, LEND_SPAD_ECHO_LO);
	said->chan = chan & GENMASK_ULL(55, 0);
	said->window = chan >> 56;
}

/**
 * lend_hello_next() - what to do about what the peer says
 * @epoch: ours
 * @peer_epoch: the peer's, or 0 while we do not know it
 * @first: the peer's scratchpads
 * @second: the same, read once more after that
 * @said: what they say, unless to wait
 *
 * Who knows a peer says nothing but its echo from then on, and forgets it with
 * LEND_STEP_GONE, _CHANGED or _RENEWED only. Else the peer would wait for an
 * echo which this side takes for given.
 *
 * Context: any.
 */
static inline enum lend_hello_step lend_hello_next(u64 epoch, u64 peer_epoch, const u32 *first,
						   const u32 *second,
						   struct lend_hello_said *said)
{
	if (memcmp(first, second, LEND_SPAD_COUNT * sizeof(*first)))
		return LEND_STEP_WAIT;
	lend_hello_unpack(first, said);
	if (said->hello == LEND_HELLO_NONE)
		return peer_epoch ? LEND_STEP_GONE : LEND_STEP_CALL;
	if (said->protocol != LEND_PROTOCOL)
		return peer_epoch ? LEND_STEP_CHANGED : LEND_STEP_INCOMPATIBLE;
	/* Its session with who was here before is not over: it may still use our memory. */
	if (!peer_epoch && said->echo && said->echo != epoch)
		return LEND_STEP_CALL;
	if (!peer_epoch)
		return LEND_STEP_MEET;
	if (peer_epoch != said->epoch)
		return LEND_STEP_RENEWED;
	if (said->hello != LEND_HELLO_READY || said->echo != epoch)
		return LEND_STEP_ECHO;
	return LEND_STEP_AGREE;
}

#endif
