// SPDX-License-Identifier: GPL-2.0-only
/*
 * A driver for QEMU's educational device (1234:11e8) that uses each operation
 * of the DMA API and has the device move data with it. It knows nothing of
 * lending: a host's own device has to pass, too.
 *
 * Each operation is a file in debugfs, edu_dma/NAME. Writing a number there
 * carries it out; the write fails with what went wrong, which is EILSEQ where
 * data differs. /dev/edu_dma can be mapped: coherent memory of the device.
 * The device takes 0.1 s for each transfer. With several devices, the first is
 * the one that is used. As long as the parameter hold is set, a probe waits; held
 * says how many do.
 */

#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/dmapool.h>
#include <linux/iopoll.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/random.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#define EDU_SOURCE	0x80
#define EDU_TARGET	0x88
#define EDU_COUNT	0x90
#define EDU_COMMAND	0x98
#define EDU_START	BIT_ULL(0)
#define EDU_TO_MEMORY	BIT_ULL(1)
#define EDU_BUFFER	0x40000
#define EDU_BUFFER_SIZE	4096
#define EDU_TIMEOUT_US	(30 * USEC_PER_SEC)

/* Unaligned, and across a page's end. */
#define EDU_OFFSET	(PAGE_SIZE - 100)
#define EDU_LENGTH	3000
#define EDU_SHARED	(2 * PAGE_SIZE)
#define EDU_SHARED_BYTE	0xa5
#define EDU_LARGE	SZ_512K

/**
 * struct edu - the device
 * @dev: for the DMA API
 * @regs: BAR 0
 * @shared: coherent memory that processes may map
 * @shared_addr: its address for the device
 */
struct edu {
	struct device *dev;
	void __iomem *regs;
	void *shared;
	dma_addr_t shared_addr;
};

/**
 * struct edu_test - an operation
 * @name: of its file
 * @run: carries it out with a number that was written; returns 0 or a negative
 *	errno; process context, edu_lock held
 */
struct edu_test {
	const char *name;
	int (*run)(struct edu *edu, u32 value);
};

/* Serialises all use of a device, and its coming and going. */
static DEFINE_MUTEX(edu_lock);
/* The device that is used: the first that came. */
static struct edu *edu_the;
static struct dentry *edu_files;

/* One transfer between an address for the device and its own buffer. */
static int edu_move(struct edu *edu, dma_addr_t addr, u32 offset, u32 count, bool to_memory)
{
	u64 inside = EDU_BUFFER + offset, value;

	writeq(to_memory ? inside : addr, edu->regs + EDU_SOURCE);
	writeq(to_memory ? addr : inside, edu->regs + EDU_TARGET);
	writeq(count, edu->regs + EDU_COUNT);
	writeq(EDU_START | (to_memory ? EDU_TO_MEMORY : 0), edu->regs + EDU_COMMAND);
	return readq_poll_timeout(edu->regs + EDU_COMMAND, value, !(value & EDU_START), 10000,
				  EDU_TIMEOUT_US);
}

static int edu_fetch(struct edu *edu, dma_addr_t from, u32 count)
{
	return edu_move(edu, from, 0, count, false);
}

static int edu_store(struct edu *edu, dma_addr_t to, u32 count)
{
	return edu_move(edu, to, 0, count, true);
}

static int edu_compare(const void *a, const void *b, size_t count)
{
	return memcmp(a, b, count) ? -EILSEQ : 0;
}

/* Memory for one transfer, EDU_LENGTH octets at EDU_OFFSET of it. */
static void *edu_memory(bool random)
{
	void *memory = kzalloc(2 * PAGE_SIZE, GFP_KERNEL);

	if (memory && random)
		get_random_bytes(memory + EDU_OFFSET, EDU_LENGTH);
	return memory;
}

