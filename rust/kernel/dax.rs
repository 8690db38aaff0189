// SPDX-License-Identifier: GPL-2.0

//! Direct access (DAX) devices.
//!
//! A DAX device lends the struct pages of a [`PageMap`] to file systems: they read, write and map
//! them without a copy in the page cache. The device answers all requests of the DAX core itself; a
//! driver only
//!
//! 1. makes the device with [`Device::new`],
//! 2. links it to a disk with [`Disk::link_dax`], so that a file system that mounts the disk finds
//!    it. From then on the disk owns the device and takes it down in the right order.
//!
//! The following is out of scope: DAX devices for user space (`/dev/daxX.Y`), and recovery from
//! poisoned memory by writing (`recovery_write`).
//!
//! C header: [`include/linux/dax.h`](srctree/include/linux/dax.h)
//!
//! [`Disk::link_dax`]: crate::block::disk::Disk::link_dax

use crate::{
    bindings,
    bits::bit_u32,
    error::{
        from_err_ptr,
        from_result, //
    },
    memremap::{
        DeviceMemory,
        PageMap, //
    },
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    },
    types::ScopeGuard, //
};
use core::ptr::{
    null_mut,
    NonNull, //
};

crate::impl_flags!(
    /// What holds for the memory of a DAX device.
    #[derive(Debug, Clone, Default, Copy, PartialEq, Eq)]
    pub struct Flags(u32);

    /// One property of the memory of a DAX device.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Flag {
        /// Stores are durable once they have left the CPU: `MAP_SYNC` is possible. Also right for
        /// memory that is only read.
        Synchronous = bit_u32(0),

        /// Stores are durable only once they were written back from the caches of the CPU.
        WriteCache = bit_u32(1),

        /// Writes by the kernel go around the caches of the CPU.
        BypassCache = bit_u32(2),
    }
);

/// A DAX device over the whole of a [`PageMap`].
///
/// When it is dropped, no new request is served, running ones are waited for, and the file system
/// is told if it wants to know. Existing mappings of user space stay until they are unmapped.
///
/// # Invariants
///
/// - `dax` came from `alloc_dax()` and was not yet passed to `kill_dax()` and `put_dax()`.
/// - `pages.dax` is `dax`.
pub struct Device {
    dax: NonNull<bindings::dax_device>,
    pages: Arc<PageMap>,
}

// SAFETY: `kill_dax()` and `put_dax()` can be called from any task.
unsafe impl Send for Device {}

// SAFETY: There is no method that changes anything through `&self`.
unsafe impl Sync for Device {}

impl Device {
    /// Makes a DAX device for `pages`.
    ///
    /// # Errors
    ///
    /// - [`EBUSY`]: there is a DAX device for `pages` already.
    /// - [`EOPNOTSUPP`]: the data caches of this machine do not allow DAX.
    /// - [`ENOMEM`]: no memory or no minor number.
    pub fn new(pages: Arc<PageMap>, flags: Flags) -> Result<Self> {
        let private: *const PageMap = &*pages;

        // SAFETY: The private data is a `PageMap`, as `OPERATIONS` want it. It exists until after
        // `kill_dax()`, which ends all requests.
        let dax =
            from_err_ptr(unsafe { bindings::alloc_dax(private.cast_mut().cast(), &OPERATIONS) })?;
        let dax = ScopeGuard::new_with_data(dax, |dax| {
            // SAFETY: `dax` came from `alloc_dax()` and nobody else knows it.
            unsafe { destroy(dax) }
        });

        // SAFETY: `dax` is valid, and no file system can know it yet.
        unsafe { set_flags(*dax, flags) };

        pages
            .dax
            .cmpxchg(null_mut(), *dax, Full)
            .map_err(|_| EBUSY)?;

        // INVARIANT: `dax` came from `alloc_dax()` above and is in `pages.dax` now.
        Ok(Self {
            dax: NonNull::new(dax.dismiss()).ok_or(ENXIO)?,
            pages,
        })
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // ORDERING: A memory failure that has read the old value is within `dax_read_lock()`, so
        // `kill_dax()`, which synchronizes with it, waits for its end. Pairs with `notify_failure`.
        self.pages.dax.store(null_mut(), Relaxed);

        // SAFETY: By the type invariants, the device is neither killed nor put.
        unsafe { destroy(self.dax.as_ptr()) };
    }
}

/// Ends all requests to `dax` and gives up our reference to it.
///
/// # Safety
///
/// `dax` must have come from `alloc_dax()`, and this must be the only call for it.
unsafe fn destroy(dax: *mut bindings::dax_device) {
    // SAFETY: By the safety requirements, `dax` is valid and alive.
    unsafe { bindings::kill_dax(dax) };

    // SAFETY: The reference is the one that `alloc_dax()` gave us.
    unsafe { bindings::put_dax(dax) };
}

