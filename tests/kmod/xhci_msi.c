// SPDX-License-Identifier: GPL-2.0-only
/*
 * A driver for QEMU's USB controller (1b36:000d) without MSI-X, which uses its
 * interrupters, each with a vector of MSI, and nothing of USB. It knows nothing
 * of lending: a host's own device has to pass, too.
 *
 * Operations are files in debugfs. Writing the number of a vector to
 * xhci_msi/send has the device send that vector's message, and waits for the
 * handler; the write fails with ETIMEDOUT where the message gets lost, and with
 * EILSEQ where another vector's handler has run. xhci_msi/taken has a line for
 * each vector: the number of its interrupt, and how often its handler has run.
 * With several devices, the first is the one that is used.
 *
 * The controller never runs, so it writes no events. But each time that the
 * driver says that it is through with some events and that there are more, the
 * interrupter sends its message again.
 */

#include <linux/debugfs.h>
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/iopoll.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/seq_file.h>
#include <linux/wait.h>

/* Capability registers. */
#define XHCI_CAP_LENGTH		0x00
#define XHCI_RUNTIME_OFFSET	0x18
/* Operational registers. */
#define XHCI_COMMAND		0x00
#define XHCI_COMMAND_RESET	BIT(1)
#define XHCI_COMMAND_INTERRUPTS	BIT(2)
#define XHCI_STATUS		0x04
#define XHCI_STATUS_HALTED	BIT(0)
/* Runtime registers of an interrupter. */
#define XHCI_INTERRUPTER(n)	(0x20 + 0x20 * (n))
#define XHCI_MANAGEMENT		0x00
#define XHCI_MANAGEMENT_ENABLE	BIT(1)
#define XHCI_SEGMENTS		0x08
#define XHCI_SEGMENT_TABLE	0x10
#define XHCI_DEQUEUE		0x18
#define XHCI_DEQUEUE_BUSY	BIT(3)

/* What an event ring is of: one segment of the smallest size. */
#define XHCI_EVENT_SIZE		16
#define XHCI_EVENTS		16

#define XHCI_MAX_VECTORS	16
#define XHCI_RESET_US		USEC_PER_SEC
#define XHCI_TIMEOUT		(10 * HZ)

static unsigned int vectors = 4;
module_param(vectors, uint, 0444);
MODULE_PARM_DESC(vectors, "how many vectors to ask for, at most 16 (default 4)");

/**
 * struct xhci_memory - what the device reads and might write
 * @events: the event ring of all interrupters, never used
 * @segment: its address for the device
 * @size: how many events it has room for
 * @reserved: zero
 */
struct xhci_memory {
	u8 events[XHCI_EVENTS * XHCI_EVENT_SIZE];
	__le64 segment;
	__le32 size;
	__le32 reserved;
};

/**
 * struct xhci_vector - a vector, and what its handler is called with
 * @wait: the device's
 * @taken: how often the handler has run
 */
struct xhci_vector {
	wait_queue_head_t *wait;
	atomic_t taken;
};

/**
 * struct xhci - the device
 * @pdev: the function
 * @command: operational registers
 * @runtime: runtime registers
 * @memory_addr: address of its memory for the device
 * @wait: for handlers to run
 * @count: how many vectors there are
 * @vector: them
 */
struct xhci {
	struct pci_dev *pdev;
	void __iomem *command;
	void __iomem *runtime;
	dma_addr_t memory_addr;
	wait_queue_head_t wait;
	int count;
	struct xhci_vector vector[XHCI_MAX_VECTORS];
};

/* Serialises all use of a device, and its coming and going. */
static DEFINE_MUTEX(xhci_lock);
/* The device that is used: the first that came. */
static struct xhci *xhci_the;
static struct dentry *xhci_files;

/* Hard interrupt context. */
static irqreturn_t xhci_handle(int irq, void *data)
{
	struct xhci_vector *vector = data;

	atomic_inc(&vector->taken);
	wake_up(vector->wait);
	return IRQ_HANDLED;
}