/* One mapping for one direction, used once. */
static int edu_stream(struct edu *edu, void *memory, enum dma_data_direction dir)
{
	dma_addr_t addr = dma_map_single(edu->dev, memory, EDU_LENGTH, dir);
	int ret = dma_mapping_error(edu->dev, addr);

	if (ret)
		return ret;
	ret = edu_move(edu, addr, 0, EDU_LENGTH, dir == DMA_FROM_DEVICE);
	dma_unmap_single(edu->dev, addr, EDU_LENGTH, dir);
	return ret;
}

static int edu_streaming(struct edu *edu, u32 value)
{
	void *out = edu_memory(true), *in = edu_memory(false);
	int ret = -ENOMEM;

	if (out && in)
		ret = edu_stream(edu, out + EDU_OFFSET, DMA_TO_DEVICE) ?:
		      edu_stream(edu, in + EDU_OFFSET, DMA_FROM_DEVICE) ?:
		      edu_compare(out + EDU_OFFSET, in + EDU_OFFSET, EDU_LENGTH);
	kfree(out);
	kfree(in);
	return ret;
}

/* Memory below 16 MiB, which no window shows that shows what is usually given. */
static int edu_low(struct edu *edu, u32 value)
{
	void *memory = kzalloc(2 * PAGE_SIZE, GFP_KERNEL | GFP_DMA);
	int ret;

	if (!memory)
		return -ENOMEM;
	get_random_bytes(memory + EDU_OFFSET, EDU_LENGTH);
	ret = edu_stream(edu, memory + EDU_OFFSET, DMA_TO_DEVICE);
	kfree(memory);
	return ret;
}

/* One mapping, used both ways, handed to and fro in parts. */
static int edu_sync(struct edu *edu, u32 value)
{
	void *memory = edu_memory(true), *copy = NULL;
	u32 half = EDU_LENGTH / 2;
	int ret = -ENOMEM;
	dma_addr_t addr;

	if (!memory)
		return ret;
	copy = kmemdup(memory + EDU_OFFSET, EDU_LENGTH, GFP_KERNEL);
	if (!copy)
		goto free;
	addr = dma_map_single(edu->dev, memory + EDU_OFFSET, EDU_LENGTH, DMA_BIDIRECTIONAL);
	ret = dma_mapping_error(edu->dev, addr);
	if (ret)
		goto free;
	ret = edu_fetch(edu, addr, half);
	if (!ret)
		ret = edu_store(edu, addr + half, half);
	dma_sync_single_range_for_cpu(edu->dev, addr, half, half, DMA_BIDIRECTIONAL);
	if (!ret)
		ret = edu_compare(memory + EDU_OFFSET + half, copy, half);
	/* The other way round: what is written now goes to the first half. */
	get_random_bytes(copy, half);
	memcpy(memory + EDU_OFFSET + half, copy, half);
	dma_sync_single_range_for_device(edu->dev, addr, half, half, DMA_BIDIRECTIONAL);
	if (!ret)
		ret = edu_fetch(edu, addr + half, half);
	if (!ret)
		ret = edu_store(edu, addr, half);
	dma_unmap_single(edu->dev, addr, EDU_LENGTH, DMA_BIDIRECTIONAL);
	if (!ret)
		ret = edu_compare(memory + EDU_OFFSET, copy, half);
free:
	kfree(copy);
	kfree(memory);
	return ret;
}

/* Three pages with holes between what is mapped of them. */
static const struct {
	u32 offset;
	u32 length;
} edu_parts[] = { { 0, 512 }, { 1024, 1024 }, { 1536, 2560 } };

static int edu_list_alloc(struct scatterlist *list, bool random)
{
	void *page;
	int i;

	sg_init_table(list, ARRAY_SIZE(edu_parts));
	for (i = 0; i < ARRAY_SIZE(edu_parts); i++) {
		page = (void *)get_zeroed_page(GFP_KERNEL);
		if (!page)
			return -ENOMEM;
		if (random)
			get_random_bytes(page, PAGE_SIZE);
		sg_set_buf(&list[i], page + edu_parts[i].offset, edu_parts[i].length);
	}
	return 0;
}