/// Sets the properties of a new DAX device.
///
/// # Safety
///
/// `dax` must be valid.
unsafe fn set_flags(dax: *mut bindings::dax_device, flags: Flags) {
    // Reads shall fail, not crash the machine, where memory is poisoned.
    //
    // SAFETY: By the safety requirements, `dax` is valid.
    unsafe { bindings::set_dax_nomc(dax) };

    if flags.contains(Flag::BypassCache) {
        // SAFETY: As above.
        unsafe { bindings::set_dax_nocache(dax) };
    }
    if flags.contains(Flag::Synchronous) {
        // SAFETY: As above.
        unsafe { bindings::set_dax_synchronous(dax) };
    }

    // SAFETY: As above.
    unsafe { bindings::dax_write_cache(dax, flags.contains(Flag::WriteCache)) };
}

/// A DAX device that a file system finds through a disk.
///
/// Dropping it first cuts the link and then drops the device.
///
/// # Invariants
///
/// `device` is the DAX host of `disk`.
#[cfg(CONFIG_BLOCK)]
pub(crate) struct Host {
    disk: *mut bindings::gendisk,
    device: Device,
}

#[cfg(CONFIG_BLOCK)]
// SAFETY: `dax_remove_host()` can be called from any task; `disk` is only a key.
unsafe impl Send for Host {}

#[cfg(CONFIG_BLOCK)]
// SAFETY: There is no method that changes anything through `&self`.
unsafe impl Sync for Host {}

#[cfg(CONFIG_BLOCK)]
impl Host {
    /// Links `device` to `disk`.
    ///
    /// # Safety
    ///
    /// `disk` must be valid for as long as the returned value exists.
    pub(crate) unsafe fn new(device: Device, disk: *mut bindings::gendisk) -> Result<Self> {
        // SAFETY: By the safety requirements, `disk` is valid until the link is cut. By the type
        // invariants, `device.dax` is.
        crate::error::to_result(unsafe { bindings::dax_add_host(device.dax.as_ptr(), disk) })?;

        // INVARIANT: The link was made above.
        Ok(Self { disk, device })
    }

    /// Returns the pages that the device lends.
    pub(crate) fn pages(&self) -> &Arc<PageMap> {
        &self.device.pages
    }
}

#[cfg(CONFIG_BLOCK)]
impl Drop for Host {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, the link exists.
        unsafe { bindings::dax_remove_host(self.disk) };
    }
}

static OPERATIONS: bindings::dax_operations = bindings::dax_operations {
    direct_access: Some(direct_access),
    zero_page_range: Some(zero_page_range),
    ..pin_init::zeroed()
};

/// Translates a page offset of the device and returns the number of pages from there to the end.
///
/// # Safety
///
/// - `dax` must come from [`Device::new`], and the caller must be within `dax_read_lock()`.
/// - `kaddr` and `pfn` must each be null or valid for writes.
unsafe extern "C" fn direct_access(
    dax: *mut bindings::dax_device,
    pgoff: c_ulong,
    _nr_pages: c_long,
    _mode: bindings::dax_access_mode,
    kaddr: *mut *mut c_void,
    pfn: *mut c_ulong,
) -> c_long {
    from_result(|| {
        // SAFETY: By the safety requirements, `dax` is valid and the lock is held for longer than
        // the result is used.
        let pages = unsafe { private(dax) }.ok_or(ENXIO)?;
        let place = translate(pages, pgoff)?;

        if !kaddr.is_null() {
            // SAFETY: By the safety requirements, `kaddr` is valid for writes.
            unsafe { *kaddr = place.addr.cast() };
        }
        if !pfn.is_null() {
            // SAFETY: By the safety requirements, `pfn` is valid for writes.
            unsafe { *pfn = place.pfn };
        }

        // CAST: The number of pages in an address space fits in `long`.
        Ok(place.nr_pages as c_long)
    })
}

/// Returns the pages that a DAX device lends, or [`None`] if it was killed.
///
/// # Safety
///
/// `dax` must come from [`Device::new`], and the caller must be within `dax_read_lock()` for `'a`.
#[inline]
unsafe fn private<'a>(dax: *mut bindings::dax_device) -> Option<&'a PageMap> {
    // SAFETY: By the safety requirements, `dax` is valid.
    let pages = unsafe { bindings::dax_get_private(dax) }.cast::<PageMap>();

    // SAFETY: `Device::new` set the private data. The `PageMap` exists until `kill_dax()` has
    // waited for the `dax_read_unlock()` of the caller.
    unsafe { pages.as_ref() }
}

/// Where a page of device memory is, and how many follow.
struct Place {
    addr: *mut u8,
    pfn: c_ulong,
    /// The number of pages from here to the end, at least one.
    nr_pages: usize,
}

