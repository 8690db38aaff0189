// SPDX-License-Identifier: GPL-2.0

//! Physically contiguous blocks of pages, and lists of them that need no memory of their own.
//!
//! A memory balloon takes pages from the kernel and hands them to the host. It
//!
//! 1. allocates a [`PageBlock`] and tells the host of its [`pfn`](PageBlock::pfn) and
//!    [`order`](PageBlock::order),
//! 2. marks it with [`PageBlock::set_ballooned`] when the host takes the memory away,
//! 3. keeps it in a [`PageBlockList`] until the memory comes back, and drops it then.
//!
//! The contents of the pages are out of scope: there is no way to read or write them.
//!
//! C headers: [`include/linux/gfp.h`](srctree/include/linux/gfp.h),
//! [`include/linux/page-flags.h`](srctree/include/linux/page-flags.h)

use crate::{
    alloc::{
        flags::{
            __GFP_COMP,
            __GFP_ZERO, //
        },
        AllocError,
        Flags, //
    },
    bindings,
    io::PhysAddr,
    page::PAGE_SHIFT,
    prelude::*, //
};
use core::{
    mem,
    ptr::NonNull, //
};

mod list;

pub use self::list::PageBlockList;

/// `2^order` physically contiguous pages, owned.
///
/// The pages are not a compound page. They are freed when the block is dropped.
///
/// No function of a block sleeps, except [`Self::alloc`] if its flags allow it. Blocks must not be
/// dropped in an NMI.
///
/// # Examples
///
/// ```
/// use kernel::{mm::page_block::PageBlock, page::PAGE_SIZE};
///
/// let mut block = PageBlock::alloc(3, GFP_HIGHUSER_MOVABLE | __GFP_NORETRY | __GFP_NOWARN)?;
/// assert_eq!(block.order(), 3);
/// assert_eq!(block.pages(), 8);
/// assert_eq!(block.size_bytes(), 8 * PAGE_SIZE);
/// assert_eq!(block.phys() as usize, block.pfn() * PAGE_SIZE);
/// block.set_ballooned();
/// # Ok::<(), Error>(())
/// ```
///
/// # Invariants
///
/// - `self.0` points to the first `struct page` of `2^order` pages from `alloc_pages()`, which are
///   not a compound page, and of which `self` holds the only lasting reference.
/// - `private` of that page is the order, with `BALLOONED` set if and only if the page is
///   `PageOffline` and all pages are counted in `NR_BALLOON_PAGES`. Nobody else writes it.
/// - `lru` of that page is in use only as described at [`PageBlockList`].
#[repr(transparent)]
pub struct PageBlock(NonNull<bindings::page>);

// SAFETY: Pages can be freed on any CPU, and no thread is special to them.
unsafe impl Send for PageBlock {}

// SAFETY: A shared reference only allows to read what does not change while it exists.
unsafe impl Sync for PageBlock {}

/// The bit of `private` which says that the block is ballooned. The order is in the bits below.
const BALLOONED: usize = 1 << 8;

impl PageBlock {
    /// The order of the largest block that the page allocator has.
    pub const MAX_ORDER: u32 = bindings::MAX_PAGE_ORDER;

    /// Allocates `2^order` pages.
    ///
    /// May sleep if `flags` allow it. `__GFP_COMP` and [`__GFP_ZERO`] in `flags` are ignored: the
    /// pages are always separate ones, and nobody reads them.
    ///
    /// `__GFP_MOVABLE`, which is a part of [`GFP_HIGHUSER_MOVABLE`], allows the pages to come from
    /// `ZONE_MOVABLE` and from CMA areas, see [`Self::is_cma`]. The kernel cannot migrate them, so
    /// the owner has to give them back when it is asked to, see
    /// [`memory_hotplug`](super::memory_hotplug).
    ///
    /// # Errors
    ///
    /// [`AllocError`]: there is no such block, or `order` is larger than [`Self::MAX_ORDER`].
    pub fn alloc(order: u32, flags: Flags) -> Result<Self, AllocError> {
        if order > Self::MAX_ORDER {
            return Err(AllocError);
        }
        let flags = flags & !(__GFP_COMP | __GFP_ZERO);

        // SAFETY: Depending on the flags, this call may sleep. Other than that, it is always safe.
        let page = unsafe { bindings::alloc_pages(flags.as_raw(), order) };

        // INVARIANT: The pages were just allocated, without `__GFP_COMP`. The line below sets
        // `private`; new pages are neither offline nor counted as ballooned.
        let mut block = Self(NonNull::new(page).ok_or(AllocError)?);
        // CAST: Both are unsigned, and the order is small.
        block.set_state(order as usize);
        Ok(block)
    }

    /// Returns the binary logarithm of the number of pages.
    #[inline]
    pub fn order(&self) -> u32 {
        // CAST: An order is at most `MAX_ORDER`.
        (self.state() & (BALLOONED - 1)) as u32
    }

