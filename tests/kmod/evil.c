// SPDX-License-Identifier: GPL-2.0-only
/*
 * A borrower that means harm: writes into the peer's memory what ntb_lend never
 * would. It takes the link from ntb_lend, which must be loaded, so it is built with
 * its headers.
 *
 * Each attack is a file in debugfs, evil/NAME. Writing "ROUNDS SEED [HANDLE EPOCH]"
 * there carries it out; HANDLE and EPOCH are of a lease, for attacks that need one.
 * evil/granted tells how many requests of the last attack were granted.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/ntb.h>
#include <linux/pci.h>
#include <linux/prandom.h>
#include <linux/sizes.h>
#include <linux/uaccess.h>

#include "hello.h"
#include "link.h"

#define EVIL_SLOT	(LEND_SLOTS - 1)
#define EVIL_WAIT_US	200000
/* Where an answer must come: an emulated host on a busy machine takes seconds at times. */
#define EVIL_PATIENCE_US	20000000
/* Nothing that a handshake needs lies above. */
#define EVIL_WINDOW_FROM	SZ_16M
#define EVIL_WINDOW_TO		SZ_256M
/* QEMU's educational device: what it has to say, and that it was heard. */
#define EVIL_EDU_RAISE		0x60
#define EVIL_EDU_ACK		0x64
#define EVIL_CALM_MS		500
/* Of an emulated owner on a busy machine. */
#define EVIL_HEARD_MS		20000
/* Within what the peer listens to because it is rung. */
#define EVIL_GREETING_MS	60

/**
 * struct evil - an attack under way
 * @link: the link, in use
 * @rnd: where garbage comes from
 * @rounds: how often
 * @handle: of a lent device
 * @epoch: of its lease
 */
struct evil {
	struct lend_link *link;
	struct rnd_state rnd;
	u32 rounds;
	u32 handle;
	u64 epoch;
};

/**
 * struct evil_attack - a kind of attack
 * @name: of its file
 * @run: carries it out; process context, the peer's memory is mapped
 */
struct evil_attack {
	const char *name;
	void (*run)(struct evil *evil);
};

static DEFINE_MUTEX(evil_lock);
static struct dentry *evil_files;
static u32 evil_granted;

static u32 evil_random(struct evil *evil)
{
	return prandom_u32_state(&evil->rnd);
}

static void evil_ring(struct evil *evil, u64 bits)
{
	ntb_peer_db_set(evil->link->ntb, bits);
}

static void evil_post(struct evil *evil, int slot, const struct lend_request *req)
{
	struct lend_request __iomem *to = &evil->link->channel.peer->req[slot];

	memcpy_toio(&to->op, &req->op, sizeof(*req) - offsetof(struct lend_request, op));
	/* Body before number. */
	wmb();
	writel(le32_to_cpu(req->seq), &to->seq);
	/* Before the doorbell. */
	wmb();
}

/* One request that is well-formed, but for what is in it. Its status, or -ETIMEDOUT. */
static int evil_ask_within(struct evil *evil, u8 op, u8 size, u32 arg, u32 value, int wait_us)
{
	struct lend_response *resp = &evil->link->channel.own->resp[EVIL_SLOT];
	struct lend_request req = {
		.seq = cpu_to_le32(evil_random(evil) | 1),
		.op = op,
		.size = size,
		.session = cpu_to_le64(evil->link->channel.epoch),
		.epoch = cpu_to_le64(evil->epoch),
		.handle = cpu_to_le32(evil->handle),
		.arg = cpu_to_le32(arg),
		.value = cpu_to_le32(value),
	};
	int us;

	evil_post(evil, EVIL_SLOT, &req);
	evil_ring(evil, BIT_ULL(LEND_DB_REQUEST));
	for (us = 0; us < wait_us; us += 20) {
		if (READ_ONCE(resp->seq) == req.seq)
			return le32_to_cpu(READ_ONCE(resp->status));
		usleep_range(10, 20);
	}
	return -ETIMEDOUT;
}

static int evil_ask(struct evil *evil, u8 op, u8 size, u32 arg, u32 value)
{
	return evil_ask_within(evil, op, size, arg, value, EVIL_WAIT_US);
}

/* A value of the answer to the last evil_ask(), which was granted. */
static u64 evil_answer(struct evil *evil, int index)
{
	return le64_to_cpu(READ_ONCE(evil->link->channel.own->resp[EVIL_SLOT].val[index]));
}