/// Finds the page at page offset `pgoff`.
///
/// # Errors
///
/// [`ERANGE`]: the offset is not within `memory`.
#[inline]
fn translate(memory: &DeviceMemory, pgoff: usize) -> Result<Place> {
    let len_pages = memory.len_bytes() >> bindings::PAGE_SHIFT;
    if pgoff >= len_pages {
        return Err(ERANGE);
    }

    Ok(Place {
        addr: memory.at(pgoff << bindings::PAGE_SHIFT, PAGE_SIZE)?,
        // CAST: The number of a page that has a struct page fits in `unsigned long`.
        // OVERFLOW: By the invariants of `DeviceMemory`, the range does not overflow.
        pfn: ((memory.phys_addr() >> bindings::PAGE_SHIFT) as c_ulong).wrapping_add(pgoff),
        nr_pages: len_pages - pgoff,
    })
}

/// Fills pages of the device with zeros.
///
/// # Safety
///
/// `dax` must come from [`Device::new`], and the caller must be within `dax_read_lock()`.
unsafe extern "C" fn zero_page_range(
    dax: *mut bindings::dax_device,
    pgoff: c_ulong,
    nr_pages: usize,
) -> c_int {
    from_result(|| {
        // SAFETY: As in `direct_access`.
        let pages = unsafe { private(dax) }.ok_or(ENXIO)?;
        let offset_bytes = pages_to_bytes(pgoff)?;
        let len_bytes = pages_to_bytes(nr_pages)?;

        pages.zero(offset_bytes, len_bytes)?;

        // SAFETY: `dax` is valid, and `zero` found the range within the mapping.
        unsafe { bindings::dax_flush(dax, pages.at(offset_bytes, len_bytes)?.cast(), len_bytes) };
        Ok(0)
    })
}

/// Returns the number of bytes in `nr_pages` pages, or [`ERANGE`] if it does not fit in `usize`.
fn pages_to_bytes(nr_pages: usize) -> Result<usize> {
    nr_pages.checked_mul(PAGE_SIZE).ok_or(ERANGE)
}

/// Tells the file system on the DAX device in `dax`, if there is one, that memory has failed.
///
/// Returns 0 or a negative error number for the memory management.
pub(crate) fn notify_failure(
    dax: &Atomic<*mut bindings::dax_device>,
    offset_bytes: u64,
    len_bytes: u64,
    mf_flags: c_int,
) -> c_int {
    // SAFETY: The lock may be taken in any context that can sleep, and nests.
    let id = unsafe { bindings::dax_read_lock() };

    // ORDERING: Within the lock a value that is not null is a device for which `kill_dax()` has not
    // ended. Pairs with the store in `Device::drop`.
    let device = dax.load(Relaxed);
    let ret = if device.is_null() {
        EOPNOTSUPP.to_errno()
    } else {
        // SAFETY: `device` is valid until `kill_dax()` has ended, which waits for the unlock below.
        unsafe { bindings::dax_holder_notify_failure(device, offset_bytes, len_bytes, mf_flags) }
    };

    // SAFETY: `id` came from `dax_read_lock()` above.
    unsafe { bindings::dax_read_unlock(id) };
    ret
}

#[cfg(CONFIG_RUST_MEMREMAP_KUNIT_TEST)]
#[macros::kunit_tests(rust_dax)]
mod tests {
    use super::*;
    use crate::memremap::Access;

    const PHYS_ADDR: u64 = 0x1_0000_0000;

    /// Calls `f` with three pages of memory.
    fn with_memory(f: impl FnOnce(&DeviceMemory)) -> Result {
        let mut buf = KVVec::<u8>::from_elem(0, 3 * PAGE_SIZE, GFP_KERNEL)?;
        // SAFETY: `buf` is not used until the end of this function.
        let memory = unsafe { DeviceMemory::from_buf(&mut buf, PHYS_ADDR, Access::ReadOnly) };

        f(&memory);
        Ok(())
    }

    #[test]
    fn pages_are_found_up_to_the_last() -> Result {
        with_memory(|memory| {
            let start = memory.at(0, 0).map_or(0, |ptr| ptr.addr());

            for pgoff in 0..3 {
                let place = translate(memory, pgoff);

                assert!(place.is_ok_and(|place| {
                    place.addr.addr() == start + pgoff * PAGE_SIZE
                        && place.pfn == (PHYS_ADDR >> bindings::PAGE_SHIFT) as c_ulong + pgoff
                        && place.nr_pages == 3 - pgoff
                }));
            }
        })
    }

    #[test]
    fn pages_beyond_the_end_are_refused() -> Result {
        with_memory(|memory| {
            for pgoff in [3, 4, usize::MAX >> bindings::PAGE_SHIFT, usize::MAX] {
                assert_eq!(translate(memory, pgoff).err(), Some(ERANGE));
            }
        })
    }

    #[test]
    fn page_counts_that_do_not_fit_are_refused() {
        assert_eq!(pages_to_bytes(3), Ok(3 * PAGE_SIZE));
        assert_eq!(pages_to_bytes(usize::MAX / PAGE_SIZE + 1), Err(ERANGE));
    }

    #[test]
    fn failures_without_a_device_are_left_to_the_memory_management() {
        let dax = Atomic::new(null_mut());

        assert_eq!(notify_failure(&dax, 0, 1, 0), EOPNOTSUPP.to_errno());
    }
}
