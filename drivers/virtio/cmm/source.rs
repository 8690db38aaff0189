// SPDX-License-Identifier: GPL-2.0

//! Where blocks of pages come from: the largest free ones first, then what reclaim can find.

use crate::{
    balloon::Balloon,
    target::order_within, //
};
use kernel::{
    alloc::{
        flags::*,
        Flags, //
    },
    mm::page_block::{
        PageBlock,
        PageBlockList, //
    }, //
};

/// How far to go for a block.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effort {
    /// Only what is free.
    Free,
    /// Also what reclaim finds, page by page: the page cache gives way gently.
    Reclaim,
}

/// A run of allocations. What it had to refuse is freed at its end.
pub(crate) struct Source<'a> {
    balloon: &'a Balloon,
    max_order: u32,
    effort: Effort,
    /// Blocks that the host cannot have. They are kept so that they are not found again.
    refused: PageBlockList,
    /// How many pages may be gone at the same time, refused ones included.
    room: u64,
}

impl<'a> Source<'a> {
    /// Begins with blocks of up to `max_order`. No more than `room` pages are ever gone: what is
    /// left to the guest must not depend on how many are refused.
    pub(crate) fn new(balloon: &'a Balloon, max_order: u32, room: u64) -> Self {
        Self {
            balloon,
            max_order,
            effort: Effort::Free,
            refused: PageBlockList::new(),
            room,
        }
    }

    /// Returns a block of at most `pages` pages; [`None`] if there is none to be had.
    pub(crate) fn next(&mut self, pages: u64) -> Option<PageBlock> {
        while self.room > 0 {
            let order = order_within(pages.min(self.room), self.max_order);
            let Ok(block) = PageBlock::alloc(order, self.flags()) else {
                if !self.try_harder(order) {
                    return None;
                }
                continue;
            };
            self.room -= block.pages() as u64;
            if !self.is_refused(&block) {
                return Some(block);
            }
            self.balloon
                .counters
                .refused_pages
                .add(block.pages() as u64);
            self.refused.push(block);
        }
        None
    }

    fn flags(&self) -> Flags {
        let flags = GFP_HIGHUSER_MOVABLE | __GFP_NORETRY | __GFP_NOWARN | __GFP_NOMEMALLOC;

        match self.effort {
            Effort::Free => flags & !__GFP_RECLAIM,
            Effort::Reclaim => flags,
        }
    }

    /// Goes on with smaller blocks, then with reclaim. Returns whether there is anything left to
    /// try.
    fn try_harder(&mut self, order: u32) -> bool {
        if order > 0 {
            self.max_order = order - 1;
            return true;
        }
        if self.effort == Effort::Free {
            self.effort = Effort::Reclaim;
            return true;
        }
        false
    }

    /// A saved system has memory in read-only files, which the host cannot discard; and the user of
    /// a CMA area must get its memory when it asks.
    fn is_refused(&self, block: &PageBlock) -> bool {
        let keep = &self.balloon.options.keep;

        block.is_cma() || keep.overlap(block.pfn() as u64, block.pages() as u64)
    }
}
