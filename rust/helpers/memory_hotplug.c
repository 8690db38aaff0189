// SPDX-License-Identifier: GPL-2.0

#include <linux/memory.h>
#include <linux/notifier.h>

__rust_helper int rust_helper_notifier_from_errno(int err)
{
	return notifier_from_errno(err);
}

#ifndef CONFIG_MEMORY_HOTPLUG
__rust_helper int rust_helper_register_memory_notifier(struct notifier_block *nb)
{
	return register_memory_notifier(nb);
}

__rust_helper void
rust_helper_unregister_memory_notifier(struct notifier_block *nb)
{
	unregister_memory_notifier(nb);
}
#endif
