// SPDX-License-Identifier: GPL-2.0

//! Lists of page blocks.

use super::PageBlock;
use crate::bindings;
use core::{
    mem,
    ops::Range,
    ptr::{
        self,
        NonNull, //
    },
};

/// A list of [`PageBlock`]s, linked through their own `struct page`s.
///
/// Holding a block needs no memory besides the block itself, so adding one cannot fail. The list is
/// a plain value: it can be moved, and is sent to other threads or put under a lock as a whole.
///
/// No function sleeps. Dropping a list frees all of its blocks, which for gigabytes of small blocks
/// takes a while: such a list is better emptied with [`Self::pop`] by a thread that can reschedule.
///
/// # Examples
///
/// ```
/// use kernel::mm::page_block::{PageBlock, PageBlockList};
///
/// let mut list = PageBlockList::new();
/// list.push(PageBlock::alloc(0, GFP_KERNEL)?);
/// list.push(PageBlock::alloc(2, GFP_KERNEL)?);
/// assert_eq!(list.len(), 2);
/// assert_eq!(list.pages(), 5);
///
/// assert_eq!(list.pop().map(|block| block.order()), Some(2));
/// assert_eq!(list.pages(), 1);
/// # Ok::<(), Error>(())
/// ```
///
/// # Invariants
///
/// - `ends` are the first and the last page of a chain: `lru.next` of a page is the next page, and
///   null in the last. The list owns every page in the chain. `ends` is [`None`] if and only if
///   there is none.
/// - `len` is the number of blocks in the chain, `pages` the sum of their pages.
pub struct PageBlockList {
    ends: Option<(Link, Link)>,
    len: usize,
    pages: usize,
}

// SAFETY: A list owns its blocks, which are `Send`.
unsafe impl Send for PageBlockList {}

// SAFETY: A shared reference to a list only gives its numbers.
unsafe impl Sync for PageBlockList {}

impl PageBlockList {
    /// Creates an empty list.
    pub const fn new() -> Self {
        // INVARIANT: There is no block.
        Self {
            ends: None,
            len: 0,
            pages: 0,
        }
    }

    /// Returns the number of blocks.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns the number of pages, in all blocks together.
    #[inline]
    pub fn pages(&self) -> usize {
        self.pages
    }

    /// Returns whether there is no block.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.ends.is_none()
    }

    /// Adds `block` at the front.
    pub fn push(&mut self, block: PageBlock) {
        let mut list = Self::from(block);

        list.append(mem::take(self));
        *self = list;
    }

    /// Takes the block at the front, the one that was pushed last.
    pub fn pop(&mut self) -> Option<PageBlock> {
        let (first, last) = self.ends?;

        // INVARIANT: What is left is the chain from the second page on, less the block.
        self.ends = first.next().map(|next| (next, last));
        first.set_next(None);

        // SAFETY: By the type invariants of `Link`, the page came from `into_page`; the list, which
        // owned it, no longer has it.
        let block = unsafe { PageBlock::from_page(first.0) };
        self.len -= 1;
        self.pages -= block.pages();
        Some(block)
    }

    /// Moves all blocks of `other` to the end of this list, in their order. Takes the same time
    /// for lists of any length.
    pub fn append(&mut self, mut other: PageBlockList) {
        // INVARIANT: The first page of `other` follows the last of ours. `other` has none now.
        self.ends = match (self.ends, other.ends.take()) {
            (Some((first, middle)), Some((next, last))) => {
                middle.set_next(Some(next));
                Some((first, last))
            }
            (ends, None) | (None, ends) => ends,
        };
        self.len += mem::take(&mut other.len);
        self.pages += mem::take(&mut other.pages);
    }

    /// Takes all blocks of which a page is in the range `pfns` of page frame numbers. Taken and
    /// remaining blocks keep their order.
    ///
    /// Looks at every block of the list.
    pub fn take_range(&mut self, pfns: Range<usize>) -> PageBlockList {
        let mut taken = Self::new();
        let mut kept = Self::new();

        while let Some(block) = self.pop() {
            let first = block.pfn();
            let overlap = first.max(pfns.start)..(first + block.pages()).min(pfns.end);

            if overlap.is_empty() {
                kept.append(block.into());
            } else {
                taken.append(block.into());
            }
        }
        *self = kept;
        taken
    }
}

impl Default for PageBlockList {
    fn default() -> Self {
        Self::new()
    }
}

impl From<PageBlock> for PageBlockList {
    fn from(block: PageBlock) -> Self {
        let pages = block.pages();
        // INVARIANT: The list that is made below owns the page.
        let page = Link(block.into_page());

        page.set_next(None);
        // INVARIANT: A chain of one page, which is both of its ends.
        Self {
            ends: Some((page, page)),
            len: 1,
            pages,
        }
    }
}

impl Drop for PageBlockList {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}

/// A page in the chain of a list.
///
/// # Invariants
///
/// The page came from [`PageBlock::into_page`], and the list that has `self` owns it.
#[derive(Clone, Copy)]
struct Link(NonNull<bindings::page>);

impl Link {
    /// Returns the page that follows.
    #[inline]
    fn next(self) -> Option<Self> {
        // SAFETY: By the type invariants, the page is valid; no reference is made.
        let next = unsafe { (*self.lru()).next };

        // INVARIANT: Only `set_next` writes this field, so it is null or a page of the same list.
        NonNull::new(next.cast()).map(Self)
    }