/* Garbage in all slots, but so that some of it is looked at. */
static void evil_requests(struct evil *evil)
{
	struct lend_request req;
	u32 i;

	for (i = 0; i < evil->rounds; i++) {
		prandom_bytes_state(&evil->rnd, &req, sizeof(req));
		if (evil_random(evil) % 8)
			req.session = cpu_to_le64(evil->link->channel.epoch);
		if (evil_random(evil) % 4)
			req.op = evil_random(evil) % 16;
		if (evil_random(evil) % 2)
			req.handle = cpu_to_le32(evil_random(evil) % 8);
		if (evil_random(evil) % 2)
			req.epoch = cpu_to_le64(evil->epoch);
		if (evil_random(evil) % 2)
			req.arg = cpu_to_le32(evil_random(evil) % 0x2000);
		evil_post(evil, i % LEND_SLOTS, &req);
		if (i % 4 == 0)
			evil_ring(evil, BIT_ULL(LEND_DB_REQUEST));
		udelay(evil_random(evil) % 100);
		cond_resched();
	}
}

static void evil_messages(struct evil *evil)
{
	struct lend_mbox __iomem *to = &evil->link->channel.peer->mbox;
	u8 garbage[64];
	u32 i;

	for (i = 0; i < evil->rounds; i++) {
		prandom_bytes_state(&evil->rnd, garbage, sizeof(garbage));
		memcpy_toio(to->data, garbage, sizeof(garbage));
		writel(evil_random(evil) % 2 ? evil_random(evil) : evil_random(evil) % 5000,
		       &to->len);
		writel(evil_random(evil) % 4, &to->port);
		writeq(evil_random(evil) % 8 ? evil->link->channel.epoch : evil_random(evil),
		       &to->session);
		/* Body before number. */
		wmb();
		writel(evil_random(evil), &to->seq);
		evil_ring(evil, BIT_ULL(LEND_DB_MAILBOX));
		usleep_range(50, 500);
	}
}

/* Interrupts that nobody raised, and some that nobody handled. */
static void evil_interrupts(struct evil *evil)
{
	struct lend_chan __iomem *peer = evil->link->channel.peer;
	u32 i;

	for (i = 0; i < evil->rounds; i++) {
		__le64 __iomem *word = evil_random(evil) % 2 ? peer->raised : peer->handled;
		u32 tag = evil_random(evil) % 2 ? lower_32_bits(evil->epoch) : evil_random(evil);

		writeq((u64)tag << 32 | evil_random(evil), &word[evil_random(evil) % LEND_RELAYS]);
		if (i % 8 == 0)
			evil_ring(evil, BIT_ULL(LEND_DB_RELAY));
		cond_resched();
	}
}

static void evil_doorbells(struct evil *evil)
{
	u32 i;

	for (i = 0; i < evil->rounds; i++) {
		evil_ring(evil, LEND_ALL_DB);
		cond_resched();
	}
}

/* The same, so that the peer is interrupted each time. */
static void evil_rings(struct evil *evil)
{
	u32 i;

	for (i = 0; i < evil->rounds; i++) {
		evil_ring(evil, LEND_ALL_DB);
		usleep_range(100, 200);
	}
}

/* Every register with every pattern, as if the whole device were its own. */
static void evil_registers(struct evil *evil)
{
	static const u32 patterns[] = { 0, ~0U, 0xaaaaaaaa, 0x55555555 };
	u32 where, size, i;

	for (i = 0; i < evil->rounds; i++) {
		for (where = 0; where < PCI_CFG_SPACE_EXP_SIZE + 16;
		     where += where < PCI_CFG_SPACE_SIZE ? 1 : 4) {
			/* Misaligned ones, too. */
			for (size = 4; size; size = where < PCI_CFG_SPACE_SIZE ? size - 1 : 0)
				if (!evil_ask(evil, LEND_OP_CONFIG_WRITE, size, where,
					      patterns[i % ARRAY_SIZE(patterns)]))
					evil_granted++;
			cond_resched();
		}
	}
}

/* Each operation on something that is not lent, or not any more. */
static void evil_operations(struct evil *evil)
{
	u32 i, op;

	for (i = 0; i < evil->rounds; i++) {
		for (op = LEND_OP_OPEN; op <= LEND_OP_REACH; op++) {
			if (op == LEND_OP_REVOKE)
				continue;
			if (!evil_ask(evil, op, 4, evil_random(evil) % 0x40000, evil_random(evil)))
				evil_granted++;
		}
		cond_resched();
	}
}