static void edu_list_free(struct scatterlist *list)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(edu_parts); i++)
		if (sg_page(&list[i]))
			__free_page(sg_page(&list[i]));
}

/* All parts of a list, one behind the other in the device's buffer. */
static int edu_list_move(struct edu *edu, struct scatterlist *list, bool to_memory)
{
	enum dma_data_direction dir = to_memory ? DMA_FROM_DEVICE : DMA_TO_DEVICE;
	int i, mapped, ret = 0;
	struct scatterlist *sg;
	u32 place = 0;

	mapped = dma_map_sg(edu->dev, list, ARRAY_SIZE(edu_parts), dir);
	if (!mapped)
		return -ENOMEM;
	for_each_sg(list, sg, mapped, i) {
		ret = edu_move(edu, sg_dma_address(sg), place, sg_dma_len(sg), to_memory);
		if (ret)
			break;
		place += sg_dma_len(sg);
	}
	dma_unmap_sg(edu->dev, list, ARRAY_SIZE(edu_parts), dir);
	return ret ?: place == EDU_BUFFER_SIZE ? 0 : -EMSGSIZE;
}

static int edu_list(struct edu *edu, u32 value)
{
	struct scatterlist out[ARRAY_SIZE(edu_parts)] = {}, in[ARRAY_SIZE(edu_parts)] = {};
	int i, ret;

	ret = edu_list_alloc(out, true) ?: edu_list_alloc(in, false);
	if (!ret)
		ret = edu_list_move(edu, out, false);
	if (!ret)
		ret = edu_list_move(edu, in, true);
	for (i = 0; !ret && i < ARRAY_SIZE(edu_parts); i++)
		ret = edu_compare(sg_virt(&out[i]), sg_virt(&in[i]), edu_parts[i].length);
	edu_list_free(out);
	edu_list_free(in);
	return ret;
}

/* Coherent memory, of as many pages as are asked for (two at least), and its pages one by one. */
static int edu_coherent(struct edu *edu, u32 value)
{
	size_t size = (size_t)clamp(value, 2U, 1024U) << PAGE_SHIFT;
	size_t last = size - PAGE_SIZE;
	struct sg_table pages;
	dma_addr_t addr;
	void *memory;
	int ret;

	memory = dma_alloc_coherent(edu->dev, size, &addr, GFP_KERNEL);
	if (!memory)
		return -ENOMEM;
	ret = memchr_inv(memory, 0, size) ? -EUCLEAN : 0;
	get_random_bytes(memory, PAGE_SIZE);
	if (!ret)
		ret = edu_fetch(edu, addr, EDU_BUFFER_SIZE);
	if (!ret)
		ret = edu_store(edu, addr + last, EDU_BUFFER_SIZE);
	if (!ret)
		ret = edu_compare(memory, memory + last, EDU_BUFFER_SIZE);
	if (!ret)
		ret = dma_get_sgtable(edu->dev, &pages, memory, addr, size);
	if (!ret) {
		struct sg_page_iter first;

		__sg_page_iter_start(&first, pages.sgl, pages.orig_nents, 0);
		ret = __sg_page_iter_next(&first) ?
			edu_compare(page_address(sg_page_iter_page(&first)), memory,
				    PAGE_SIZE) : -ENODATA;
		sg_free_table(&pages);
	}
	dma_free_coherent(edu->dev, size, memory, addr);
	return ret;
}

