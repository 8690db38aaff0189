// SPDX-License-Identifier: GPL-2.0

//! Mappings of device memory that the CPU uses like RAM.
//!
//! Persistent memory and its virtual kin are ranges of physical addresses that hold data and can be
//! read, written and executed like RAM, but that do not belong to the page allocator. A driver
//!
//! 1. gets the range from its device, as a [`DeviceRange`],
//! 2. claims it, or a part of it, with [`Reservation::new`],
//! 3. maps it, either with a [`PageMap`], which makes struct pages and so allows DAX, or with a
//!    [`MemRemap`], which works for a range of any alignment,
//! 4. copies from and to it through [`DeviceMemory`], to which both kinds of mapping dereference.
//!
//! Somebody else, such as the host of a virtual machine, may change the memory at any time.
//! Therefore no Rust reference to it is ever made; all accesses are copies by C functions.
//!
//! The following is out of scope: mappings other than write-back, several ranges in one mapping,
//! memory for the struct pages taken from the device (altmap), and stores that reach a persistence
//! domain (see `memcpy_flushcache()`): the owner of the device flushes by its own means.
//!
//! C headers: [`include/linux/memremap.h`](srctree/include/linux/memremap.h),
//! [`include/linux/io.h`](srctree/include/linux/io.h)

use crate::{
    bindings,
    io::PhysAddr,
    prelude::*, //
};
use core::{
    ops::Deref,
    ptr::NonNull, //
};

#[cfg(CONFIG_ZONE_DEVICE)]
mod page_map;
mod reservation;

#[cfg(CONFIG_ZONE_DEVICE)]
pub use self::page_map::PageMap;
pub use self::reservation::{
    DeviceRange,
    Reservation, //
};

/// What the kernel may do with a range of device memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The memory is only read. Every attempt to change it fails with [`EROFS`].
    ReadOnly,
    /// The memory is read and written.
    ReadWrite,
}

/// A mapped range of device memory.
///
/// Its owner is a [`PageMap`] or a [`MemRemap`].
///
/// # Invariants
///
/// - `addr` is valid for reads of `len_bytes` bytes by the C copy routines as long as `self` is
///   borrowed; if `access` is [`Access::ReadWrite`], also for writes.
/// - `phys_addr` is the physical address behind `addr`; that of the last byte does not overflow.
pub struct DeviceMemory {
    addr: NonNull<u8>,
    len_bytes: usize,
    phys_addr: PhysAddr,
    access: Access,
}

// SAFETY: The mapping is valid in every task and on every CPU.
unsafe impl Send for DeviceMemory {}

// SAFETY: All methods on `&self` copy with C routines which tolerate concurrent changes of the
// memory; the fields never change.
unsafe impl Sync for DeviceMemory {}

impl DeviceMemory {
    /// Makes a stand-in for a mapping, for unit tests.
    ///
    /// # Safety
    ///
    /// Nobody else may use `buf` while the result exists.
    #[cfg(any(CONFIG_RUST_MEMREMAP_KUNIT_TEST, CONFIG_RUST_BIO_KUNIT_TEST))]
    pub(crate) unsafe fn from_buf(buf: &mut [u8], phys_addr: PhysAddr, access: Access) -> Self {
        // INVARIANT: By the safety requirements, the buffer is valid as long as the result.
        Self {
            addr: NonNull::from(&mut *buf).cast(),
            len_bytes: buf.len(),
            phys_addr,
            access,
        }
    }

    /// Returns the length of the range in bytes.
    #[inline]
    pub fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// Returns the physical address of the first byte.
    #[inline]
    pub fn phys_addr(&self) -> PhysAddr {
        self.phys_addr
    }

    /// Returns what the kernel may do with the memory.
    #[inline]
    pub fn access(&self) -> Access {
        self.access
    }

    /// Returns the address of the byte at `offset_bytes`.
    ///
    /// The pointer is valid for reads of `len_bytes` bytes for as long as `self` is borrowed. This
    /// is the only place that computes an address in the mapping.
    ///
    /// # Errors
    ///
    /// [`ERANGE`]: the range `offset_bytes..offset_bytes + len_bytes` is not within the mapping.
    #[inline]
    pub(crate) fn at(&self, offset_bytes: usize, len_bytes: usize) -> Result<*mut u8> {
        if offset_bytes > self.len_bytes || len_bytes > self.len_bytes - offset_bytes {
            return Err(ERANGE);
        }

        // SAFETY: `offset_bytes` is at most `self.len_bytes`, so the result is within the mapping
        // or one byte past its end.
        Ok(unsafe { self.addr.as_ptr().add(offset_bytes) })
    }

