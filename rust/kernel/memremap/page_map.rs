// SPDX-License-Identifier: GPL-2.0

//! Device memory with struct pages.
//!
//! C header: [`include/linux/memremap.h`](srctree/include/linux/memremap.h)

use super::{
    reservation::is_aligned,
    DeviceMemory,
    Reservation, //
};
use crate::{
    bindings,
    error::from_err_ptr,
    io::{
        PhysAddr,
        ResourceSize, //
    },
    prelude::*,
    sync::atomic::Atomic,
    types::Opaque, //
};
use core::{
    ops::Deref,
    ptr::{
        null_mut,
        NonNull, //
    },
};

/// A mapping with struct pages of type `MEMORY_DEVICE_FS_DAX`.
///
/// The pages can be mapped by user space and be the target of direct I/O. Who lends them out, such
/// as a DAX device, keeps the mapping in an [`Arc`](crate::sync::Arc).
///
/// Dropping the mapping returns the struct pages. This waits, without a limit, until nobody refers
/// to any of them.
///
/// The struct pages are allocated on the memory node of the CPU that makes the mapping.
///
/// # Invariants
///
/// - `pgmap` is initialized by `memremap_pages()` and was not yet passed to `memunmap_pages()`.
/// - `dax` is null or a DAX device that was not yet passed to `kill_dax()`.
#[pin_data(PinnedDrop)]
pub struct PageMap {
    memory: DeviceMemory,
    #[pin]
    pgmap: Opaque<bindings::dev_pagemap>,
    /// The DAX device that hears of memory failures.
    pub(crate) dax: Atomic<*mut bindings::dax_device>,
    _reservation: Reservation,
}

// SAFETY: `memunmap_pages()` can be called from any task.
unsafe impl Send for PageMap {}

// SAFETY: `pgmap` is only used by C, which does its own locking; `dax` is atomic; the other fields
// never change.
unsafe impl Sync for PageMap {}

impl PageMap {
    /// Returns the alignment in bytes which the start and the length of a range must have.
    #[inline]
    pub fn align_bytes() -> ResourceSize {
        // SAFETY: The function only returns a constant.
        // CAST: An `unsigned long` has at most 64 bits, and where it has that many,
        // `ResourceSize` has too.
        unsafe { bindings::memremap_compat_align() as ResourceSize }
    }

    /// Maps the reserved range.
    ///
    /// # Errors
    ///
    /// - [`EINVAL`]: start or length is not a multiple of [`Self::align_bytes`], or the kernel
    ///   cannot address the range.
    /// - [`ENOMEM`]: no memory for the struct pages.
    /// - Any other error of `memremap_pages()`.
    pub fn new(reservation: Reservation) -> impl PinInit<Self, Error> {
        let start = reservation.start();
        let len_bytes = reservation.len_bytes();
        let access = reservation.access();

        try_pin_init!(&this in Self {
            _reservation: reservation,
            dax: Atomic::new(null_mut()),
            pgmap <- pin_init::init_zeroed(),
            // The mapping comes last: from then on `pagemap_memory_failure` may be called.
            memory: {
                if !is_aligned(start, len_bytes, Self::align_bytes()) {
                    return Err(EINVAL);
                }

                // SAFETY: `this` points to `Self` under construction, where `pgmap` is initialized.
                let pgmap = unsafe { &raw const (*this.as_ptr()).pgmap };

                // SAFETY:
                // - `pgmap` is zeroed and, as a field of a pinned structure, does not move.
                // - `start` and `len_bytes` are a range that is not empty, does not overflow and is
                //   reserved for us.
                let addr = unsafe { map_pages(Opaque::cast_into(pgmap), start, len_bytes) }?;

                // INVARIANT:
                // - The whole range is in the direct map until `memunmap_pages()`.
                // - By the invariants of `Reservation`, the physical addresses do not overflow.
                // CAST: A range that is in the direct map fits in `usize`.
                DeviceMemory { addr, len_bytes: len_bytes as usize, phys_addr: start, access }
            },
        })
    }
}

/// Makes the struct pages of a range and returns the address of its mapping.
///
/// # Safety
///
/// - `pgmap` must point to a zeroed `struct dev_pagemap` that is the field of that name of a
///   [`PageMap`] and stays in its place until it is passed to `memunmap_pages()`.
/// - The range must not be empty, must not overflow and must be reserved for the caller.
unsafe fn map_pages(
    pgmap: *mut bindings::dev_pagemap,
    start: PhysAddr,
    len_bytes: ResourceSize,
) -> Result<NonNull<u8>> {
    // SAFETY: By the safety requirements, `pgmap` is valid and nobody else knows it.
    unsafe {
        (*pgmap).type_ = bindings::memory_type_MEMORY_DEVICE_FS_DAX;
        (*pgmap).ops = &PAGEMAP_OPS;
        (*pgmap).owner = pgmap.cast();
        (*pgmap).nr_range = 1;
        *(*pgmap).__bindgen_anon_1.range.as_mut() = bindings::range {
            start,
            end: start + (len_bytes - 1),
        };
    }

    // SAFETY: `pgmap` is filled in as `memremap_pages()` wants it, and stays where it is.
    let addr = from_err_ptr(unsafe { bindings::memremap_pages(pgmap, bindings::NUMA_NO_NODE) })?;

    NonNull::new(addr.cast()).ok_or(ENXIO)
}

impl Deref for PageMap {
    type Target = DeviceMemory;

    #[inline]
    fn deref(&self) -> &DeviceMemory {
        &self.memory
    }
}

#[pinned_drop]
impl PinnedDrop for PageMap {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariants, `pgmap` was made by `memremap_pages()` and not yet
        // unmapped.
        unsafe { bindings::memunmap_pages(self.pgmap.get()) };
    }
}

static PAGEMAP_OPS: bindings::dev_pagemap_ops = bindings::dev_pagemap_ops {
    #[cfg(CONFIG_FS_DAX)]
    memory_failure: Some(pagemap_memory_failure),
    ..pin_init::zeroed()
};

/// Tells the file system on the DAX device that memory has failed.
///
/// Without a DAX device, or without a file system that wants to know, the result is `-EOPNOTSUPP`;
/// then the memory management kills the processes that use the page.
///
/// # Safety
///
/// `pgmap` must be the field of that name of a [`PageMap`] which stays mapped during the call, and
/// the pages must belong to it.
#[cfg(CONFIG_FS_DAX)]
unsafe extern "C" fn pagemap_memory_failure(
    pgmap: *mut bindings::dev_pagemap,
    pfn: c_ulong,
    nr_pages: c_ulong,
    mf_flags: c_int,
) -> c_int {
    // SAFETY: By the safety requirements, `pgmap` is a field of a `PageMap`.
    let this = unsafe { crate::container_of!(Opaque::cast_from(pgmap), PageMap, pgmap) };

    // SAFETY: The range was set before the pages were made and never changes.
    let start = unsafe { (*pgmap).__bindgen_anon_1.range.as_ref().start };

    // SAFETY: `dax` was initialized before the pages were made, and the `PageMap` exists for the
    // duration of this call. The other fields are not touched.
    let dax = unsafe { &(*this).dax };

    crate::dax::notify_failure(
        dax,
        // CAST: A page frame number fits in 64 bits.
        ((pfn as u64) << bindings::PAGE_SHIFT).wrapping_sub(start),
        // CAST: As above.
        (nr_pages as u64) << bindings::PAGE_SHIFT,
        mf_flags,
    )
}
