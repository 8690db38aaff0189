// SPDX-License-Identifier: GPL-2.0

//! What the administrator of the guest decides: the parameters of the module.

use crate::ranges::Ranges;
use kernel::{
    mm::page_block::PageBlock,
    prelude::*, //
};

/// How many pages of 4 KiB a mebibyte has.
const PAGES_PER_MIB: u64 = 256;

/// The parameters, checked.
pub(crate) struct Options {
    /// How many pages must stay available: no more are taken below that.
    pub(crate) floor_pages: u64,
    /// The largest order of a block.
    pub(crate) max_order: u32,
    /// What the host cannot take back.
    pub(crate) keep: Ranges,
}

impl Options {
    /// Checks the parameters of a guest with `total_pages` pages. What is out of range is replaced
    /// by the nearest value, with a message.
    ///
    /// Returns `EINVAL`, with a message, if `keep` is not a list of ranges: to go on without would
    /// lose memory. `ENOMEM`.
    pub(crate) fn new(
        floor_mib: u64,
        max_order: u32,
        keep: &[u8],
        total_pages: u64,
    ) -> Result<Self> {
        let keep = Ranges::parse(keep)
            .inspect_err(|error| pr_err!("keep: not a list of ranges START-END: {error:?}\n"))?;
        let floor_pages = floor_pages(floor_mib, total_pages);
        if floor_pages < floor_mib.saturating_mul(PAGES_PER_MIB) {
            pr_warn!("floor_mib={floor_mib}: more than the guest has, nothing will be taken\n");
        }
        let order = max_order.min(PageBlock::MAX_ORDER);
        if order < max_order {
            pr_warn!("max_order={max_order}: the largest is {order}\n");
        }

        Ok(Self {
            floor_pages,
            max_order: order,
            keep,
        })
    }
}

/// Returns the floor in pages. Zero stands for a 32nd of the memory, but 16 MiB at least and 256
/// MiB at most.
fn floor_pages(floor_mib: u64, total_pages: u64) -> u64 {
    if floor_mib == 0 {
        return (total_pages / 32).clamp(16 * PAGES_PER_MIB, 256 * PAGES_PER_MIB);
    }
    floor_mib.saturating_mul(PAGES_PER_MIB).min(total_pages)
}

#[cfg(CONFIG_VIRTIO_CMM_KUNIT_TEST)]
#[kernel::macros::kunit_tests(cmm_options)]
mod tests {
    use super::*;

    const GIB_PAGES: u64 = 1024 * PAGES_PER_MIB;

    #[test]
    fn the_floor_follows_the_size_of_the_guest() {
        for (total_pages, floor_mib) in [
            (GIB_PAGES / 4, 16),
            (GIB_PAGES, 32),
            (4 * GIB_PAGES, 128),
            (64 * GIB_PAGES, 256),
        ] {
            assert_eq!(floor_pages(0, total_pages), floor_mib * PAGES_PER_MIB);
        }
    }

    #[test]
    fn a_floor_that_is_set_is_cut_to_the_memory() {
        assert_eq!(floor_pages(100, GIB_PAGES), 100 * PAGES_PER_MIB);
        assert_eq!(floor_pages(2048, GIB_PAGES), GIB_PAGES);
        assert_eq!(floor_pages(u64::MAX, GIB_PAGES), GIB_PAGES);
    }

    #[test]
    fn values_out_of_range_are_replaced_or_refused() -> Result {
        let options = Options::new(1, 99, b"", GIB_PAGES)?;

        assert_eq!(options.max_order, PageBlock::MAX_ORDER);
        assert_eq!(
            Options::new(1, 1, b"nonsense", GIB_PAGES).err(),
            Some(EINVAL)
        );
        Ok(())
    }
}
