// SPDX-License-Identifier: GPL-2.0

//! Block I/O requests of bio-based disks.
//!
//! A driver of a bio-based [`disk`](super::disk) is given each [`Bio`] as it was submitted. It does
//! what [`Bio::operation`] asks for, at once or later and in any context, and ends the bio with
//! [`Bio::end`].
//!
//! The pages of a bio may belong to the page cache or, with direct I/O, to user space, which can
//! change them at any time. Therefore no Rust reference to them is ever made; all accesses are
//! copies by C functions.
//!
//! The following is out of scope: splitting, cloning, chaining and submitting bios, zoned devices,
//! integrity data and inline encryption.
//!
//! C header: [`include/linux/bio.h`](srctree/include/linux/bio.h)

use crate::{
    bindings,
    memremap::DeviceMemory,
    prelude::*, //
};
use core::{
    mem::ManuallyDrop,
    ptr::NonNull, //
};

#[cfg(CONFIG_RUST_BIO_KUNIT_TEST)]
mod kunit;
mod segment;

pub use self::segment::{
    Segment,
    Segments, //
};

/// What a [`Bio`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Read from the disk.
    Read,
    /// Write to the disk. If the length is zero, only [`Bio::is_preflush`] counts.
    Write,
    /// Flush the write cache. Bio-based disks are asked with [`Bio::is_preflush`] instead.
    Flush,
    /// Forget the contents.
    Discard,
    /// Forget the contents so that they cannot be brought back.
    SecureErase,
    /// Write zeros; there is no data.
    WriteZeroes,
    /// Something that no driver needs to know which does not announce it.
    Other,
}

impl Operation {
    /// Returns the operation that the flags in `bi_opf` stand for.
    #[inline]
    const fn from_opf(opf: bindings::blk_opf_t) -> Self {
        match opf & REQ_OP_MASK {
            bindings::req_op_REQ_OP_READ => Self::Read,
            bindings::req_op_REQ_OP_WRITE => Self::Write,
            bindings::req_op_REQ_OP_FLUSH => Self::Flush,
            bindings::req_op_REQ_OP_DISCARD => Self::Discard,
            bindings::req_op_REQ_OP_SECURE_ERASE => Self::SecureErase,
            bindings::req_op_REQ_OP_WRITE_ZEROES => Self::WriteZeroes,
            _ => Self::Other,
        }
    }
}

/// The part of `bi_opf` that is the operation.
const REQ_OP_MASK: u32 = (1 << bindings::REQ_OP_BITS) - 1;

/// A block I/O request that the driver owns.
///
/// There are three states:
///
/// 1. The bio is owned by its submitter, the block layer or another driver. There is no `Bio`.
/// 2. The bio was submitted to the driver. There is exactly one `Bio`.
/// 3. The bio was ended with [`Bio::end`]. There is no `Bio`, and the submitter may have freed it.
///
/// A `Bio` that is dropped without [`Bio::end`] ends with an I/O error.
///
/// # Invariants
///
/// - `self.0` points to a valid `struct bio` in state 2, whose fields only `self` may change.
/// - If the bio carries data, `bi_io_vec` and `bi_iter` describe its pages. If it is a read, the
///   pages are valid for writes by the C copy routines; if it is a write, for reads.
/// - `bi_bdev` is valid, unless the bio was made by a unit test.
#[repr(transparent)]
pub struct Bio(NonNull<bindings::bio>);

// SAFETY: A bio can be ended in any context.
unsafe impl Send for Bio {}

// SAFETY: All methods on `&self` read fields which do not change while the driver owns the bio, or
// copy its data with C routines which tolerate concurrent changes.
unsafe impl Sync for Bio {}

impl Bio {
    /// Takes the ownership of a submitted bio.
    ///
    /// # Safety
    ///
    /// `bio` must point to a valid `struct bio` that was just passed to the driver.
    #[inline]
    pub(crate) unsafe fn from_raw(bio: *mut bindings::bio) -> Self {
        // INVARIANT: By the safety requirements, the bio is in state 2.
        // SAFETY: A valid pointer is not null.
        Self(unsafe { NonNull::new_unchecked(bio) })
    }

    /// Returns the operation and its flags.
    #[inline]
    fn opf(&self) -> bindings::blk_opf_t {
        // SAFETY: By the type invariants, the bio is valid and nobody changes its fields.
        unsafe { (*self.0.as_ptr()).bi_opf }
    }

    /// Returns the position of the data.
    #[inline]
    fn iter(&self) -> bindings::bvec_iter {
        // SAFETY: As in `opf`.
        unsafe { (*self.0.as_ptr()).bi_iter }
    }

    /// Returns what the bio asks for.
    #[inline]
    pub fn operation(&self) -> Operation {
        Operation::from_opf(self.opf())
    }

    /// Tells whether the write cache is to be flushed before the operation.
    #[inline]
    pub fn is_preflush(&self) -> bool {
        self.opf() & (1 << bindings::req_flag_bits___REQ_PREFLUSH) != 0
    }

    /// Tells whether the data must be durable when the bio is ended (forced unit access).
    #[inline]
    pub fn is_fua(&self) -> bool {
        self.opf() & (1 << bindings::req_flag_bits___REQ_FUA) != 0
    }

    /// Returns the first sector, in units of 512 bytes from the start of the disk.
    #[inline]
    pub fn sector(&self) -> u64 {
        self.iter().bi_sector
    }