/* What interrupt handlers may do. */
static int edu_atomic(struct edu *edu, u32 value)
{
	void *coherent, *memory = edu_memory(false);
	dma_addr_t addr, coherent_addr;
	unsigned long flags;
	int ret;

	if (!memory)
		return -ENOMEM;
	local_irq_save(flags);
	coherent = dma_alloc_coherent(edu->dev, PAGE_SIZE, &coherent_addr, GFP_ATOMIC);
	addr = dma_map_single(edu->dev, memory, PAGE_SIZE, DMA_FROM_DEVICE);
	ret = dma_mapping_error(edu->dev, addr);
	if (!ret)
		dma_unmap_single(edu->dev, addr, PAGE_SIZE, DMA_FROM_DEVICE);
	local_irq_restore(flags);
	if (coherent)
		dma_free_coherent(edu->dev, PAGE_SIZE, coherent, coherent_addr);
	kfree(memory);
	return ret ?: coherent ? 0 : -ENOMEM;
}

/* Pages that the DMA layer gives, to be synchronised. */
static int edu_noncoherent(struct edu *edu, u32 value)
{
	dma_addr_t addr;
	void *memory;
	int ret;

	memory = dma_alloc_noncoherent(edu->dev, 2 * PAGE_SIZE, &addr, DMA_BIDIRECTIONAL,
				       GFP_KERNEL);
	if (!memory)
		return -ENOMEM;
	get_random_bytes(memory, EDU_BUFFER_SIZE);
	dma_sync_single_for_device(edu->dev, addr, 2 * PAGE_SIZE, DMA_BIDIRECTIONAL);
	ret = edu_fetch(edu, addr, EDU_BUFFER_SIZE);
	if (!ret)
		ret = edu_store(edu, addr + PAGE_SIZE, EDU_BUFFER_SIZE);
	dma_sync_single_for_cpu(edu->dev, addr, 2 * PAGE_SIZE, DMA_BIDIRECTIONAL);
	if (!ret)
		ret = edu_compare(memory, memory + PAGE_SIZE, EDU_BUFFER_SIZE);
	dma_free_noncoherent(edu->dev, 2 * PAGE_SIZE, memory, addr, DMA_BIDIRECTIONAL);
	return ret;
}

/* Small pieces of coherent memory. */
static int edu_pool(struct edu *edu, u32 value)
{
	struct dma_pool *pool = dma_pool_create("edu_dma", edu->dev, 64, 64, 0);
	dma_addr_t from_addr, to_addr;
	void *from, *to;
	int ret = -ENOMEM;

	if (!pool)
		return ret;
	from = dma_pool_alloc(pool, GFP_KERNEL, &from_addr);
	to = dma_pool_zalloc(pool, GFP_KERNEL, &to_addr);
	if (from && to) {
		get_random_bytes(from, 64);
		ret = edu_fetch(edu, from_addr, 64);
		if (!ret)
			ret = edu_store(edu, to_addr, 64);
		if (!ret)
			ret = edu_compare(from, to, 64);
	}
	if (from)
		dma_pool_free(pool, from, from_addr);
	if (to)
		dma_pool_free(pool, to, to_addr);
	dma_pool_destroy(pool);
	return ret;
}

/* A mapping larger than a bounce buffer can be: it works, or fails at once. */
static int edu_large(struct edu *edu, u32 value)
{
	void *memory = alloc_pages_exact(EDU_LARGE, GFP_KERNEL | __GFP_ZERO);
	dma_addr_t addr;
	int ret;

	if (!memory)
		return -ENOMEM;
	addr = dma_map_single(edu->dev, memory, EDU_LARGE, DMA_TO_DEVICE);
	ret = dma_mapping_error(edu->dev, addr) ? -ENOSPC : 0;
	if (!ret)
		dma_unmap_single(edu->dev, addr, EDU_LARGE, DMA_TO_DEVICE);
	/* Memory that the device reaches as it is may be larger than what can be bounced. */
	if (ret && dma_max_mapping_size(edu->dev) >= EDU_LARGE)
		ret = -EINVAL;
	free_pages_exact(memory, EDU_LARGE);
	return ret;
}

