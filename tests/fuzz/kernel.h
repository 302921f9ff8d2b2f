/* SPDX-License-Identifier: GPL-2.0-only */
/* What the module's pure logic takes from the kernel, for a program of user space. */
#ifndef FUZZ_KERNEL_H
#define FUZZ_KERNEL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef u16 __le16;
typedef u32 __le32;
typedef u64 __le64;

#define PAGE_SIZE		4096UL
#define U64_MAX			UINT64_MAX
#define NSEC_PER_SEC		1000000000L

#define BIT(n)			(1UL << (n))
#define BIT_ULL(n)		(1ULL << (n))
#define GENMASK(h, l)		((~0UL >> (63 - (h))) & (~0UL << (l)))
#define GENMASK_ULL(h, l)	((~0ULL >> (63 - (h))) & (~0ULL << (l)))
#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))
#define min(a, b)		((a) < (b) ? (a) : (b))
#define max(a, b)		((a) > (b) ? (a) : (b))
#define max_t(t, a, b)		max((t)(a), (t)(b))
#define round_down(n, to)	((n) & ~((u64)(to) - 1))
#define PAGE_ALIGNED(n)		(!((n) & (PAGE_SIZE - 1)))
#define lower_32_bits(n)	((u32)(n))
#define upper_32_bits(n)	((u32)((u64)(n) >> 32))
#define static_assert(what, ...)	_Static_assert(what, #what)
#define sizeof_field(t, f)	sizeof(((t *)0)->f)

/* A finding ends the program where the fuzzer sees it. */
#define MUST(condition) do { if (!(condition)) __builtin_trap(); } while (0)

/**
 * struct input - what the fuzzer has made up
 * @data: octets
 * @size: of them that are left
 */
struct input {
	const u8 *data;
	size_t size;
};

/* Takes octets; zeros when there are none left. */
static inline void take(struct input *input, void *to, size_t size)
{
	size_t some = min(size, input->size);

	memset(to, 0, size);
	memcpy(to, input->data, some);
	input->data += some;
	input->size -= some;
}

static inline u64 take_u64(struct input *input)
{
	u64 value;

	take(input, &value, sizeof(value));
	return value;
}

static inline u32 take_u32(struct input *input)
{
	return (u32)take_u64(input);
}

static inline u8 take_u8(struct input *input)
{
	u8 value;

	take(input, &value, sizeof(value));
	return value;
}

#endif