    /// Returns the number of bytes that the operation covers.
    #[inline]
    pub fn len_bytes(&self) -> u32 {
        self.iter().bi_size
    }

    /// Tells whether the bio carries data.
    #[inline]
    pub fn has_data(&self) -> bool {
        self.len_bytes() != 0 && matches!(self.operation(), Operation::Read | Operation::Write)
    }

    /// Returns the data, piece by piece.
    ///
    /// There is none if the operation is neither [`Operation::Read`] nor [`Operation::Write`].
    #[inline]
    pub fn segments(&self) -> Segments<'_> {
        // SAFETY: By the type invariants, the bio is valid and nobody changes its fields.
        let bvecs = unsafe { (*self.0.as_ptr()).bi_io_vec };

        // SAFETY: By the type invariants, `bvecs` and the position describe the data, if there is
        // any, for as long as `self` is borrowed.
        unsafe { Segments::new(bvecs, self.iter(), self.operation()) }
    }

    /// Copies all data between the bio and `memory`, in which the disk starts at offset zero.
    ///
    /// # Errors
    ///
    /// - [`EOPNOTSUPP`]: the operation is neither a read nor a write.
    /// - [`ERANGE`]: a part of the data is outside of `memory`.
    /// - [`EROFS`]: the operation is a write and `memory` may only be read.
    /// - [`EIO`]: the memory is poisoned; a part of the data was copied.
    #[inline]
    pub fn transfer(&self, memory: &DeviceMemory) -> Result {
        let offset_bytes = sectors_to_bytes(self.sector())?;
        // CAST: `usize` has at least 32 bits.
        let len_bytes = self.len_bytes() as usize;

        match self.operation() {
            Operation::Read => {
                let mut src = memory.at(offset_bytes, len_bytes)?.cast_const();

                for segment in self.segments() {
                    // SAFETY: The lengths of the segments add up to `len_bytes`, for which `at`
                    // checked the range at `src`. The operation is a read.
                    unsafe { segment.fill(src) }?;

                    // SAFETY: As above, the result is at most one byte past the range.
                    src = unsafe { src.add(segment.len_bytes()) };
                }
            }
            Operation::Write => {
                let mut dst = memory.at_mut(offset_bytes, len_bytes)?;

                for segment in self.segments() {
                    // SAFETY: The lengths of the segments add up to `len_bytes`, for which `at_mut`
                    // checked the range at `dst`. The operation is a write.
                    unsafe { segment.drain(dst) };

                    // SAFETY: As above, the result is at most one byte past the range.
                    dst = unsafe { dst.add(segment.len_bytes()) };
                }
            }
            _ => return Err(EOPNOTSUPP),
        }

        Ok(())
    }

    /// Counts the bio in the statistics of the disk, if they are switched on.
    ///
    /// The time that is counted ends when the returned value is dropped.
    #[inline]
    pub fn account(&self) -> Accounting<'_> {
        // SAFETY: By the type invariants, the bio and its block device are valid; a block device
        // that is open has a disk, which has a queue.
        let features = unsafe {
            let disk = (*(*self.0.as_ptr()).bi_bdev).bd_disk;

            (*(*disk).queue).limits.features
        };

        Accounting {
            bio: self,
            start_jiffies: (features & bindings::BLK_FEAT_IO_STAT != 0).then(|| {
                // SAFETY: By the type invariants, the bio is valid.
                unsafe { bindings::bio_start_io_acct(self.0.as_ptr()) }
            }),
        }
    }

    /// Ends the bio and gives it back to its submitter.
    ///
    /// The submitter sees the block status for `result`; an error for which there is none is an I/O
    /// error to it.
    #[inline]
    pub fn end(self, result: Result) {
        let bio = ManuallyDrop::new(self).0.as_ptr();

        if let Err(error) = result {
            // SAFETY: By the type invariants, the bio is valid and only we change its fields.
            unsafe { (*bio).bi_status = bindings::errno_to_blk_status(error.to_errno()) };
        }

        // SAFETY: By the type invariants, the bio is valid and was not yet ended. As `self` is not
        // dropped, this is the only time.
        unsafe { bindings::bio_endio(bio) };
    }
}

impl Drop for Bio {
    fn drop(&mut self) {
        // INVARIANT: `self` is being dropped, so there is exactly one `Bio` that is used.
        Self(self.0).end(Err(EIO));
    }
}

/// Returns the number of bytes in `sectors` sectors, or [`ERANGE`] if it does not fit in `usize`.
#[inline]
fn sectors_to_bytes(sectors: u64) -> Result<usize> {
    match sectors.checked_mul(1 << bindings::SECTOR_SHIFT) {
        Some(bytes) => bytes.try_into().map_err(|_| ERANGE),
        None => Err(ERANGE),
    }
}

/// The time during which a [`Bio`] counts as in flight.
#[must_use = "the time ends when this is dropped"]
pub struct Accounting<'a> {
    bio: &'a Bio,
    /// The start of the time, in jiffies, if statistics are switched on.
    start_jiffies: Option<c_ulong>,
}

impl Drop for Accounting<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(start) = self.start_jiffies {
            let bio = self.bio.0.as_ptr();

            // SAFETY: By the type invariants of `Bio`, the bio and its block device are valid.
            // `start` came from `bio_start_io_acct()`.
            unsafe { bindings::bio_end_io_acct_remapped(bio, start, (*bio).bi_bdev) };
        }
    }
}
