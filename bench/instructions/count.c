// SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * A plugin of QEMU's emulation (TCG): how many instructions of the guest's kernel were executed, by the address at which the
 * translated block begins that they belong to. Whoever connects to its socket is told all counts since the start: pairs of
 * address and instructions, eight octets each, in this machine's order. Address 0 stands for all of user space together.
 *
 * Debian has no header of the interface: what of it is used is declared here, as QEMU's include/plugins/qemu-plugin.h has it
 * in version 7.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))
#define SLOTS (1u << 20)
#define KERNEL (1ull << 63)
#define INLINE_ADD 0 /* QEMU_PLUGIN_INLINE_ADD_U64 */

struct qemu_plugin_tb;
struct qemu_plugin_scoreboard;
typedef struct {
	struct qemu_plugin_scoreboard *score;
	size_t offset;
} qemu_plugin_u64;

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*translated)(struct qemu_plugin_tb *, void *), void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t size);
void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(struct qemu_plugin_tb *tb, int op, qemu_plugin_u64 entry, uint64_t n);
uint64_t qemu_plugin_u64_sum(qemu_plugin_u64 entry);

EXPORTED int qemu_plugin_version = 7;

static struct qemu_plugin_scoreboard *counts;
static uint64_t addresses[SLOTS]; /* of the block that is counted there; 0: none. The first is for user space. */
static unsigned int taken;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sockaddr_un place = { .sun_family = AF_UNIX };
static bool serving;

static qemu_plugin_u64 entry_of(unsigned int slot)
{
	return (qemu_plugin_u64){ counts, slot * sizeof(uint64_t) };
}

/* The slot of an address: where it is, or the next free one from where it should be. Called with the lock held. */
static unsigned int slot_of(uint64_t address)
{
	unsigned int slot = 1 + (unsigned int)((address * 0x9e3779b97f4a7c15ull) >> 44) % (SLOTS - 1);

	if (!(address & KERNEL))
		return 0;
	while (addresses[slot] && addresses[slot] != address)
		slot = slot + 1 < SLOTS ? slot + 1 : 1;
	if (!addresses[slot]) {
		if (++taken > SLOTS / 2) {
			fprintf(stderr, "count: more than %u blocks of code\n", SLOTS / 2);
			abort();
		}
		addresses[slot] = address;
	}
	return slot;
}

static void tell(int to)
{
	for (unsigned int slot = 0; slot < SLOTS; slot++) {
		uint64_t pair[2] = { addresses[slot], 0 };

		if (slot && !pair[0])
			continue;
		pair[1] = qemu_plugin_u64_sum(entry_of(slot));
		if (write(to, pair, sizeof(pair)) != sizeof(pair))
			return;
	}
}

static void *serve(void *unused)
{
	int listening = socket(AF_UNIX, SOCK_STREAM, 0);

	unlink(place.sun_path);
	if (bind(listening, (struct sockaddr *)&place, sizeof(place)) || listen(listening, 4)) {
		perror(place.sun_path);
		abort();
	}
	for (;;) {
		int to = accept(listening, NULL, NULL);

		if (to < 0)
			continue;
		tell(to);
		close(to);
	}
	return unused;
}

static void translated(struct qemu_plugin_tb *tb, void *unused)
{
	pthread_t thread;
	unsigned int slot;
	bool first;

	pthread_mutex_lock(&lock);
	slot = slot_of(qemu_plugin_tb_vaddr(tb));
	/* Not before: QEMU may go into the background after plugins are installed. */
	first = !serving;
	serving = true;
	pthread_mutex_unlock(&lock);
	if (first && pthread_create(&thread, NULL, serve, unused))
		abort();
	qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, INLINE_ADD, entry_of(slot), qemu_plugin_tb_n_insns(tb));
}

EXPORTED int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
	for (int index = 0; index < argc; index++)
		if (!strncmp(argv[index], "socket=", 7))
			strncpy(place.sun_path, argv[index] + 7, sizeof(place.sun_path) - 1);
	if (!info || !place.sun_path[0]) {
		fprintf(stderr, "count: no socket=\n");
		return 1;
	}
	counts = qemu_plugin_scoreboard_new(SLOTS * sizeof(uint64_t));
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated, NULL);
	return 0;
}
