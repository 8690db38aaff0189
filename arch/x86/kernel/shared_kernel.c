// SPDX-License-Identifier: GPL-2.0
/*
 * A kernel that is saved once and started by name.
 *
 * A template guest boots with "savesys=NAME" and stops at the save point: all text is patched and
 * write-protected, no user process was started. The host saves its memory, and starts guests from
 * that. Each goes on behind the save point, where it gets an identity of its own before anything
 * else happens.
 *
 * The host finds the ranges of memory, and the gate that both sides use, by an ELF note.
 */

#define pr_fmt(fmt) "shared_kernel: " fmt

#include <linux/bitmap.h>
#include <linux/clocksource.h>
#include <linux/cpu.h>
#include <linux/cpumask.h>
#include <linux/ctype.h>
#include <linux/device.h>
#include <linux/elfnote.h>
#include <linux/gfp.h>
#include <linux/init.h>
#include <linux/kasan.h>
#include <linux/kobject.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/mutex.h>
#include <linux/nmi.h>
#include <linux/notifier.h>
#include <linux/panic.h>
#include <linux/rcupdate.h>
#include <linux/shared_kernel.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/timekeeping.h>
#include <linux/workqueue.h>

#include <asm/sections.h>
#include <asm/setup.h>

/* How long a template waits for the host before it goes on as an ordinary guest. */
#define SAVE_TIMEOUT_NS		(60ULL * NSEC_PER_SEC)

/* How long the consoles may take for what was said before. */
#define CONSOLE_TIMEOUT_MS	10000

/* Guest-physical address of a symbol of the kernel image. */
#define IMAGE_PHYS(symbol)	((u64)(symbol) - __START_KERNEL_map)

#define GATE_MAGIC		0x6574616779706f63ULL	/* "copygate", as bytes */

enum gate_state {
	GATE_CLOSED	= 0,	/* set by the kernel: not at the save point yet */
	GATE_WAITING	= 1,	/* set by the template: it can be saved */
	GATE_RESUMED	= 2,	/* set by the host: this is a guest started from what was saved */
	GATE_REFUSED	= 3,	/* set by the template: it cannot be saved */
	GATE_LEFT	= 4,	/* set by the template: the host did not come */
};

#define GATE_PROTECTED		BIT(0)	/* in flags, by the host: the shared range is read-only */

/* What the host reads and writes in the memory of the template. */
static struct shared_kernel_gate {
	u64 magic;
	u32 state;
	u32 flags;
} gate __aligned(64) = { .magic = GATE_MAGIC };

#define NOTE_VERSION		1
#define NOTE_CAN_PROTECT	BIT(0)	/* in flags: no writer of text that cannot fail */

/* Addresses are guest-physical ones; lib/onecopy/saved_kernel.rs is the other side. */
struct shared_kernel_note {
	u32 version;
	u32 flags;
	u64 shared_start;
	u64 shared_end;
	u64 image_end;
	u64 gate;
} __packed;

ELFNOTE64("onecopy", 1, ((struct shared_kernel_note) {
	.version = NOTE_VERSION,
	.flags = IS_ENABLED(CONFIG_SHARED_KERNEL_PROTECT) ? NOTE_CAN_PROTECT : 0,
	.shared_start = IMAGE_PHYS(_text),
	.shared_end = IMAGE_PHYS(__end_rodata_hpage_align),
	.image_end = IMAGE_PHYS(_end),
	.gate = IMAGE_PHYS(&gate),
}));

/* Pages of the shared range that were written to behind the save point. */
static DECLARE_BITMAP(written, KERNEL_IMAGE_SIZE / PAGE_SIZE);

/* Whether stores into the shared range are lost. */
static bool text_protected;

static char saved_name[9] __ro_after_init;

static ATOMIC_NOTIFIER_HEAD(wake_chain);
static BLOCKING_NOTIFIER_HEAD(resume_chain);

/* For what cannot wait: called with interrupts disabled, before anybody else does anything. */
int register_shared_kernel_wake_notifier(struct notifier_block *block)
{
	return atomic_notifier_chain_register(&wake_chain, block);
}

