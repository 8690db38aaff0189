// SPDX-License-Identifier: GPL-2.0

//! Claims to ranges of device memory.

use crate::{
    fmt,
    io::{
        resource::{
            Flags,
            Region, //
        },
        PhysAddr,
        Resource,
        ResourceSize, //
    },
    memremap::Access,
    prelude::*,
    str::CString, //
};

/// A range of physical addresses that a device says is its memory.
///
/// Only the abstraction of a bus makes one, so a driver cannot name other addresses. It need not be
/// true: a range that is not free is refused by [`Reservation::new`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRange {
    start: PhysAddr,
    len_bytes: ResourceSize,
}

impl DeviceRange {
    /// # Safety
    ///
    /// If nobody else has claimed them, the `len_bytes` bytes at `start` must be memory that may be
    /// mapped write-back, read and written, for as long as the driver is bound to the device that
    /// the range is from.
    pub unsafe fn new(start: PhysAddr, len_bytes: ResourceSize) -> Self {
        Self { start, len_bytes }
    }

    /// Returns the first physical address.
    #[inline]
    pub fn start(&self) -> PhysAddr {
        self.start
    }

    /// Returns the length in bytes.
    #[inline]
    pub fn len_bytes(&self) -> ResourceSize {
        self.len_bytes
    }

    /// Returns `len_bytes` bytes of the range, from `offset_bytes` on.
    ///
    /// # Errors
    ///
    /// [`ERANGE`]: they are not all within the range, or have no address.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::memremap::DeviceRange;
    ///
    /// // SAFETY: Nobody claims the range.
    /// let range = unsafe { DeviceRange::new(0x1_0000_0000, 0x4000) };
    ///
    /// let part = range.part(0x1000, 0x3000)?;
    /// assert_eq!((part.start(), part.len_bytes()), (0x1_0000_1000, 0x3000));
    /// assert_eq!(range.part(0x1000, 0x3001), Err(ERANGE));
    /// assert_eq!(range.part(u64::MAX, 1), Err(ERANGE));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn part(&self, offset_bytes: ResourceSize, len_bytes: ResourceSize) -> Result<Self> {
        let end_bytes = offset_bytes.checked_add(len_bytes).ok_or(ERANGE)?;
        if end_bytes > self.len_bytes {
            return Err(ERANGE);
        }

        Ok(Self {
            start: self.start.checked_add(offset_bytes).ok_or(ERANGE)?,
            len_bytes,
        })
    }
}

/// An exclusive claim to a range of device memory.
///
/// The claim is a line in `/proc/iomem`. It ends when the reservation, or the mapping into which it
/// went, is dropped.
///
/// # Examples
///
/// ```
/// use kernel::memremap::{Access, DeviceRange, Reservation};
///
/// // An empty range and one that leaves the address space are refused.
/// // SAFETY: There is no memory in an empty range.
/// let empty = unsafe { DeviceRange::new(0, 0) };
/// let empty = Reservation::new(empty, Access::ReadOnly, fmt!("{}", "doctest"));
/// assert_eq!(empty.err(), Some(EINVAL));
///
/// // SAFETY: The range cannot be claimed.
/// let huge = unsafe { DeviceRange::new(u64::MAX - 1, 4096) };
/// let huge = Reservation::new(huge, Access::ReadOnly, fmt!("{}", "doctest"));
/// assert_eq!(huge.err(), Some(ERANGE));
/// # Ok::<(), Error>(())
/// ```
///
/// # Invariants
///
/// `region` is not empty, and the address of its last byte does not overflow.
pub struct Reservation {
    region: Region,
    access: Access,
}

impl Reservation {
    /// Claims `range`.
    ///
    /// `name` is what `/proc/iomem` shows.
    ///
    /// # Errors
    ///
    /// - [`EINVAL`]: the range is empty.
    /// - [`ERANGE`]: the range ends after the last address that the CPU has.
    /// - [`EBUSY`]: a part of the range is RAM or claimed by somebody else.
    /// - [`ENOMEM`]: no memory for the name.
    pub fn new(range: DeviceRange, access: Access, name: fmt::Arguments<'_>) -> Result<Self> {
        let iomem = Resource::iomem();
        let last = range.len_bytes.checked_sub(1).ok_or(EINVAL)?;
        let last = range.start.checked_add(last).ok_or(ERANGE)?;
        // The size is zero if the space ends where the type does.
        if last > iomem.size().wrapping_sub(1) {
            return Err(ERANGE);
        }

        let mut flags = Flags::IORESOURCE_MEM;
        if access == Access::ReadOnly {
            flags = flags | Flags::IORESOURCE_READONLY;
        }
        let name = CString::try_from_fmt(name)?;
        let region = iomem
            .request_region(range.start, range.len_bytes, name, flags)
            .ok_or(EBUSY)?;

        // INVARIANT: Both conditions were checked above.
        Ok(Self { region, access })
    }

    /// Returns the first physical address of the range.
    #[inline]
    pub fn start(&self) -> PhysAddr {
        self.region.start()
    }

    /// Returns the length of the range in bytes.
    #[inline]
    pub fn len_bytes(&self) -> ResourceSize {
        self.region.size()
    }

    /// Returns what the kernel may do with the range.
    #[inline]
    pub fn access(&self) -> Access {
        self.access
    }

    /// Tells whether start and length are aligned as [`PageMap::new`](super::PageMap::new) wants
    /// them.
    #[cfg(CONFIG_ZONE_DEVICE)]
    pub fn is_page_mappable(&self) -> bool {
        is_aligned(
            self.start(),
            self.len_bytes(),
            super::PageMap::align_bytes(),
        )
    }
}

/// Tells whether `start` and `len_bytes` are both multiples of `align_bytes`.
#[cfg(any(CONFIG_ZONE_DEVICE, CONFIG_RUST_MEMREMAP_KUNIT_TEST))]
pub(super) fn is_aligned(
    start: PhysAddr,
    len_bytes: ResourceSize,
    align_bytes: ResourceSize,
) -> bool {
    start.is_multiple_of(align_bytes) && len_bytes.is_multiple_of(align_bytes)
}

#[cfg(CONFIG_RUST_MEMREMAP_KUNIT_TEST)]
#[macros::kunit_tests(rust_reservation)]
mod tests {
    use super::*;

    #[test]
    fn reservations_exclude_each_other() -> Result {
        // The last addresses that the CPU has are free on the machines that run these tests.
        let top = Resource::iomem().size().wrapping_sub(0x2000);
        // SAFETY: The range is claimed, but never mapped.
        let range = unsafe { DeviceRange::new(top, 0x2000) };
        let reserve = |offset, access| {
            let part = range.part(offset, 0x1000)?;
            Reservation::new(part, access, crate::prelude::fmt!("kunit"))
        };

        let first = reserve(0, Access::ReadOnly)?;
        assert_eq!(first.start(), top);
        assert_eq!(first.len_bytes(), 0x1000);
        assert_eq!(reserve(0, Access::ReadOnly).err(), Some(EBUSY));
        reserve(0x1000, Access::ReadWrite)?;

        drop(first);
        reserve(0, Access::ReadWrite)?;
        Ok(())
    }

    #[test]
    fn alignment_covers_start_and_length() {
        const ALIGN: ResourceSize = 2 << 20;

        assert!(is_aligned(0, ALIGN, ALIGN));
        assert!(is_aligned(4 * ALIGN, 3 * ALIGN, ALIGN));
        assert!(!is_aligned(0x1000, ALIGN, ALIGN));
        assert!(!is_aligned(ALIGN, ALIGN + 0x1000, ALIGN));
    }
}