    /// Returns the number of pages.
    #[inline]
    pub fn pages(&self) -> usize {
        1 << self.order()
    }

    /// Returns the size in bytes.
    #[inline]
    pub fn size_bytes(&self) -> usize {
        self.pages() << PAGE_SHIFT
    }

    /// Returns the first page.
    #[inline]
    pub(crate) fn as_page(&self) -> *mut bindings::page {
        self.0.as_ptr()
    }

    /// Returns the page frame number of the first page, a multiple of [`Self::pages`].
    #[inline]
    pub fn pfn(&self) -> usize {
        // SAFETY: By the type invariants, the pointer is that of a valid page.
        unsafe { bindings::page_to_pfn(self.0.as_ptr()) }
    }

    /// Returns the physical address of the first byte.
    #[inline]
    pub fn phys(&self) -> PhysAddr {
        // CAST: A physical address is as wide as a page frame number, or wider.
        (self.pfn() as PhysAddr) << PAGE_SHIFT
    }

    /// Returns whether the first page is in an area of the contiguous memory allocator (CMA).
    ///
    /// The area's user wants its memory back at any time and cannot move pages that the kernel
    /// does not know how to migrate, so a block which is kept for long should not be there. While
    /// that user, or memory offlining, isolates the area, the answer is `false`; without
    /// `CONFIG_CMA` it always is.
    #[inline]
    pub fn is_cma(&self) -> bool {
        if !cfg!(CONFIG_CMA) {
            return false;
        }

        // SAFETY: By the type invariants, the pointer is that of a valid page.
        unsafe { bindings::is_migrate_cma_page(self.0.as_ptr()) }
    }

    /// Notes that the host takes the memory away.
    ///
    /// The first page becomes `PageOffline`, so that memory offlining takes the block for movable
    /// and asks for it with [`memory_hotplug::Handler`](super::memory_hotplug::Handler). The others
    /// have no reference and are movable anyway; marking them would cost more than all the rest.
    /// Who reads the memory of the whole machine, as kdump, hibernation and `/proc/kcore` do, skips
    /// marked pages only, and so brings the others back from the host.
    ///
    /// All pages are counted in `NR_BALLOON_PAGES`, which is `Balloon` in `/proc/meminfo`. Dropping
    /// the block undoes this. A second call does nothing.
    ///
    /// The number of pages that the kernel manages (`MemTotal`) stays as it is.
    pub fn set_ballooned(&mut self) {
        let state = self.state();

        if state & BALLOONED == 0 {
            // SAFETY: By the type invariants, this is a valid page, which has no type yet.
            unsafe { bindings::__SetPageOffline(self.0.as_ptr()) };
            self.count_ballooned(1);

            // INVARIANT: The page was made offline and all were counted above.
            self.set_state(state | BALLOONED);
        }
    }

    /// Returns whether [`Self::set_ballooned`] was called.
    #[inline]
    pub fn is_ballooned(&self) -> bool {
        self.state() & BALLOONED != 0
    }

    /// Gives the ownership away, to a list.
    fn into_page(self) -> NonNull<bindings::page> {
        let page = self.0;

        mem::forget(self);
        page
    }

    /// The opposite of [`Self::into_page`].
    ///
    /// # Safety
    ///
    /// `page` must come from [`Self::into_page`], and the caller must pass on its ownership.
    unsafe fn from_page(page: NonNull<bindings::page>) -> Self {
        // INVARIANT: They held when `into_page` was called, and nobody had the block since.
        Self(page)
    }

    #[cfg(CONFIG_RUST_MM_KUNIT_TEST)]
    fn for_each_page(&self, f: impl Fn(*mut bindings::page)) {
        for i in 0..self.pages() {
            // SAFETY: By the type invariants, `self` owns this many pages. The page allocator
            // hands out blocks with adjacent `struct page`s.
            f(unsafe { self.0.as_ptr().add(i) });
        }
    }

    /// Adds `sign` times the pages of the block to `NR_BALLOON_PAGES`.
    fn count_ballooned(&self, sign: isize) {
        // CAST: A block has at most `2^MAX_ORDER` pages.
        let pages = sign * self.pages() as isize;

        // SAFETY: By the type invariants, the pointer is that of a valid page; it belongs to a
        // node, which exists for as long as the page does.
        unsafe {
            bindings::mod_node_page_state(
                bindings::page_pgdat(self.0.as_ptr()),
                bindings::node_stat_item_NR_BALLOON_PAGES,
                pages,
            )
        };
    }

    #[inline]
    fn state(&self) -> usize {
        // SAFETY: By the type invariants, this is the field of a valid page, which nobody writes
        // while `self` is borrowed.
        unsafe { *self.state_ptr() }
    }

    #[inline]
    fn set_state(&mut self, state: usize) {
        // SAFETY: By the type invariants, this is the field of a valid page, and nobody else reads
        // or writes it.
        unsafe { *self.state_ptr() = state }
    }