    /// Returns the address of the byte at `offset_bytes`, to write `len_bytes` bytes.
    ///
    /// # Errors
    ///
    /// - [`EROFS`]: the memory may only be read.
    /// - [`ERANGE`]: as for [`Self::at`].
    #[inline]
    pub(crate) fn at_mut(&self, offset_bytes: usize, len_bytes: usize) -> Result<*mut u8> {
        if self.access == Access::ReadOnly {
            return Err(EROFS);
        }

        self.at(offset_bytes, len_bytes)
    }

    /// Copies from the memory at `offset_bytes` into `buf`.
    ///
    /// # Errors
    ///
    /// - [`ERANGE`]: the range is not within the mapping.
    /// - [`EIO`]: the hardware reported the memory as poisoned; `buf` holds a part of the data.
    pub fn read_into(&self, offset_bytes: usize, buf: &mut [u8]) -> Result {
        // One copy reaches no further than 32 bits.
        const STEP_BYTES: usize = 1 << 30;

        let mut src = self.at(offset_bytes, buf.len())?.cast_const();

        for part in buf.chunks_mut(STEP_BYTES) {
            // SAFETY:
            // - By the check in `at`, `src` is valid for reads of the rest of `buf`.
            // - `part` is valid for writes.
            // CAST: The length is at most `STEP_BYTES`.
            unsafe { copy_from_device(part.as_mut_ptr(), src, part.len() as u32) }?;

            // SAFETY: The parts add up to the length that was checked, so the result is at most one
            // byte past the range.
            src = unsafe { src.add(part.len()) };
        }
        Ok(())
    }

    /// Copies `buf` to the memory at `offset_bytes`.
    ///
    /// # Errors
    ///
    /// - [`EROFS`]: the memory may only be read.
    /// - [`ERANGE`]: the range is not within the mapping.
    pub fn write_from(&self, offset_bytes: usize, buf: &[u8]) -> Result {
        let dst = self.at_mut(offset_bytes, buf.len())?;

        // SAFETY:
        // - By the checks in `at_mut`, `dst` is valid for writes of `buf.len()` bytes.
        // - `buf` is valid for reads of `buf.len()` bytes.
        unsafe { copy_to_device(dst, buf.as_ptr(), buf.len()) };
        Ok(())
    }

    /// Fills `len_bytes` bytes of the memory at `offset_bytes` with zeros.
    ///
    /// # Errors
    ///
    /// - [`EROFS`]: the memory may only be read.
    /// - [`ERANGE`]: the range is not within the mapping.
    pub fn zero(&self, offset_bytes: usize, len_bytes: usize) -> Result {
        let dst = self.at_mut(offset_bytes, len_bytes)?;

        // SAFETY: By the checks in `at_mut`, `dst` is valid for writes of `len_bytes` bytes.
        unsafe { bindings::memset(dst.cast(), 0, len_bytes) };
        Ok(())
    }
}

/// Copies `len_bytes` bytes out of device memory.
///
/// Where the architecture can, the copy survives memory that the hardware reports as poisoned; then
/// the result is [`EIO`]. If source and destination overlap, as in direct I/O from a DAX mapping of
/// the same memory, any bytes may end up in the destination.
///
/// # Safety
///
/// - `src` must be valid for reads of `len_bytes` bytes by C.
/// - `dst` must be valid for writes of `len_bytes` bytes by C.
#[inline]
pub(crate) unsafe fn copy_from_device(dst: *mut u8, src: *const u8, len_bytes: u32) -> Result {
    // SAFETY: The safety requirements are those of this function.
    // CAST: The length is a 32-bit number on x86, and wider elsewhere.
    #[allow(clippy::as_underscore)]
    let left = unsafe { bindings::copy_mc_to_kernel(dst.cast(), src.cast(), len_bytes as _) };

    if left != 0 {
        return Err(EIO);
    }
    Ok(())
}

/// Copies `len_bytes` bytes into device memory.
///
/// If source and destination overlap, any bytes may end up in the destination.
///
/// # Safety
///
/// - `dst` must be valid for writes of `len_bytes` bytes by C.
/// - `src` must be valid for reads of `len_bytes` bytes by C.
#[inline]
pub(crate) unsafe fn copy_to_device(dst: *mut u8, src: *const u8, len_bytes: usize) {
    // SAFETY: The safety requirements are those of this function.
    unsafe { bindings::memcpy(dst.cast(), src.cast(), len_bytes) };
}

