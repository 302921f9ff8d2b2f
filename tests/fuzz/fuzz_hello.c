// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzz the handshake: whatever a peer leaves in the scratchpads, a step follows that
 * its words allow.
 *
 * Input: both epochs, and the scratchpads twice.
 */

#include "../../kmod/hello.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input input = { data, size };
	u64 epoch = take_u64(&input), peer_epoch = take_u64(&input);
	u32 first[LEND_SPAD_COUNT], second[LEND_SPAD_COUNT];
	struct lend_hello_said said = {};
	enum lend_hello_step step;
	u8 way = take_u8(&input);

	take(&input, first, sizeof(first));
	if (way & 1)
		memcpy(second, first, sizeof(second));
	else
		take(&input, second, sizeof(second));
	if (way & 2)
		first[LEND_SPAD_STATE] = second[LEND_SPAD_STATE] =
			LEND_MAGIC << 16 | LEND_PROTOCOL << 8 | (way >> 2 & 3);
	step = lend_hello_next(epoch, peer_epoch, first, second, &said);

	MUST(step <= LEND_STEP_AGREE);
	if (memcmp(first, second, sizeof(first)))
		MUST(step == LEND_STEP_WAIT);
	/* Who is met has said that it is there, in this version, and is in no older session. */
	if (step == LEND_STEP_MEET)
		MUST(!peer_epoch && said.epoch && said.protocol == LEND_PROTOCOL &&
		     (!said.echo || said.echo == epoch));
	if (step == LEND_STEP_AGREE)
		MUST(said.epoch == peer_epoch && said.echo == epoch &&
		     said.hello == LEND_HELLO_READY);
	/* Who is known and says another epoch, or nothing, is known no longer. */
	if (peer_epoch && (step == LEND_STEP_AGREE || step == LEND_STEP_ECHO))
		MUST(said.epoch == peer_epoch);
	return 0;
}