    /// Makes `next`, which the same list owns, follow.
    #[inline]
    fn set_next(self, next: Option<Self>) {
        let next = next.map_or(ptr::null_mut(), |next| next.0.as_ptr());

        // Those who look at any page of the system read this word to tell tail pages, which have
        // the lowest bit set; a pointer to a page has not. They must see a whole word.
        //
        // SAFETY: By the type invariants, the page is valid and the list the only user of `lru`.
        unsafe { (&raw mut (*self.lru()).next).write_volatile(next.cast()) };
    }

    #[inline]
    fn lru(self) -> *mut bindings::list_head {
        // SAFETY: By the type invariants, the page is valid; no reference is made.
        unsafe {
            &raw mut (*self.0.as_ptr())
                .__bindgen_anon_1
                .__bindgen_anon_1
                .__bindgen_anon_1
                .lru
        }
    }
}

#[cfg(CONFIG_RUST_MM_KUNIT_TEST)]
#[macros::kunit_tests(rust_mm_page_block_list)]
mod tests {
    use super::*;
    use crate::{
        alloc::AllocError,
        prelude::*, //
    };

    /// A list of blocks of these orders, the first of them in front.
    fn list_of(orders: &[u32]) -> Result<PageBlockList, AllocError> {
        let mut list = PageBlockList::new();

        for &order in orders {
            list.append(PageBlock::alloc(order, GFP_KERNEL)?.into());
        }
        Ok(list)
    }

    /// Empties the list and tells whether its blocks had these orders.
    fn has_orders(list: &mut PageBlockList, orders: &[u32]) -> bool {
        orders
            .iter()
            .all(|&order| list.pop().is_some_and(|block| block.order() == order))
            && list.pop().is_none()
            && (list.is_empty(), list.len(), list.pages()) == (true, 0, 0)
    }

    #[test]
    fn an_empty_list_has_nothing() {
        let mut list = PageBlockList::default();

        assert!(has_orders(&mut list, &[]));
        list.append(PageBlockList::new());
        assert!(has_orders(&mut list, &[]));
    }

    #[test]
    fn the_block_pushed_last_is_popped_first() -> Result {
        let mut list = PageBlockList::new();

        for order in [0, 3, 1] {
            list.push(PageBlock::alloc(order, GFP_KERNEL)?);
        }
        assert_eq!((list.len(), list.pages()), (3, 11));
        assert!(has_orders(&mut list, &[1, 3, 0]));
        Ok(())
    }

    #[test]
    fn a_list_is_appended_in_its_order() -> Result {
        const ORDERS: [u32; 4] = [3, 1, 0, 2];

        for middle in 0..=ORDERS.len() {
            let mut list = list_of(&ORDERS[..middle])?;

            list.append(list_of(&ORDERS[middle..])?);
            assert_eq!((list.len(), list.pages()), (4, 15));
            assert!(has_orders(&mut list, &ORDERS));
        }
        Ok(())
    }

    #[test]
    fn a_list_can_be_used_after_it_was_emptied() -> Result {
        let mut list = list_of(&[1])?;

        assert!(list.pop().is_some());
        list.append(list_of(&[2, 0])?);
        assert!(has_orders(&mut list, &[2, 0]));
        Ok(())
    }

    #[test]
    fn blocks_that_overlap_a_range_are_taken() -> Result {
        // Offsets from the first of four pages.
        let overlaps = |from: isize, to: isize| -> Result<bool> {
            let block = PageBlock::alloc(2, GFP_KERNEL)?;
            let at = |offset| block.pfn().wrapping_add_signed(offset);
            let pfns = at(from)..at(to);
            let mut list = PageBlockList::from(block);

            let taken = list.take_range(pfns);
            assert_eq!(taken.len() + list.len(), 1);
            assert_eq!(taken.pages() + list.pages(), 4);
            Ok(!taken.is_empty())
        };

        for (from, to) in [(0, 4), (-1, 1), (3, 9), (1, 2), (-8, 8)] {
            assert!(overlaps(from, to)?);
        }
        for (from, to) in [(4, 8), (-4, 0), (2, 2), (3, 1)] {
            assert!(!overlaps(from, to)?);
        }
        Ok(())
    }

    #[test]
    fn a_range_leaves_the_other_blocks_in_order() -> Result {
        let middle = PageBlock::alloc(3, GFP_KERNEL)?;
        let pfns = middle.pfn()..middle.pfn() + middle.pages();
        let mut list = list_of(&[2, 0])?;
        list.append(middle.into());
        list.append(list_of(&[1, 4])?);

        let mut taken = list.take_range(pfns);
        assert_eq!((list.len(), list.pages()), (4, 23));
        assert!(has_orders(&mut list, &[2, 0, 1, 4]));
        assert!(has_orders(&mut taken, &[3]));
        Ok(())
    }

    #[test]
    fn a_block_stays_ballooned_in_a_list() -> Result {
        let mut block = PageBlock::alloc(1, GFP_KERNEL)?;
        let pfn = block.pfn();
        block.set_ballooned();

        let mut list = list_of(&[0])?;
        list.push(block);
        let block = list.pop().ok_or(ENOENT)?;
        assert_eq!((block.pfn(), block.order()), (pfn, 1));
        assert!(block.is_ballooned());
        assert!(list.pop().is_some_and(|block| !block.is_ballooned()));
        Ok(())
    }
}
