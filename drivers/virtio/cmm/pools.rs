// SPDX-License-Identifier: GPL-2.0

//! The pages that the balloon holds.

use crate::target::{
    Pages,
    Pool, //
};
use core::ops::Range;
use kernel::mm::page_block::PageBlockList;

/// The two pools.
pub(crate) struct Pools {
    fixed: PageBlockList,
    timed: PageBlockList,
}

impl Pools {
    /// Begins with empty pools.
    pub(crate) const fn new() -> Self {
        Self {
            fixed: PageBlockList::new(),
            timed: PageBlockList::new(),
        }
    }

    /// Returns how many pages the pools hold.
    pub(crate) fn held(&self) -> Pages {
        Pages {
            fixed: self.fixed.pages() as u64,
            timed: self.timed.pages() as u64,
        }
    }

    fn list(&mut self, pool: Pool) -> &mut PageBlockList {
        match pool {
            Pool::Static => &mut self.fixed,
            Pool::Timed => &mut self.timed,
        }
    }

    /// Adds `blocks` to a pool.
    pub(crate) fn add(&mut self, pool: Pool, blocks: PageBlockList) {
        self.list(pool).append(blocks);
    }

    /// Takes at least `pages` pages out of a pool, if it has so many: blocks are not divided. The
    /// small ones, which the guest had to scrape together, come first.
    pub(crate) fn remove(&mut self, pool: Pool, pages: u64) -> PageBlockList {
        let list = self.list(pool);
        let mut removed = PageBlockList::new();

        while (removed.pages() as u64) < pages {
            let Some(block) = list.pop() else {
                break;
            };
            removed.push(block);
        }
        removed
    }

    /// Takes at least `pages` pages out, of the timed pool first, because memory is short.
    pub(crate) fn remove_under_pressure(&mut self, pages: u64) -> PageBlockList {
        let mut removed = self.remove(Pool::Timed, pages);
        let missing = pages.saturating_sub(removed.pages() as u64);

        removed.append(self.remove(Pool::Static, missing));
        removed
    }

    /// Takes out all blocks that have a page in `pfns`.
    pub(crate) fn remove_range(&mut self, pfns: Range<usize>) -> PageBlockList {
        let mut removed = self.fixed.take_range(pfns.clone());

        removed.append(self.timed.take_range(pfns));
        removed
    }

    /// Takes everything out.
    pub(crate) fn remove_all(&mut self) -> PageBlockList {
        self.remove_under_pressure(u64::MAX)
    }
}

#[cfg(CONFIG_VIRTIO_CMM_KUNIT_TEST)]
#[kernel::macros::kunit_tests(cmm_pools)]
mod tests {
    use super::*;
    use kernel::{
        mm::page_block::PageBlock,
        prelude::*, //
    };

    fn blocks(orders: &[u32]) -> Result<PageBlockList> {
        let mut list = PageBlockList::new();

        for &order in orders {
            list.push(PageBlock::alloc(order, GFP_KERNEL)?);
        }
        Ok(list)
    }

    fn pools() -> Result<Pools> {
        let mut pools = Pools::new();

        pools.add(Pool::Static, blocks(&[3, 2, 0])?);
        pools.add(Pool::Timed, blocks(&[1])?);
        Ok(pools)
    }

    #[test]
    fn pools_are_counted_apart() -> Result {
        let held = pools()?.held();

        assert_eq!(
            held,
            Pages {
                fixed: 13,
                timed: 2
            }
        );
        assert_eq!(held.total(), 15);
        Ok(())
    }

    #[test]
    fn blocks_are_removed_as_a_whole() -> Result {
        let mut pools = pools()?;

        let removed = pools.remove(Pool::Static, 2);
        assert!(removed.pages() >= 2);
        assert_eq!(pools.held().fixed, 13 - removed.pages() as u64);
        assert_eq!(pools.remove(Pool::Static, 0).pages(), 0);
        assert_eq!(pools.remove(Pool::Timed, 100).pages(), 2);
        Ok(())
    }

    #[test]
    fn pressure_empties_the_timed_pool_first() -> Result {
        let mut pools = pools()?;

        assert_eq!(pools.remove_under_pressure(1).pages(), 2);
        assert_eq!(pools.held().fixed, 13);
        assert_eq!(pools.remove_all().pages(), 13);
        assert_eq!(pools.held().total(), 0);
        Ok(())
    }

    #[test]
    fn ranges_are_removed_from_both_pools() -> Result {
        let mut pools = Pools::new();
        let (one, other) = (
            PageBlock::alloc(2, GFP_KERNEL)?,
            PageBlock::alloc(2, GFP_KERNEL)?,
        );
        let pfn = one.pfn();
        let mut list = PageBlockList::new();
        list.push(one);
        pools.add(Pool::Timed, list);
        let mut list = PageBlockList::new();
        list.push(other);
        pools.add(Pool::Static, list);

        assert_eq!(pools.remove_range(pfn + 3..pfn + 4).pages(), 4);
        assert_eq!(pools.held(), Pages { fixed: 4, timed: 0 });
        Ok(())
    }
}