int unregister_shared_kernel_wake_notifier(struct notifier_block *block)
{
	return atomic_notifier_chain_unregister(&wake_chain, block);
}

/* For what may sleep. */
int register_shared_kernel_notifier(struct notifier_block *block)
{
	return blocking_notifier_chain_register(&resume_chain, block);
}

int unregister_shared_kernel_notifier(struct notifier_block *block)
{
	return blocking_notifier_chain_unregister(&resume_chain, block);
}

static int __init parse_savesys(char *name)
{
	size_t i, len = name ? strlen(name) : 0;

	if (!len || len >= sizeof(saved_name)) {
		pr_warn("savesys=%s: a name of 1 to 8 characters is expected\n", name ?: "");
		return 0;
	}
	for (i = 0; i < len; i++)
		saved_name[i] = toupper(name[i]);
	/* There may have been a longer one before. */
	saved_name[len] = '\0';
	return 0;
}
early_param("savesys", parse_savesys);

/**
 * shared_kernel_is_template - whether this guest is to be saved
 *
 * The boot allocates memory next to the kernel's image then: the rest of the memory stays as it is,
 * and need not be saved.
 */
bool __init shared_kernel_is_template(void)
{
	return saved_name[0];
}

static void scrub_block(struct page *page, unsigned int order)
{
	unsigned long i;

	for (i = 0; i < 1UL << order; i++) {
		void *start = page_address(page + i);

		/* Reading what was never touched costs the host nothing. */
		if (memchr_inv(start, 0, PAGE_SIZE))
			clear_page(start);
	}
}

static void scrub_list(struct list_head *list, unsigned int order)
{
	struct page *page;

	list_for_each_entry(page, list, buddy_list) {
		scrub_block(page, order);
		/* All of the memory may take longer than they allow. */
		touch_nmi_watchdog();
	}
}

/*
 * What the boot has left in free pages would be saved, loaded by every guest, and be the same
 * secret in all of them.
 */
static void scrub_free_pages(void)
{
	unsigned int order, type;
	unsigned long flags;
	struct zone *zone;

	if (page_poisoning_enabled() || debug_pagealloc_enabled())
		return;
	/* There is one processor. */
	drain_local_pages(NULL);
	/* To KASAN this looks like a use after free. */
	kasan_disable_current();
	for_each_populated_zone(zone) {
		spin_lock_irqsave(&zone->lock, flags);
		for (order = 0; order < NR_PAGE_ORDERS; order++) {
			for (type = 0; type < MIGRATE_TYPES; type++)
				scrub_list(&zone->free_area[order].free_list[type], order);
		}
		spin_unlock_irqrestore(&zone->lock, flags);
	}
	kasan_enable_current();
}

/* A guest without an identity of its own must not run. */
static void check_identity(int ret)
{
	if (ret == NOTIFY_DONE)
		panic("shared_kernel: nobody gives this guest an identity");
	ret = notifier_to_errno(ret);
	if (ret)
		panic("shared_kernel: no identity for this guest: %d", ret);
}

/*
 * Waits until the host has saved the guest. What it saves is a guest in this very loop, so the end
 * of the loop is where every guest begins that is started from it.
 *
 * There is one processor, and its interrupts are disabled: nobody draws random numbers or changes
 * text between the end of the loop and the first callbacks, which see to it that those numbers are
 * this guest's own.
 *
 * Returns whether the guest was started from what was saved. If the host does not come, the state
 * is @otherwise again.
 */
static noinline bool wait_at_gate(enum gate_state otherwise)
{
	u64 now, last = ktime_get_raw_fast_ns(), waited = 0;
	enum gate_state state;
	unsigned long flags;

	local_irq_save(flags);
	WRITE_ONCE(gate.state, GATE_WAITING);
	do {
		cpu_relax();
		touch_nmi_watchdog();
		now = ktime_get_raw_fast_ns();
		/* While nobody takes its ticks, a clock of few bits begins anew now and then. */
		if (now > last)
			waited += now - last;
		last = now;
		state = READ_ONCE(gate.state);
	} while (state == GATE_WAITING && waited < SAVE_TIMEOUT_NS);
	if (state == GATE_RESUMED) {
		text_protected = gate.flags & GATE_PROTECTED;
		bitmap_zero(written, KERNEL_IMAGE_SIZE / PAGE_SIZE);
		check_identity(atomic_notifier_call_chain(&wake_chain, 0, NULL));
	} else {
		WRITE_ONCE(gate.state, otherwise);
	}
	touch_nmi_watchdog();
	clocksource_touch_watchdog();
	rcu_cpu_stall_reset();
	local_irq_restore(flags);
	return state == GATE_RESUMED;
}

