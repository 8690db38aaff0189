// SPDX-License-Identifier: GPL-2.0

//! The data of a bio.
//!
//! C header: [`include/linux/bvec.h`](srctree/include/linux/bvec.h)

use super::{
    Bio,
    Operation, //
};
use crate::{
    bindings,
    memremap::{
        self,
        DeviceMemory, //
    },
    page::PAGE_SIZE,
    prelude::*, //
};
use core::marker::PhantomData;

/// An iterator over the data of a [`Bio`].
///
/// # Invariants
///
/// For `'a`, `iter` describes data in the pages of `bvecs`, which are as valid for `operation` as
/// those of the bio.
pub struct Segments<'a> {
    bvecs: *const bindings::bio_vec,
    iter: bindings::bvec_iter,
    operation: Operation,
    _bio: PhantomData<&'a Bio>,
}

impl Segments<'_> {
    /// Makes an iterator over what `iter` describes, if `operation` has data.
    ///
    /// # Safety
    ///
    /// If `operation` is a read, `iter` must describe data in the pages of `bvecs` which is valid
    /// for writes by the C copy routines; if it is a write, for reads; for as long as the result is
    /// used.
    #[inline]
    pub(super) unsafe fn new(
        bvecs: *const bindings::bio_vec,
        mut iter: bindings::bvec_iter,
        operation: Operation,
    ) -> Self {
        if !matches!(operation, Operation::Read | Operation::Write) {
            iter.bi_size = 0;
        }

        // INVARIANT: By the safety requirements, or because there is no data.
        Self {
            bvecs,
            iter,
            operation,
            _bio: PhantomData,
        }
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    #[inline]
    fn next(&mut self) -> Option<Segment<'a>> {
        let iter = &mut self.iter;
        let (idx, done, left) = (iter.bi_idx, iter.bi_offset, iter.bi_size);
        if left == 0 {
            return None;
        }

        // SAFETY: By the type invariants, there is data left, so `idx` is within the array.
        // CAST: `usize` has at least 32 bits.
        let bvec = unsafe { &*self.bvecs.add(idx as usize) };

        let (len, pages, offset) = split_bvec(bvec.bv_len, bvec.bv_offset, done, left);
        if done.wrapping_add(len) == bvec.bv_len {
            iter.bi_idx = idx.wrapping_add(1);
            iter.bi_offset = 0;
        } else {
            iter.bi_offset = done.wrapping_add(len);
        }
        iter.bi_size = left.wrapping_sub(len);

        // INVARIANT: By the type invariants, the pages that `bvec` describes are valid for the
        // operation; `split_bvec` returns a part of them.
        Some(Segment {
            // SAFETY: The pages of a `bio_vec` are contiguous; this one is among them.
            page: unsafe { bvec.bv_page.add(pages as usize) },
            offset,
            len,
            operation: self.operation,
            _bio: PhantomData,
        })
    }
}

/// Finds the next part of a `bio_vec` that one mapping of a page reaches.
///
/// Of the `bv_len` bytes that start `bv_offset` bytes after the start of the first page, `done` are
/// over; `left` is what is left of the bio. Returns the number of bytes, of the pages to skip, and
/// of the bytes to skip in the page after these.
///
/// Pages that are always mapped lie side by side, so there one mapping reaches all of them. Pages
/// of high memory are mapped one by one.
#[inline]
pub(super) const fn split_bvec(
    bv_len: u32,
    bv_offset: u32,
    done: u32,
    left: u32,
) -> (u32, u32, u32) {
    // CAST: The size of a page fits in 32 bits.
    const PAGE_BYTES: u32 = PAGE_SIZE as u32;

    // OVERFLOW: The block layer keeps `done` below `bv_len`, and the bytes of all the pages of a
    // `bio_vec` countable with 32 bits.
    let start = bv_offset.wrapping_add(done);
    let offset = start % PAGE_BYTES;

    let mut len = bv_len.wrapping_sub(done);
    if len > left {
        len = left;
    }
    if cfg!(CONFIG_HIGHMEM) && len > PAGE_BYTES - offset {
        len = PAGE_BYTES - offset;
    }

    (len, start / PAGE_BYTES, offset)
}

