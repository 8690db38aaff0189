// SPDX-License-Identifier: GPL-2.0

#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/page-flags.h>
#include <linux/vmstat.h>

__rust_helper unsigned long rust_helper_page_to_pfn(const struct page *page)
{
	return page_to_pfn(page);
}

__rust_helper pg_data_t *rust_helper_page_pgdat(const struct page *page)
{
	return page_pgdat(page);
}

__rust_helper bool rust_helper_is_migrate_cma_page(const struct page *page)
{
	return is_migrate_cma_page(page);
}

__rust_helper void rust_helper___SetPageOffline(struct page *page)
{
	__SetPageOffline(page);
}

__rust_helper void rust_helper___ClearPageOffline(struct page *page)
{
	__ClearPageOffline(page);
}

#ifndef CONFIG_SMP
__rust_helper void rust_helper_mod_node_page_state(struct pglist_data *pgdat,
						   enum node_stat_item item,
						   long delta)
{
	mod_node_page_state(pgdat, item, delta);
}
#endif
