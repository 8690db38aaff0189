// SPDX-License-Identifier: GPL-2.0

#include <linux/cacheflush.h>

__rust_helper void rust_helper_flush_dcache_page(struct page *page)
{
	flush_dcache_page(page);
}