/* Map a page as often as is asked for, and let go of all. ENOSPC: no room for so many. */
static int edu_many(struct edu *edu, u32 value)
{
	dma_addr_t *addrs = kvmalloc_array(value, sizeof(*addrs), GFP_KERNEL);
	void *memory = edu_memory(false);
	u32 i, made;

	if (!addrs || !memory) {
		kfree(memory);
		kvfree(addrs);
		return -ENOMEM;
	}
	for (made = 0; made < value; made++) {
		addrs[made] = dma_map_single(edu->dev, memory, PAGE_SIZE, DMA_FROM_DEVICE);
		if (dma_mapping_error(edu->dev, addrs[made]))
			break;
	}
	for (i = 0; i < made; i++)
		dma_unmap_single(edu->dev, addrs[i], PAGE_SIZE, DMA_FROM_DEVICE);
	kfree(memory);
	kvfree(addrs);
	return made < value ? -ENOSPC : 0;
}

/* Memory that the device may only read, and writes to. EPERM: it could. */
static int edu_readonly(struct edu *edu, u32 value)
{
	u8 *memory = edu_memory(true), *kept;
	dma_addr_t addr;
	int i, ret;

	if (!memory)
		return -ENOMEM;
	/* The device has the opposite of what is there. */
	ret = edu_stream(edu, memory + EDU_OFFSET, DMA_TO_DEVICE);
	for (i = 0; i < EDU_LENGTH; i++)
		memory[EDU_OFFSET + i] ^= 0xff;
	kept = kmemdup(memory + EDU_OFFSET, EDU_LENGTH, GFP_KERNEL);
	if (!kept)
		ret = -ENOMEM;
	if (ret)
		goto free;
	addr = dma_map_single(edu->dev, memory + EDU_OFFSET, EDU_LENGTH, DMA_TO_DEVICE);
	ret = dma_mapping_error(edu->dev, addr);
	if (ret)
		goto free;
	ret = edu_store(edu, addr, EDU_LENGTH);
	dma_unmap_single(edu->dev, addr, EDU_LENGTH, DMA_TO_DEVICE);
	if (!ret && memcmp(memory + EDU_OFFSET, kept, EDU_LENGTH))
		ret = -EPERM;
free:
	kfree(kept);
	kfree(memory);
	return ret;
}

/* Another device's registers; here the device's own. */
static int edu_resource(struct edu *edu, u32 value)
{
	phys_addr_t phys = pci_resource_start(to_pci_dev(edu->dev), 0);
	dma_addr_t addr = dma_map_resource(edu->dev, phys, PAGE_SIZE, DMA_BIDIRECTIONAL, 0);

	if (dma_mapping_error(edu->dev, addr))
		return -ENOSPC;
	dma_unmap_resource(edu->dev, addr, PAGE_SIZE, DMA_BIDIRECTIONAL, 0);
	return 0;
}

/* A device that drives no more than some address bits. */
static int edu_mask(struct edu *edu, u32 value)
{
	int ret;

	if (!value || value > 64)
		return -EINVAL;
	ret = dma_set_mask_and_coherent(edu->dev, DMA_BIT_MASK(value));
	dma_set_mask_and_coherent(edu->dev, DMA_BIT_MASK(64));
	return ret;
}

static const struct edu_test edu_tests[] = {
	{ "streaming", edu_streaming },
	{ "sync", edu_sync },
	{ "list", edu_list },
	{ "coherent", edu_coherent },
	{ "atomic", edu_atomic },
	{ "noncoherent", edu_noncoherent },
	{ "pool", edu_pool },
	{ "large", edu_large },
	{ "low", edu_low },
	{ "many", edu_many },
	{ "readonly", edu_readonly },
	{ "resource", edu_resource },
	{ "mask", edu_mask },
};

static ssize_t edu_write(struct file *file, const char __user *buf, size_t size, loff_t *pos)
{
	const struct edu_test *test = file_inode(file)->i_private;
	u32 value;
	int ret;

	ret = kstrtou32_from_user(buf, size, 0, &value);
	if (ret)
		return ret;
	mutex_lock(&edu_lock);
	ret = edu_the ? test->run(edu_the, value) : -ENODEV;
	mutex_unlock(&edu_lock);
	return ret ?: size;
}