/* A device is opened and closed without end. It is open, and does nothing, in the end. */
static void evil_openings(struct evil *evil)
{
	u32 i;

	for (i = 0; i < evil->rounds; i++) {
		if (!evil_ask(evil, LEND_OP_CLOSE, 4, 0, 0))
			evil_granted++;
		if (!evil_ask(evil, LEND_OP_OPEN, 4, 0, 0))
			evil_granted++;
		cond_resched();
	}
}

/**
 * struct evil_step - one request for an interrupt to be relayed, or no longer
 * @op: which of both
 * @message: a message instead of INTx
 * @index: of the message
 */
struct evil_step {
	u8 op;
	bool message;
	u32 index;
};

/*
 * INTx and messages of one device, each begun while the other is on, and ended before
 * and after it. Both are left open, for the next round and for the lease's end.
 */
static void evil_relays(struct evil *evil)
{
	static const struct evil_step steps[] = {
		{ LEND_OP_IRQ_OPEN }, { LEND_OP_IRQ_OPEN, true },
		{ LEND_OP_IRQ_CLOSE }, { LEND_OP_IRQ_OPEN }, { LEND_OP_IRQ_CLOSE },
		{ LEND_OP_IRQ_CLOSE, true },
		{ LEND_OP_IRQ_OPEN, true, 1 }, { LEND_OP_IRQ_OPEN, true },
		{ LEND_OP_IRQ_OPEN }, { LEND_OP_IRQ_OPEN },
		{ LEND_OP_IRQ_CLOSE, true, 1 }, { LEND_OP_IRQ_CLOSE, true },
		{ LEND_OP_IRQ_OPEN }, { LEND_OP_IRQ_CLOSE },
		{ LEND_OP_IRQ_OPEN }, { LEND_OP_IRQ_OPEN, true }, { LEND_OP_IRQ_OPEN },
	};
	const struct evil_step *step;
	u32 i, kind, which;

	for (i = 0; i < evil->rounds; i++) {
		kind = i % 2 ? LEND_IRQ_MSIX : LEND_IRQ_MSI;
		for (step = steps; step < steps + ARRAY_SIZE(steps); step++) {
			which = step->message ? LEND_IRQ(kind, step->index) :
						LEND_IRQ(LEND_IRQ_INTX, 0);
			if (!evil_ask(evil, step->op, 4, which, 0))
				evil_granted++;
		}
		cond_resched();
	}
}

/* Where BAR 0 of the device is, mapped; or NULL. */
static void __iomem *evil_map(struct evil *evil)
{
	const struct lend_windows *windows = &evil->link->windows;
	u64 size, offset;
	u32 window;

	if (evil_ask_within(evil, LEND_OP_BAR, 4, 0, 0, EVIL_PATIENCE_US))
		return NULL;
	size = evil_answer(evil, LEND_BAR_SIZE);
	offset = evil_answer(evil, LEND_BAR_OFFSET);
	window = evil_answer(evil, LEND_BAR_PLACE) & 0xff;
	if (size < PAGE_SIZE || window >= windows->count)
		return NULL;
	return ioremap(windows->win[window].base + offset, PAGE_SIZE);
}

/* How often the interrupt in a slot was raised here, by the count of the owner. */
static u32 evil_raised(struct evil *evil, u32 slot)
{
	return lower_32_bits(le64_to_cpu(READ_ONCE(evil->link->channel.own->raised[slot])));
}

/* Has the device interrupt, or, with INTx, which stays asserted, go on doing so. */
static void evil_raise(struct evil *evil, void __iomem *bar, u32 slot, bool level)
{
	u64 word = (u64)lower_32_bits(evil->epoch) << 32 | evil_raised(evil, slot);

	writel(1, bar + EVIL_EDU_RAISE);
	if (!level) {
		writel(1, bar + EVIL_EDU_ACK);
		return;
	}
	/* It was handled, of course. */
	writeq(word, &evil->link->channel.peer->handled[slot]);
	evil_ring(evil, BIT_ULL(LEND_DB_RELAY));
}