/* Tell an interrupter which event is the next to be handled: never the one that is free. */
static void xhci_dequeue(struct xhci *xhci, int which, u32 flags)
{
	void __iomem *regs = xhci->runtime + XHCI_INTERRUPTER(which) + XHCI_DEQUEUE;
	u64 addr = xhci->memory_addr + offsetof(struct xhci_memory, events[XHCI_EVENT_SIZE]);

	/* The lower half acts. */
	writel(upper_32_bits(addr), regs + 4);
	writel(lower_32_bits(addr) | flags, regs);
}

/* How often the handlers of all vectors but one have run. */
static int xhci_strays(struct xhci *xhci, int but)
{
	int i, sum = 0;

	for (i = 0; i < xhci->count; i++)
		if (i != but)
			sum += atomic_read(&xhci->vector[i].taken);
	return sum;
}

static int xhci_send(struct xhci *xhci, u32 which)
{
	struct xhci_vector *vector;
	int before, strays, ret;

	if (which >= xhci->count)
		return -EINVAL;
	vector = &xhci->vector[which];
	before = atomic_read(&vector->taken);
	strays = xhci_strays(xhci, which);
	xhci_dequeue(xhci, which, XHCI_DEQUEUE_BUSY);
	ret = wait_event_timeout(xhci->wait, atomic_read(&vector->taken) != before,
				 XHCI_TIMEOUT) ? 0 : -ETIMEDOUT;
	return xhci_strays(xhci, which) != strays ? -EILSEQ : ret;
}

static ssize_t xhci_send_write(struct file *file, const char __user *buf, size_t size,
			       loff_t *pos)
{
	u32 which;
	int ret;

	ret = kstrtou32_from_user(buf, size, 0, &which);
	if (ret)
		return ret;
	mutex_lock(&xhci_lock);
	ret = xhci_the ? xhci_send(xhci_the, which) : -ENODEV;
	mutex_unlock(&xhci_lock);
	return ret ?: size;
}

static const struct file_operations xhci_send_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = xhci_send_write,
};

static int xhci_taken_show(struct seq_file *seq, void *unused)
{
	int i, ret = -ENODEV;

	mutex_lock(&xhci_lock);
	if (xhci_the) {
		for (i = 0; i < xhci_the->count; i++)
			seq_printf(seq, "%d %d\n", pci_irq_vector(xhci_the->pdev, i),
				   atomic_read(&xhci_the->vector[i].taken));
		ret = 0;
	}
	mutex_unlock(&xhci_lock);
	return ret;
}
DEFINE_SHOW_ATTRIBUTE(xhci_taken);

/* Stop whatever others have had the controller do. */
static int xhci_reset(struct xhci *xhci)
{
	u32 value;
	int ret;

	writel(0, xhci->command + XHCI_COMMAND);
	ret = readl_poll_timeout(xhci->command + XHCI_STATUS, value, value & XHCI_STATUS_HALTED,
				 1000, XHCI_RESET_US);
	if (ret)
		return ret;
	writel(XHCI_COMMAND_RESET, xhci->command + XHCI_COMMAND);
	return readl_poll_timeout(xhci->command + XHCI_COMMAND, value,
				  !(value & XHCI_COMMAND_RESET), 1000, XHCI_RESET_US);
}

static int xhci_map(struct xhci *xhci)
{
	void __iomem *regs = pcim_iomap(xhci->pdev, 0, 0);
	u32 runtime;

	if (!regs)
		return -ENOMEM;
	xhci->command = regs + readb(regs + XHCI_CAP_LENGTH);
	runtime = readl(regs + XHCI_RUNTIME_OFFSET);
	if ((u64)runtime + XHCI_INTERRUPTER(XHCI_MAX_VECTORS) > pci_resource_len(xhci->pdev, 0))
		return -ENODEV;
	xhci->runtime = regs + runtime;
	return xhci_reset(xhci);
}