/*
 * Stops here until the host has saved the guest, and returns 0 in each guest that was started from
 * that.
 */
static int wait_to_be_saved(enum gate_state otherwise)
{
	int level = console_loglevel;
	bool resumed;

	if (num_online_cpus() != 1) {
		pr_err("%s: only a guest with one processor can be saved, not with %u\n",
		       saved_name, num_online_cpus());
		return -EBUSY;
	}
	scrub_free_pages();
	pr_info("%s: at the save point\n", saved_name);
	/* What is not on this guest's console yet would come on that of each guest. */
	pr_flush(CONSOLE_TIMEOUT_MS, true);
	/* The host waits for what a guest says of its identity, also if that is quiet otherwise. */
	console_loglevel = max(level, LOGLEVEL_INFO + 1);
	resumed = wait_at_gate(otherwise);
	if (resumed) {
		check_identity(blocking_notifier_call_chain(&resume_chain, 0, NULL));
		if (level <= LOGLEVEL_INFO)
			pr_flush(CONSOLE_TIMEOUT_MS, true);
	} else {
		pr_warn("%s: not saved, the host did not come\n", saved_name);
	}
	console_loglevel = level;
	return resumed ? 0 : -ETIMEDOUT;
}

/**
 * shared_kernel_save_point - where a template is saved, and where guests begin
 *
 * Called once by the first process, after the kernel's text was patched for the last time and
 * protected, and before it becomes user space. Does nothing without "savesys=".
 */
void shared_kernel_save_point(void)
{
	if (!saved_name[0])
		return;
	/* What the host plugs waits until the guest has its identity. */
	lock_device_hotplug();
	if (wait_to_be_saved(GATE_LEFT) == -EBUSY) {
		/* The host looks on the console for the reason. */
		pr_flush(CONSOLE_TIMEOUT_MS, true);
		WRITE_ONCE(gate.state, GATE_REFUSED);
	}
	unlock_device_hotplug();
}

/*
 * Saves a guest that was started from a saved system, with what has happened since. The caller goes
 * on in each guest that is started from that, and in this one if the host does not come.
 */
static int save_again(void)
{
	static DEFINE_MUTEX(lock);
	int ret;

	guard(mutex)(&lock);
	if (gate.state != GATE_RESUMED)
		return -EOPNOTSUPP;
	lock_device_hotplug();
	ret = wait_to_be_saved(GATE_RESUMED);
	unlock_device_hotplug();
	return ret;
}

/**
 * shared_kernel_check_text - whether text of the kernel may be changed
 * @addr: where
 *
 * For those who change text and can fail; see shared_kernel_write_text() for all others.
 *
 * Return: 0, or -EROFS if it is in a range that the host protects.
 */
int shared_kernel_check_text(const void *addr)
{
	return text_protected && core_kernel_text((unsigned long)addr) ? -EROFS : 0;
}

/**
 * shared_kernel_write_text - text of the kernel is going to be changed
 * @addr: where
 * @len: how many bytes
 *
 * The host replaces the shared copy of such a page by one of this guest alone. Counts the pages.
 *
 * Return: whether the text can be changed.
 */
bool shared_kernel_write_text(const void *addr, size_t len)
{
	unsigned long first = ((unsigned long)addr - (unsigned long)_text) >> PAGE_SHIFT;
	unsigned long last = ((unsigned long)addr + len - 1 - (unsigned long)_text) >> PAGE_SHIFT;

	if (shared_kernel_check_text(addr)) {
		pr_err_ratelimited("%pS stays as it is: the host protects it\n", addr);
		return false;
	}
	for (; first <= last; first++) {
		if (gate.state == GATE_RESUMED && first < KERNEL_IMAGE_SIZE / PAGE_SIZE)
			set_bit(first, written);
	}
	return true;
}