/* Whether the device still interrupts, once it has calmed down. */
static bool evil_is_heard(struct evil *evil, void __iomem *bar, u32 slot, bool level)
{
	u32 before;
	int ms;

	msleep(EVIL_CALM_MS);
	before = evil_raised(evil, slot);
	evil_raise(evil, bar, slot, level);
	for (ms = 0; ms < EVIL_HEARD_MS; ms++) {
		if (evil_raised(evil, slot) != before)
			return true;
		usleep_range(1000, 2000);
	}
	return false;
}

/*
 * An educational device interrupts without end: by INTx if there are an odd number of
 * rounds, else by MSI. What is granted is how often that was relayed, or none if the
 * device cannot interrupt any more when all is over.
 */
static void evil_storms(struct evil *evil)
{
	bool level = evil->rounds % 2;
	u32 which = level ? LEND_IRQ(LEND_IRQ_INTX, 0) : LEND_IRQ(LEND_IRQ_MSI, 0);
	void __iomem *bar = evil_map(evil);
	u32 slot, start, relayed, i;
	bool heard;
	int ret;

	if (!bar) {
		pr_info("no BAR to have it interrupt\n");
		return;
	}
	ret = evil_ask_within(evil, LEND_OP_CONFIG_WRITE, 2, PCI_COMMAND,
			      PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, EVIL_PATIENCE_US);
	writel(~0U, bar + EVIL_EDU_ACK);
	ret = ret ?: evil_ask_within(evil, LEND_OP_IRQ_OPEN, 4, which, 0, EVIL_PATIENCE_US);
	if (ret) {
		pr_info("its interrupt is not opened: %d\n", ret);
		goto unmap;
	}
	slot = min_t(u64, evil_answer(evil, LEND_IRQ_SLOT), LEND_RELAYS - 1);
	start = evil_raised(evil, slot);
	for (i = 0; i < evil->rounds; i++) {
		evil_raise(evil, bar, slot, level);
		cond_resched();
	}
	heard = evil_is_heard(evil, bar, slot, level);
	/* Here, since the owner may have stood still while there were rounds. */
	relayed = evil_raised(evil, slot) - start;
	if (heard)
		evil_granted = relayed;
	else
		pr_info("relayed %u times, and then not heard\n", relayed);
	writel(~0U, bar + EVIL_EDU_ACK);
	evil_ask(evil, LEND_OP_IRQ_CLOSE, 4, which, 0);
unmap:
	iounmap(bar);
}

/* The session does not outlive this. */
static void evil_greetings(struct evil *evil)
{
	u32 i;

	for (i = 0; i < evil->rounds; i++) {
		ntb_peer_spad_write(evil->link->ntb, evil->link->windows.pidx,
				    evil_random(evil) % LEND_SPAD_COUNT, evil_random(evil));
		evil_ring(evil, BIT_ULL(LEND_DB_HELLO));
		usleep_range(100, 1000);
	}
}

/* A greeting that is in order, as of a load of ntb_lend that has just begun. */
static void evil_greet(struct evil *evil, u64 epoch, u64 echo)
{
	const struct lend_hello_said said = {
		.hello = LEND_HELLO_READY,
		.epoch = epoch,
		.echo = echo,
		.chan = evil->link->channel.dma,
		.window = evil->link->windows.dma,
	};
	u32 spad[LEND_SPAD_COUNT];
	int i;

	lend_hello_pack(&said, spad);
	for (i = LEND_SPAD_COUNT - 1; i >= 0; i--)
		ntb_peer_spad_write(evil->link->ntb, evil->link->windows.pidx, i, spad[i]);
	evil_ring(evil, BIT_ULL(LEND_DB_HELLO));
	msleep(EVIL_GREETING_MS);
}

static u64 evil_peer_epoch(struct evil *evil)
{
	return ntb_spad_read(evil->link->ntb, LEND_SPAD_EPOCH_LO) |
	       (u64)ntb_spad_read(evil->link->ntb, LEND_SPAD_EPOCH_HI) << 32;
}

/*
 * Sessions without end, each begun as it should be, and left for another one as soon as
 * it is there. What is granted is how many the peer has had. The session does not
 * outlive this.
 */
static void evil_sessions(struct evil *evil)
{
	u64 peer = evil_peer_epoch(evil), now, epoch;
	u32 i;

	for (i = 0; i < evil->rounds; i++) {
		epoch = (u64)evil_random(evil) << 32 | evil_random(evil) | 1;
		/* It ends the one before; then it is met; then it sees that it is heard. */
		evil_greet(evil, epoch, peer);
		evil_greet(evil, epoch, evil_peer_epoch(evil));
		writeq((i + 1) | LEND_HEARTBEAT_SEEN, &evil->link->channel.peer->heartbeat);
		evil_greet(evil, epoch, evil_peer_epoch(evil));
		now = evil_peer_epoch(evil);
		if (now != peer)
			evil_granted++;
		peer = now;
	}
}