/// A piece of the data of a [`Bio`], contiguous in memory.
///
/// # Invariants
///
/// The `len` bytes that start `offset` bytes after the start of `page` are within one mapping. For
/// `'a`, if `operation` is a read, they are valid for writes by the C copy routines; if it is a
/// write, for reads.
pub struct Segment<'a> {
    page: *mut bindings::page,
    pub(super) offset: u32,
    pub(super) len: u32,
    operation: Operation,
    _bio: PhantomData<&'a Bio>,
}

impl Segment<'_> {
    /// Returns the length in bytes.
    #[inline]
    pub fn len_bytes(&self) -> usize {
        // CAST: `usize` has at least 32 bits.
        self.len as usize
    }

    /// Fills the segment of a read with what `memory` holds at `offset_bytes`.
    ///
    /// # Errors
    ///
    /// - [`EINVAL`]: the operation is not a read.
    /// - [`ERANGE`]: the range is not within `memory`.
    /// - [`EIO`]: the memory is poisoned; a part of the data was copied.
    pub fn copy_from(&self, memory: &DeviceMemory, offset_bytes: usize) -> Result {
        if self.operation != Operation::Read {
            return Err(EINVAL);
        }
        let src = memory.at(offset_bytes, self.len_bytes())?;

        // SAFETY: `at` checked the range, and the operation is a read.
        unsafe { self.fill(src) }
    }

    /// Copies the segment of a write to `memory` at `offset_bytes`.
    ///
    /// # Errors
    ///
    /// - [`EINVAL`]: the operation is not a write.
    /// - [`EROFS`]: `memory` may only be read.
    /// - [`ERANGE`]: the range is not within `memory`.
    pub fn copy_to(&self, memory: &DeviceMemory, offset_bytes: usize) -> Result {
        if self.operation != Operation::Write {
            return Err(EINVAL);
        }
        let dst = memory.at_mut(offset_bytes, self.len_bytes())?;

        // SAFETY: `at_mut` checked the range, and the operation is a write.
        unsafe { self.drain(dst) };
        Ok(())
    }

    /// Copies from device memory to the segment.
    ///
    /// # Safety
    ///
    /// - `src` must be valid for reads of `self.len` bytes by C.
    /// - The operation must be a read.
    #[inline]
    pub(super) unsafe fn fill(&self, src: *const u8) -> Result {
        self.with_mapping(|data| {
            // SAFETY:
            // - By the safety requirements, `src` is valid for reads.
            // - By the type invariants, as this is a read, `data` is valid for writes.
            unsafe { memremap::copy_from_device(data, src, self.len) }
        })?;
        self.flush_dcache();
        Ok(())
    }

    /// Copies from the segment to device memory.
    ///
    /// # Safety
    ///
    /// - `dst` must be valid for writes of `self.len` bytes by C.
    /// - The operation must be a write.
    #[inline]
    pub(super) unsafe fn drain(&self, dst: *mut u8) {
        self.flush_dcache();
        self.with_mapping(|data| {
            // SAFETY: As in `fill`, with the directions exchanged.
            unsafe { memremap::copy_to_device(dst, data, self.len_bytes()) }
        })
    }

    /// Calls `f` with an address at which the segment is mapped for the duration of the call.
    #[inline]
    fn with_mapping<R>(&self, f: impl FnOnce(*mut u8) -> R) -> R {
        // SAFETY: By the type invariants, the page is valid.
        let mapping = unsafe { bindings::kmap_local_page(self.page) };

        // SAFETY: By the type invariants, `offset` is within the mapping.
        // CAST: `usize` has at least 32 bits.
        let ret = f(unsafe { mapping.cast::<u8>().add(self.offset as usize) });

        // Without high memory the page was mapped all the time, so there is nothing to undo.
        if cfg!(any(CONFIG_HIGHMEM, CONFIG_ARCH_HAS_FLUSH_ON_KUNMAP)) {
            // SAFETY: The mapping was made above. Mappings made by `f` were undone by it.
            unsafe { bindings::kunmap_local(mapping) };
        }
        ret
    }

    /// Makes what the kernel has written visible to user space, and the other way round, on
    /// architectures whose data caches need that.
    #[inline]
    fn flush_dcache(&self) {
        if bindings::ARCH_IMPLEMENTS_FLUSH_DCACHE_PAGE == 0 {
            return;
        }

        let end = self.offset as usize + self.len_bytes();
        for i in 0..end.div_ceil(PAGE_SIZE) {
            // SAFETY: By the type invariants, the pages up to `end` are valid.
            unsafe { bindings::flush_dcache_page(self.page.add(i)) };
        }
    }
}
