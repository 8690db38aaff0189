/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A kernel that is saved once and started by name, see
 * Documentation/arch/x86/shared-kernel.rst.
 */
#ifndef _LINUX_SHARED_KERNEL_H
#define _LINUX_SHARED_KERNEL_H

#include <linux/types.h>

struct notifier_block;

#ifdef CONFIG_SHARED_KERNEL

/* Room behind the command line for a blank, 1024 bytes that a guest adds at IPL, and a NUL. */
#define SHARED_KERNEL_PARM_SIZE (1024 + 2)

bool shared_kernel_is_template(void);
void shared_kernel_save_point(void);
int shared_kernel_check_text(const void *addr);
bool shared_kernel_write_text(const void *addr, size_t len);
int shared_kernel_set_parm(const char *parm);

int register_shared_kernel_wake_notifier(struct notifier_block *block);
int unregister_shared_kernel_wake_notifier(struct notifier_block *block);
int register_shared_kernel_notifier(struct notifier_block *block);
int unregister_shared_kernel_notifier(struct notifier_block *block);

#else

#define SHARED_KERNEL_PARM_SIZE 0

static inline bool shared_kernel_is_template(void)
{
	return false;
}

static inline void shared_kernel_save_point(void)
{
}

static inline int shared_kernel_check_text(const void *addr)
{
	return 0;
}

static inline bool shared_kernel_write_text(const void *addr, size_t len)
{
	return true;
}

#endif /* CONFIG_SHARED_KERNEL */

#endif /* _LINUX_SHARED_KERNEL_H */