    #[inline]
    fn state_ptr(&self) -> *mut usize {
        // SAFETY: By the type invariants, the pointer is that of a valid page; no reference is
        // made.
        unsafe { &raw mut (*self.0.as_ptr()).__bindgen_anon_1.__bindgen_anon_1.private }
    }
}

impl Drop for PageBlock {
    fn drop(&mut self) {
        let order = self.order();

        if self.is_ballooned() {
            self.count_ballooned(-1);
            // SAFETY: By the type invariants, this is a valid page, and offline.
            unsafe { bindings::__ClearPageOffline(self.0.as_ptr()) };
        }
        self.set_state(0);

        // SAFETY: By the type invariants, these are pages from `alloc_pages()` with this order,
        // and the reference to them is ours.
        unsafe { bindings::__free_pages(self.0.as_ptr(), order) };
    }
}

#[cfg(CONFIG_RUST_MM_KUNIT_TEST)]
#[macros::kunit_tests(rust_mm_page_block)]
mod tests {
    use super::*;
    use crate::mm::stats::MemInfo;

    /// Half of the largest block: what others allocate and free meanwhile, and what the per-CPU
    /// counters keep back, is less.
    const HALF_PAGES: usize = 1 << (PageBlock::MAX_ORDER - 1);

    fn ballooned_pages() -> usize {
        // SAFETY: This is an item of the node statistics, counted in pages.
        unsafe { bindings::global_node_page_state(bindings::node_stat_item_NR_BALLOON_PAGES) }
    }

    #[test]
    fn a_block_is_aligned_to_its_size() -> Result {
        for order in [0, 1, 4, PageBlock::MAX_ORDER] {
            let block = PageBlock::alloc(order, GFP_KERNEL)?;

            assert_eq!(block.order(), order);
            assert_eq!(block.pages(), 1 << order);
            assert_eq!(block.size_bytes(), (1 << order) << PAGE_SHIFT);
            assert_eq!(block.pfn() % block.pages(), 0);
            assert_eq!(block.phys() >> PAGE_SHIFT, block.pfn() as PhysAddr);
            assert!(!block.is_ballooned());
        }
        Ok(())
    }

    #[test]
    fn an_order_that_does_not_exist_is_refused() {
        for order in [PageBlock::MAX_ORDER + 1, u32::MAX] {
            assert_eq!(PageBlock::alloc(order, GFP_KERNEL).err(), Some(AllocError));
        }
    }

    #[test]
    fn a_dropped_block_is_free_memory_again() -> Result {
        let before = MemInfo::now().free_pages;
        let block = PageBlock::alloc(PageBlock::MAX_ORDER, GFP_KERNEL)?;
        let during = MemInfo::now().free_pages;
        drop(block);
        let after = MemInfo::now().free_pages;

        assert!(during + HALF_PAGES < before);
        assert!(during + HALF_PAGES < after);
        Ok(())
    }

    #[test]
    fn flags_that_change_the_kind_of_pages_are_ignored() -> Result {
        let block = PageBlock::alloc(2, GFP_KERNEL | __GFP_COMP | __GFP_ZERO)?;

        block.for_each_page(|page| {
            // SAFETY: The page is valid. The word tells tail pages by its lowest bit.
            let info = unsafe { (*page).__bindgen_anon_1.__bindgen_anon_3.compound_info };
            assert_eq!(info & 1, 0);
        });
        Ok(())
    }

    #[test]
    fn ballooned_pages_are_counted_until_they_are_freed() -> Result {
        let before = ballooned_pages();
        let mut block = PageBlock::alloc(PageBlock::MAX_ORDER, GFP_KERNEL)?;
        assert!(ballooned_pages() < before + HALF_PAGES);

        block.set_ballooned();
        block.set_ballooned();
        assert!(block.is_ballooned());
        assert_eq!(block.order(), PageBlock::MAX_ORDER);
        let during = ballooned_pages();
        assert!(before + HALF_PAGES < during && during < before + 3 * HALF_PAGES);

        drop(block);
        assert!(ballooned_pages() < before + HALF_PAGES);
        Ok(())
    }

    #[test]
    fn the_first_page_of_a_ballooned_block_is_offline() -> Result {
        const OFFLINE: u32 = bindings::pagetype_PGTY_offline;
        let offline_pages = |block: &PageBlock| {
            let offline = core::cell::Cell::new(0);

            block.for_each_page(|page| {
                // SAFETY: The page is valid.
                let page_type = unsafe { (*page).__bindgen_anon_2.page_type };
                offline.set(offline.get() + usize::from(page_type >> 24 == OFFLINE));
            });
            offline.get()
        };

        for order in [0, 3, PageBlock::MAX_ORDER] {
            let mut block = PageBlock::alloc(order, GFP_HIGHUSER_MOVABLE)?;

            assert_eq!(offline_pages(&block), 0);
            block.set_ballooned();
            assert_eq!(offline_pages(&block), 1);
        }
        Ok(())
    }
}
