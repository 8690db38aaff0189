// SPDX-License-Identifier: GPL-2.0

//! The memory of the pool: the only one that the program does not use for itself.

use core::iter;
use core::ops::Range;
use core::slice;

use onecopy_baremetal::pattern;
use onecopy_baremetal::pool::Piece;
use onecopy_baremetal::pool::Pool;
use onecopy_baremetal::PAGE_BYTES;

use crate::entry::to_usize;
use crate::error::Error;

/// All memory of a pool.
///
/// # Invariants
///
/// Nobody else uses the memory, and no reference to it outlives a method of [`crate::channel`].
#[derive(Debug)]
pub(crate) struct Ram {
    pool: Pool,
}

impl Ram {
    /// Takes the memory.
    ///
    /// # Safety
    ///
    /// It is RAM that nobody else uses, mapped at its physical addresses.
    pub(crate) unsafe fn new(pool: Pool) -> Self {
        // INVARIANT: The caller's promise.
        Self { pool }
    }

    /// Returns what pages there are.
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Writes to the pages with these numbers, so that the host has to provide them.
    pub(crate) fn touch(&self, pages: Range<u64>) -> Result<(), Error> {
        for piece in self.pool.pieces(pages) {
            for address in self.words(piece, PAGE_BYTES)? {
                // SAFETY: `words` returns aligned addresses in the pool.
                unsafe { (address as *mut u64).write_volatile(pattern::word_at(address)) };
            }
        }
        Ok(())
    }

    /// Writes the pattern to every word of a range.
    pub(crate) fn fill(&self, range: Piece) -> Result<(), Error> {
        for address in self.words(range, 8)? {
            // SAFETY: `words` returns aligned addresses in the pool.
            unsafe { (address as *mut u64).write_volatile(pattern::word_at(address)) };
        }
        Ok(())
    }

    /// Compares every word of a range with the pattern, or with zero within `discarded`.
    pub(crate) fn verify(&self, range: Piece, discarded: &[Piece]) -> Result<(), Error> {
        for page in self.words(range, PAGE_BYTES)? {
            let content = pattern::content(page, discarded);
            for address in (page..page + PAGE_BYTES).step_by(8) {
                // SAFETY: `words` returns pages in the pool.
                let found = unsafe { (address as *const u64).read_volatile() };
                pattern::verify(address, found, content)?;
            }
        }
        Ok(())
    }

    /// Returns a range as a buffer for a queue.
    ///
    /// # Safety
    ///
    /// The buffer is gone before the range is used again, here or by another buffer.
    #[expect(
        clippy::mut_from_ref,
        reason = "the pool owns memory; the caller keeps ranges apart"
    )]
    pub(crate) unsafe fn buffer(&self, range: Piece) -> Result<&mut [u8], Error> {
        self.check(range)?;
        let start = to_usize(range.address) as *mut u8;
        // SAFETY: The range is in the pool, so it is RAM; the caller has the only reference to it.
        Ok(unsafe { slice::from_raw_parts_mut(start, to_usize(range.bytes)) })
    }

    fn check(&self, range: Piece) -> Result<(), Error> {
        if self.pool.covers(range) {
            Ok(())
        } else {
            Err(Error::NotInPool(range))
        }
    }

    /// Returns every address of a range that is a multiple of `step` bytes, itself a multiple of 8,
    /// from its beginning.
    fn words(&self, range: Piece, step: u64) -> Result<impl Iterator<Item = u64>, Error> {
        self.check(range)?;
        let end = range.address + range.bytes;
        Ok(
            iter::successors(Some(range.address), move |address| Some(address + step))
                .take_while(move |address| *address < end),
        )
    }
}