/// A write-back mapping without struct pages.
///
/// The memory can be copied, but neither be mapped by user space nor be the target of direct I/O.
///
/// # Invariants
///
/// `memory.addr` came from `memremap()` and was not yet passed to `memunmap()`.
pub struct MemRemap {
    memory: DeviceMemory,
    _reservation: Reservation,
}

impl MemRemap {
    /// Maps the reserved range.
    ///
    /// # Errors
    ///
    /// - [`ENOMEM`]: the range could not be mapped.
    /// - [`EOVERFLOW`]: the range is larger than the address space of the kernel.
    pub fn new(reservation: Reservation) -> Result<Self> {
        let phys_addr = reservation.start();
        let len_bytes = reservation.len_bytes().try_into().map_err(|_| EOVERFLOW)?;

        // SAFETY: `memremap()` can be called with any range; this one is exclusively ours.
        let addr =
            unsafe { bindings::memremap(phys_addr, len_bytes, bindings::MEMREMAP_WB as c_ulong) };
        let addr = NonNull::new(addr.cast::<u8>()).ok_or(ENOMEM)?;

        // INVARIANT:
        // - `addr` is the address of a write-back mapping of the whole range; it stays until `self`
        //   is dropped.
        // - By the invariants of `Reservation`, the physical addresses do not overflow.
        let memory = DeviceMemory {
            addr,
            len_bytes,
            phys_addr,
            access: reservation.access(),
        };

        // INVARIANT: `addr` came from `memremap()` above.
        Ok(Self {
            memory,
            _reservation: reservation,
        })
    }
}

impl Deref for MemRemap {
    type Target = DeviceMemory;

    #[inline]
    fn deref(&self) -> &DeviceMemory {
        &self.memory
    }
}

impl Drop for MemRemap {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, the address came from `memremap()`. Nobody else has it.
        unsafe { bindings::memunmap(self.memory.addr.as_ptr().cast()) };
    }
}

#[cfg(CONFIG_RUST_MEMREMAP_KUNIT_TEST)]
#[macros::kunit_tests(rust_memremap)]
mod tests {
    use super::*;

    const LEN_BYTES: usize = 64;

    fn device_memory(buf: &mut [u8], access: Access) -> DeviceMemory {
        // SAFETY: In every test below, `buf` outlives the result and is not used meanwhile.
        unsafe { DeviceMemory::from_buf(buf, 0x4000_0000, access) }
    }

    #[test]
    fn addresses_stay_within_the_range() {
        let mut buf = [0u8; LEN_BYTES];
        let memory = device_memory(&mut buf, Access::ReadWrite);

        for (offset, len) in [(0, 0), (0, LEN_BYTES), (LEN_BYTES, 0), (LEN_BYTES - 1, 1)] {
            let addr = memory.at(offset, len).map(|ptr| ptr.addr());
            assert_eq!(addr, Ok(memory.addr.addr().get() + offset));
        }
    }

    #[test]
    fn addresses_outside_are_refused() {
        let mut buf = [0u8; LEN_BYTES];
        let memory = device_memory(&mut buf, Access::ReadWrite);

        for (offset, len) in [
            (0, LEN_BYTES + 1),
            (LEN_BYTES, 1),
            (LEN_BYTES + 1, 0),
            (1, usize::MAX),
            (usize::MAX, 1),
            (usize::MAX, usize::MAX),
        ] {
            assert_eq!(memory.at(offset, len), Err(ERANGE));
            assert_eq!(memory.at_mut(offset, len), Err(ERANGE));
        }
    }

    #[test]
    fn copies_arrive_where_they_should() -> Result {
        let mut buf = [0u8; LEN_BYTES];
        let memory = device_memory(&mut buf, Access::ReadWrite);

        memory.write_from(3, b"segment")?;
        let mut back = [0xffu8; 9];
        memory.read_into(2, &mut back)?;
        assert_eq!(&back, b"\0segment\0");

        memory.zero(4, 5)?;
        memory.read_into(2, &mut back)?;
        assert_eq!(&back, b"\0s\0\0\0\0\0t\0");
        Ok(())
    }

    #[test]
    fn read_only_memory_is_not_changed() -> Result {
        let mut buf = [0x5au8; LEN_BYTES];
        let memory = device_memory(&mut buf, Access::ReadOnly);

        assert_eq!(memory.write_from(0, b"x"), Err(EROFS));
        assert_eq!(memory.zero(0, LEN_BYTES), Err(EROFS));

        let mut back = [0u8; LEN_BYTES];
        memory.read_into(0, &mut back)?;
        assert_eq!(back, [0x5au8; LEN_BYTES]);
        Ok(())
    }
}