/* What lies behind the window in which the peer's channel is: its memory. */
static void evil_window(struct evil *evil)
{
	struct lend_window *win = &evil->link->windows.win[evil->link->windows.dma];
	u64 size = min_t(u64, win->size, EVIL_WINDOW_TO);
	void __iomem *page;
	u64 offset;
	u32 i;

	if (size <= EVIL_WINDOW_FROM)
		return;
	for (i = 0; i < evil->rounds; i++) {
		offset = EVIL_WINDOW_FROM + evil_random(evil) % (size - EVIL_WINDOW_FROM);
		page = ioremap(win->base + round_down(offset, PAGE_SIZE), PAGE_SIZE);
		if (!page)
			return;
		if (readl(page + offset_in_page(round_down(offset, 4))) != ~0U)
			evil_granted++;
		iounmap(page);
		cond_resched();
	}
}

static const struct evil_attack evil_attacks[] = {
	{ "requests", evil_requests },
	{ "messages", evil_messages },
	{ "interrupts", evil_interrupts },
	{ "doorbells", evil_doorbells },
	{ "rings", evil_rings },
	{ "registers", evil_registers },
	{ "operations", evil_operations },
	{ "openings", evil_openings },
	{ "relays", evil_relays },
	{ "storms", evil_storms },
	{ "window", evil_window },
	{ "greetings", evil_greetings },
	{ "sessions", evil_sessions },
};

/* The link of the first bridge that ntb_lend has. With a reference to the device, or NULL. */
static struct pci_dev *evil_find(struct lend_link **link)
{
	struct pci_dev *pdev = NULL;

	for_each_pci_dev(pdev) {
		if (!pdev->driver || strcmp(pdev->driver->name, "ntb_hw_amd"))
			continue;
		/* struct amd_ntb_dev begins with it. */
		*link = ((struct ntb_dev *)pci_get_drvdata(pdev))->ctx;
		if (*link)
			return pdev;
	}
	return NULL;
}

static int evil_run(const struct evil_attack *attack, struct evil *evil)
{
	struct pci_dev *pdev = evil_find(&evil->link);
	struct lend_channel *channel;
	int ret = -ENOTCONN;

	if (!pdev)
		return -ENODEV;
	channel = &evil->link->channel;
	/* As lend_channel_enter(): the peer's memory stays mapped. */
	atomic_inc(&channel->users);
	/* Pairs with lend_channel_quiesce(). */
	smp_mb__after_atomic();
	if (lend_channel_is_ready(channel)) {
		attack->run(evil);
		ret = 0;
	}
	atomic_dec(&channel->users);
	pci_dev_put(pdev);
	return ret;
}

static ssize_t evil_write(struct file *file, const char __user *from, size_t count, loff_t *ppos)
{
	const struct evil_attack *attack = file->private_data;
	struct evil evil = {};
	char text[64] = "";
	u32 seed;
	int ret;

	if (count >= sizeof(text) || copy_from_user(text, from, count))
		return -EINVAL;
	if (sscanf(text, "%u %u %u %llu", &evil.rounds, &seed, &evil.handle, &evil.epoch) < 2)
		return -EINVAL;
	prandom_seed_state(&evil.rnd, seed);
	mutex_lock(&evil_lock);
	evil_granted = 0;
	ret = evil_run(attack, &evil);
	mutex_unlock(&evil_lock);
	return ret ?: count;
}

static const struct file_operations evil_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = evil_write,
};

static int __init evil_init(void)
{
	int i;

	evil_files = debugfs_create_dir("evil", NULL);
	for (i = 0; i < ARRAY_SIZE(evil_attacks); i++)
		debugfs_create_file(evil_attacks[i].name, 0200, evil_files,
				    (void *)&evil_attacks[i], &evil_fops);
	debugfs_create_u32("granted", 0400, evil_files, &evil_granted);
	return 0;
}
module_init(evil_init);

static void __exit evil_exit(void)
{
	debugfs_remove_recursive(evil_files);
}
module_exit(evil_exit);

MODULE_DESCRIPTION("A borrower that means harm, to test an owner");
MODULE_LICENSE("GPL");
