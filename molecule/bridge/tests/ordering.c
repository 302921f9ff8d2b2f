// SPDX-License-Identifier: GPL-3.0-or-later
// Copyright: (c) 2026, the pcie.device_lending authors
/*
 * Watch PCIe's ordering rules from user space, on both hosts of an AMD NTB without a driver bound to it.
 *
 *   ordering spad write|check BAR-DIRECTORY ROUNDS    data through the window, then a scratchpad
 *   ordering read write|check BAR-DIRECTORY ROUNDS    data through the window, then a flag in own RAM the peer reads
 *
 * "write" runs on one host, "check" on the other; the latter prints in how many rounds it saw old data.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum {
	SPAD = 0x210,
	PEER_BAR23LMT = 0x818,
	PEER_BAR23XLAT = 0x838,
	WRITER_SPAD = SPAD,
	CHECKER_SPAD = SPAD + 4,
	READY_SPAD = SPAD + 8,
	PAGE = 4096,
	WORDS = 64,
	FLAG = 512,
	TIMEOUT = 120,
};

static volatile uint8_t *regs;
static volatile uint32_t *window;
static volatile uint32_t *page;
static time_t deadline;

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static void *map(const char *directory, const char *name, size_t size)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	int fd = open(path, O_RDWR | O_SYNC);
	if (fd < 0)
		die(path);
	void *where = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (where == MAP_FAILED)
		die(path);
	return where;
}

static uint64_t physical(volatile void *address)
{
	uint64_t entry;
	int fd = open("/proc/self/pagemap", O_RDONLY);
	if (fd < 0 || pread(fd, &entry, 8, (uintptr_t)address / PAGE * 8) != 8)
		die("pagemap");
	close(fd);
	return (entry & ((1ULL << 55) - 1)) * PAGE;
}

static uint32_t get(int offset)
{
	return *(volatile uint32_t *)(regs + offset);
}

static void put(int offset, uint32_t value)
{
	*(volatile uint32_t *)(regs + offset) = value;
}

static void put64(int offset, uint64_t value)
{
	*(volatile uint64_t *)(regs + offset) = value;
}

static void in_time(void)
{
	if (time(NULL) > deadline) {
		fprintf(stderr, "the other side does not answer\n");
		exit(3);
	}
}

static void await(int spad, uint32_t value)
{
	while (get(spad) != value)
		in_time();
}

int main(int argc, char **argv)
{
	if (argc != 5)
		return 2;
	int by_read = !strcmp(argv[1], "read");
	int writer = !strcmp(argv[2], "write");
	uint32_t rounds = atoi(argv[4]), stale = 0;

	deadline = time(NULL) + TIMEOUT;
	regs = map(argv[3], "resource0", PAGE);
	window = map(argv[3], "resource2", PAGE);
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0);
	if (page == MAP_FAILED)
		die("mmap");
	memset((void *)page, 0, PAGE);

	/* Let the peer reach this page, and wait until the peer has done the same. */
	put64(PEER_BAR23XLAT, physical(page));
	put64(PEER_BAR23LMT, PAGE);
	if (writer) {
		put(WRITER_SPAD, 0);
		put(READY_SPAD, 0x1ead1);
		await(READY_SPAD, 0x1ead2);
	} else {
		put(CHECKER_SPAD, 0);
		await(READY_SPAD, 0x1ead1);
		put(READY_SPAD, 0x1ead2);
	}

	for (uint32_t round = 1; round <= rounds; round++) {
		if (writer) {
			for (int word = 0; word < WORDS; word++)
				window[word] = round;
			__sync_synchronize();
			if (by_read)
				page[FLAG] = round;
			else
				put(WRITER_SPAD, round);
			await(CHECKER_SPAD, round);
		} else {
			if (by_read)
				while (window[FLAG] != round)
					in_time();
			else
				await(WRITER_SPAD, round);
			stale += page[WORDS - 1] != round;
			put(CHECKER_SPAD, round);
		}
	}
	if (!writer)
		printf("stale %u of %u\n", stale, rounds);
	return 0;
}
