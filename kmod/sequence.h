/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How relayed interrupts are counted. Pure logic.
 *
 * A word holds how often an interrupt was raised, or up to which count it was
 * handled, and the tag of the lease that it belongs to. It is written whole,
 * and again from time to time: a lost doorbell or a doubled one changes
 * nothing.
 */
#ifndef LEND_SEQUENCE_H
#define LEND_SEQUENCE_H

#include <linux/kernel.h>
#include <linux/types.h>

/**
 * struct lend_level - owner's state of a level-triggered interrupt
 * @active: the borrower listens
 * @off: the borrower has switched it off in the command register
 * @waiting: raised, and the borrower has not handled it yet
 * @held: raised too often, and waits for the clock
 */
struct lend_level {
	bool active;
	bool off;
	bool waiting;
	bool held;
};

/**
 * lend_relay_tag() - what marks the words of a lease
 * @epoch: of the lease
 *
 * Context: any.
 * Return: never 0, which is what memory without any word holds.
 */
static inline u32 lend_relay_tag(u64 epoch)
{
	return lower_32_bits(epoch) ?: ~0U;
}

/**
 * lend_relay_word() - a count as it crosses the bridge
 * @tag: of the lease
 * @count: up to where
 *
 * Context: any.
 */
static inline u64 lend_relay_word(u32 tag, u32 count)
{
	return (u64)tag << 32 | count;
}

/**
 * lend_relay_count() - the count in a word
 * @word: what the peer wrote
 * @tag: of the live lease
 * @count: the count
 *
 * Context: any.
 * Return: false when the word belongs to another lease, or to none.
 */
static inline bool lend_relay_count(u64 word, u32 tag, u32 *count)
{
	*count = lower_32_bits(word);
	return upper_32_bits(word) == tag;
}

/**
 * lend_level_open() - may the device assert its interrupt
 * @level: the state
 *
 * Context: any; caller serialises.
 */
static inline bool lend_level_open(const struct lend_level *level)
{
	return level->active && !level->off && !level->waiting && !level->held;
}

/**
 * lend_level_handled() - the borrower says up to where it has handled it
 * @level: the state
 * @raised: how often it was raised
 * @handled: what the borrower says
 *
 * Nothing but the last count opens it again: a late word of an earlier one, or
 * the same once more, does not.
 *
 * Context: any; caller serialises.
 * Return: true when it has become open.
 */
static inline bool lend_level_handled(struct lend_level *level, u32 raised, u32 handled)
{
	if (!level->waiting || handled != raised)
		return false;
	level->waiting = false;
	return lend_level_open(level);
}

/**
 * lend_level_rested() - what was raised too often may be raised again
 * @level: the state
 *
 * Context: any; caller serialises.
 * Return: true when it has become open.
 */
static inline bool lend_level_rested(struct lend_level *level)
{
	if (!level->held)
		return false;
	level->held = false;
	return lend_level_open(level);
}

#endif
