// SPDX-License-Identifier: GPL-2.0

#include <linux/uaccess.h>

#ifndef copy_mc_to_kernel
__rust_helper unsigned long
rust_helper_copy_mc_to_kernel(void *dst, const void *src, size_t cnt)
{
	return copy_mc_to_kernel(dst, src, cnt);
}
#endif