static int xhci_request(struct xhci *xhci)
{
	struct device *dev = &xhci->pdev->dev;
	int i, ret;

	xhci->count = pci_alloc_irq_vectors(xhci->pdev, 1, clamp(vectors, 1U, XHCI_MAX_VECTORS),
					    PCI_IRQ_MSI);
	if (xhci->count < 0)
		return xhci->count;
	init_waitqueue_head(&xhci->wait);
	for (i = 0; i < xhci->count; i++) {
		xhci->vector[i].wait = &xhci->wait;
		ret = devm_request_irq(dev, pci_irq_vector(xhci->pdev, i), xhci_handle, 0,
				       "xhci_msi", &xhci->vector[i]);
		if (ret)
			return ret;
	}
	return 0;
}

/* The interrupters share one table of one segment. */
static int xhci_start(struct xhci *xhci)
{
	struct xhci_memory *memory;
	int i;

	memory = dmam_alloc_coherent(&xhci->pdev->dev, sizeof(*memory), &xhci->memory_addr,
				     GFP_KERNEL);
	if (!memory)
		return -ENOMEM;
	memory->segment = cpu_to_le64(xhci->memory_addr);
	memory->size = cpu_to_le32(XHCI_EVENTS);
	for (i = 0; i < xhci->count; i++) {
		void __iomem *regs = xhci->runtime + XHCI_INTERRUPTER(i);

		writel(1, regs + XHCI_SEGMENTS);
		lo_hi_writeq(xhci->memory_addr + offsetof(struct xhci_memory, segment),
			     regs + XHCI_SEGMENT_TABLE);
		xhci_dequeue(xhci, i, 0);
		writel(XHCI_MANAGEMENT_ENABLE, regs + XHCI_MANAGEMENT);
	}
	writel(XHCI_COMMAND_INTERRUPTS, xhci->command + XHCI_COMMAND);
	return 0;
}

static int xhci_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct xhci *xhci = devm_kzalloc(&pdev->dev, sizeof(*xhci), GFP_KERNEL);
	int ret;

	if (!xhci)
		return -ENOMEM;
	xhci->pdev = pdev;
	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (ret)
		return ret;
	pci_set_master(pdev);
	ret = xhci_map(xhci) ?: xhci_request(xhci) ?: xhci_start(xhci);
	if (ret)
		return ret;
	pci_set_drvdata(pdev, xhci);
	mutex_lock(&xhci_lock);
	if (!xhci_the)
		xhci_the = xhci;
	mutex_unlock(&xhci_lock);
	return 0;
}

static void xhci_remove(struct pci_dev *pdev)
{
	struct xhci *xhci = pci_get_drvdata(pdev);

	mutex_lock(&xhci_lock);
	if (xhci_the == xhci)
		xhci_the = NULL;
	mutex_unlock(&xhci_lock);
	/* It knows no ring any more when they are freed, and has got so far. */
	if (xhci_reset(xhci))
		dev_warn(&pdev->dev, "does not stop\n");
}

/* Not in the module's device table: controllers are xhci_hcd's until somebody says otherwise. */
static const struct pci_device_id xhci_ids[] = {
	{ PCI_DEVICE(0x1b36, 0x000d) },
	{ }
};

static struct pci_driver xhci_driver = {
	.name = "xhci_msi",
	.id_table = xhci_ids,
	.probe = xhci_probe,
	.remove = xhci_remove,
};

static int __init xhci_init(void)
{
	int ret;

	xhci_files = debugfs_create_dir("xhci_msi", NULL);
	debugfs_create_file("send", 0200, xhci_files, NULL, &xhci_send_fops);
	debugfs_create_file("taken", 0400, xhci_files, NULL, &xhci_taken_fops);
	ret = pci_register_driver(&xhci_driver);
	if (ret)
		debugfs_remove_recursive(xhci_files);
	return ret;
}
module_init(xhci_init);

static void __exit xhci_exit(void)
{
	pci_unregister_driver(&xhci_driver);
	debugfs_remove_recursive(xhci_files);
}
module_exit(xhci_exit);

MODULE_DESCRIPTION("Test of MSI with QEMU's USB controller");
MODULE_LICENSE("GPL");