static const struct file_operations edu_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = edu_write,
};

static int edu_mmap(struct file *file, struct vm_area_struct *vma)
{
	int ret = -ENODEV;

	mutex_lock(&edu_lock);
	if (edu_the)
		ret = dma_mmap_coherent(edu_the->dev, vma, edu_the->shared,
					edu_the->shared_addr, EDU_SHARED);
	mutex_unlock(&edu_lock);
	return ret;
}

static const struct file_operations edu_misc_fops = {
	.owner = THIS_MODULE,
	.mmap = edu_mmap,
};

static struct miscdevice edu_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "edu_dma",
	.fops = &edu_misc_fops,
};

static bool hold;
module_param(hold, bool, 0644);
MODULE_PARM_DESC(hold, "Have probes wait");

static int held;
module_param(held, int, 0444);
MODULE_PARM_DESC(held, "Probes that wait");

static DEFINE_MUTEX(edu_held_lock);

static void edu_count_held(int more)
{
	mutex_lock(&edu_held_lock);
	held += more;
	mutex_unlock(&edu_held_lock);
}

static void edu_wait(void)
{
	edu_count_held(1);
	while (READ_ONCE(hold))
		msleep(20);
	edu_count_held(-1);
}

static int edu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct edu *edu;
	int ret;

	edu_wait();
	edu = devm_kzalloc(&pdev->dev, sizeof(*edu), GFP_KERNEL);
	if (!edu)
		return -ENOMEM;
	edu->dev = &pdev->dev;
	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (ret)
		return ret;
	edu->regs = pcim_iomap(pdev, 0, 0);
	if (!edu->regs)
		return -ENOMEM;
	pci_set_master(pdev);
	edu->shared = dmam_alloc_coherent(&pdev->dev, EDU_SHARED, &edu->shared_addr, GFP_KERNEL);
	if (!edu->shared)
		return -ENOMEM;
	memset(edu->shared, EDU_SHARED_BYTE, EDU_SHARED);
	pci_set_drvdata(pdev, edu);
	mutex_lock(&edu_lock);
	if (!edu_the)
		edu_the = edu;
	mutex_unlock(&edu_lock);
	return 0;
}

static void edu_remove(struct pci_dev *pdev)
{
	mutex_lock(&edu_lock);
	if (edu_the == pci_get_drvdata(pdev))
		edu_the = NULL;
	mutex_unlock(&edu_lock);
}

static const struct pci_device_id edu_ids[] = {
	{ PCI_DEVICE(0x1234, 0x11e8) },
	{ }
};
MODULE_DEVICE_TABLE(pci, edu_ids);

static struct pci_driver edu_driver = {
	.name = "edu_dma",
	.id_table = edu_ids,
	.probe = edu_probe,
	.remove = edu_remove,
};

static int __init edu_init(void)
{
	int i, ret;

	ret = misc_register(&edu_misc);
	if (ret)
		return ret;
	edu_files = debugfs_create_dir("edu_dma", NULL);
	for (i = 0; i < ARRAY_SIZE(edu_tests); i++)
		debugfs_create_file(edu_tests[i].name, 0200, edu_files,
				    (void *)&edu_tests[i], &edu_fops);
	ret = pci_register_driver(&edu_driver);
	if (ret) {
		debugfs_remove_recursive(edu_files);
		misc_deregister(&edu_misc);
	}
	return ret;
}
module_init(edu_init);

static void __exit edu_exit(void)
{
	pci_unregister_driver(&edu_driver);
	debugfs_remove_recursive(edu_files);
	misc_deregister(&edu_misc);
}
module_exit(edu_exit);

MODULE_DESCRIPTION("Test of the DMA API with QEMU's educational device");
MODULE_LICENSE("GPL");
