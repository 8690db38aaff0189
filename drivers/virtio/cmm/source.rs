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

/// How many pages that the host cannot have may be found by reclaim before it is given up: it would
/// empty the page cache in vain.
const MAX_RECLAIMED_REFUSALS: u32 = 32;

/// A run of allocations. What it had to refuse is freed at its end.
pub(crate) struct Source<'a> {
    balloon: &'a Balloon,
    max_order: u32,
    effort: Effort,
    /// Blocks that the host cannot have. They are kept so that they are not found again.
    refused: PageBlockList,
    reclaimed_refusals: u32,
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
            reclaimed_refusals: 0,
            room,
        }
    }

    /// Returns a block of at most `pages` pages; [`None`] if there is none to be had, or if
    /// something else is to be done first.
    pub(crate) fn next(&mut self, pages: u64) -> Option<PageBlock> {
        while self.room > 0 && !self.balloon.is_interrupted() {
            let order = order_within(pages.min(self.room), self.max_order);
            let Ok(block) = PageBlock::alloc(order, self.flags()) else {
                if !self.try_harder(order) {
                    return None;
                }
                continue;
            };
            if !self.is_refused(&block) {
                self.room -= block.pages() as u64;
                return Some(block);
            }
            if !self.refuse(block) {
                return None;
            }
        }
        None
    }

    /// Puts a block aside that the host cannot have. Returns whether to go on.
    fn refuse(&mut self, block: PageBlock) -> bool {
        let pages = block.pages() as u64;

        self.balloon.counters.refused_pages.add(pages);
        if self.effort == Effort::Reclaim {
            self.reclaimed_refusals += 1;
            return self.reclaimed_refusals < MAX_RECLAIMED_REFUSALS;
        }
        self.room -= pages;
        self.refused.push(block);
        true
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