/**
 * shared_kernel_set_parm - add to the command line that user space sees
 * @parm: what to add; if it begins with "=", the rest replaces the whole command line
 *
 * The kernel itself has read its command line long before. What an earlier call has added, before
 * the guest was saved again, goes.
 *
 * Return: 0, -E2BIG if there is no room, or -ENOMEM.
 */
int shared_kernel_set_parm(const char *parm)
{
	static DEFINE_MUTEX(lock);
	static const char *original;
	/* setup_command_line() has left that much room behind the text. */
	size_t size = saved_command_line_len + SHARED_KERNEL_PARM_SIZE;
	ssize_t ret;

	guard(mutex)(&lock);
	if (!original)
		original = kstrdup(saved_command_line, GFP_KERNEL);
	if (!original)
		return -ENOMEM;
	if (strlen(parm) + 2 > SHARED_KERNEL_PARM_SIZE)
		return -E2BIG;
	if (parm[0] == '=')
		ret = strscpy(saved_command_line, parm + 1, size);
	else
		ret = snprintf(saved_command_line, size, "%s%s%s", original, *parm ? " " : "",
			       parm);
	return ret < 0 ? ret : 0;
}

static ssize_t name_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", gate.state == GATE_RESUMED ? saved_name : "");
}

static ssize_t shared_bytes_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%lu\n", (unsigned long)(__end_rodata_hpage_align - _text));
}

static ssize_t written_pages_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", bitmap_weight(written, KERNEL_IMAGE_SIZE / PAGE_SIZE));
}

static ssize_t protected_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", text_protected);
}

static ssize_t save_store(struct kobject *kobj, struct kobj_attribute *attr, const char *buf,
			  size_t count)
{
	bool value;
	int ret = kstrtobool(buf, &value);

	if (!ret && value)
		ret = save_again();
	return ret ?: count;
}

static struct kobj_attribute name_attribute = __ATTR_RO(name);
static struct kobj_attribute protected_attribute = __ATTR_RO(protected);
static struct kobj_attribute save_attribute = __ATTR_WO(save);
static struct kobj_attribute shared_bytes_attribute = __ATTR_RO(shared_bytes);
static struct kobj_attribute written_pages_attribute = __ATTR_RO(written_pages);

static struct attribute *attributes[] = {
	&name_attribute.attr,
	&protected_attribute.attr,
	&save_attribute.attr,
	&shared_bytes_attribute.attr,
	&written_pages_attribute.attr,
	NULL,
};

static const struct attribute_group attribute_group = {
	.attrs = attributes,
};

/* Processors that were plugged, until they are online. */
static struct cpumask added;

static void online_added(struct work_struct *work)
{
	unsigned int cpu;

	lock_device_hotplug();
	for_each_cpu(cpu, &added) {
		struct device *dev = get_cpu_device(cpu);

		cpumask_clear_cpu(cpu, &added);
		if (dev && device_online(dev) < 0)
			pr_warn("processor %u stays offline\n", cpu);
	}
	unlock_device_hotplug();
}

static DECLARE_WORK(online_work, online_added);

/*
 * A guest has one processor when it begins. Those that its host plugs at once are what it was
 * started with, whether or not there is a user space that brings plugged processors online.
 */
static int processor_added(struct notifier_block *block, unsigned long action, void *data)
{
	struct device *dev = data;

	if (action == BUS_NOTIFY_ADD_DEVICE && gate.state == GATE_RESUMED) {
		cpumask_set_cpu(dev->id, &added);
		schedule_work(&online_work);
	}
	return NOTIFY_DONE;
}

static struct notifier_block processor_block = {
	.notifier_call = processor_added,
};

static int __init shared_kernel_init(void)
{
	struct kobject *kobj = kobject_create_and_add("shared_kernel", kernel_kobj);

	if (!kobj)
		return -ENOMEM;
	if (saved_name[0])
		bus_register_notifier(&cpu_subsys, &processor_block);
	return sysfs_create_group(kobj, &attribute_group);
}
subsys_initcall(shared_kernel_init);
