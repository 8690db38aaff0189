// SPDX-License-Identifier: GPL-2.0

//! The part of a disk that does not depend on its driver.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use super::Options;
use crate::{
    bindings,
    device,
    error::{
        from_err_ptr,
        to_result, //
    },
    fmt::{
        self,
        Write, //
    },
    prelude::*,
    str::NullTerminatedFormatter,
    sync::{
        Arc,
        Completion, //
    },
    types::ScopeGuard, //
};
#[cfg(CONFIG_FS_DAX)]
use crate::{
    dax,
    memremap::PageMap, //
};
use core::ptr::{
    null_mut,
    NonNull, //
};

/// What belongs to a disk until its last reference has gone.
///
/// # Invariants
///
/// - `data` may be passed to `drop_data` once.
/// - `owner` is null or a module to which this holds a reference.
struct Payload {
    data: *mut c_void,
    drop_data: unsafe fn(*mut c_void),
    /// Pages that users of the disk may have mapped.
    #[cfg(CONFIG_FS_DAX)]
    pages: Option<Arc<PageMap>>,
    /// The module whose code `drop_data` is.
    owner: *mut bindings::module,
    /// Completed when all of the above is gone.
    released: Arc<Completion>,
}

impl Payload {
    /// Drops the payload and what it holds.
    fn release(this: KBox<Self>) {
        let owner = this.owner;
        let released = this.released.clone();

        drop(this);

        released.complete_all();
        // SAFETY: By the type invariants, `owner` is null or we own a reference to it. It is given
        // up last, because `drop_data` is code of the module; this function is not.
        unsafe { bindings::module_put(owner) };
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, `drop_data` may be called once, which is here.
        unsafe { (self.drop_data)(self.data) };
    }
}

/// A disk without the types of its driver.
///
/// # Invariants
///
/// - `disk` is a valid disk without a request queue of its own, to which `self` holds a reference.
/// - Its private data is a [`Payload`] that exists as long as `self`.
/// - `added` tells whether the disk was added with `device_add_disk()`.
pub(super) struct Inner {
    #[cfg(CONFIG_FS_DAX)]
    host: Option<dax::Host>,
    disk: NonNull<bindings::gendisk>,
    added: bool,
    released: Arc<Completion>,
}

impl Inner {
    /// Allocates a disk.
    ///
    /// # Safety
    ///
    /// - `data` must be good for one call of `drop_data`, and is used up in any case.
    /// - The operations in `fops` must accept disks whose private data is a [`Payload`] with this
    ///   `data`; its `free_disk` must be [`free_disk`].
    pub(super) unsafe fn new(
        options: &Options,
        name: fmt::Arguments<'_>,
        fops: &'static bindings::block_device_operations,
        data: *mut c_void,
        drop_data: unsafe fn(*mut c_void),
    ) -> Result<Self> {
        let data = ScopeGuard::new_with_data(data, |data| {
            // SAFETY: By the safety requirements, `data` may be passed to `drop_data` once. If the
            // guard is dismissed, it is not passed here.
            unsafe { drop_data(data) }
        });

        let released = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
        let payload = KBox::<Payload>::new_uninit(GFP_KERNEL)?;
        let disk = ScopeGuard::new_with_data(alloc_disk(options)?, |disk| {
            // SAFETY: The reference is the one from the allocation. As the disk was not added,
            // `free_disk` is not called.
            unsafe { bindings::put_disk(disk.as_ptr()) }
        });
        // SAFETY: The disk is valid and nobody else knows it.
        unsafe { set_name(*disk, name) }?;

        // INVARIANT: By the safety requirements, `data` is good for one call. `owner` is null.
        let payload = KBox::write(
            payload,
            Payload {
                data: data.dismiss(),
                drop_data,
                #[cfg(CONFIG_FS_DAX)]
                pages: None,
                owner: null_mut(),
                released: released.clone(),
            },
        );

        // SAFETY: The disk is valid and nobody else knows it.
        unsafe {
            (*disk.as_ptr()).fops = fops;
            (*disk.as_ptr()).private_data = KBox::into_raw(payload).cast();
            (*disk.as_ptr()).flags |= bindings::GENHD_FL_NO_PART as c_int;
        }
        // SAFETY: The disk is valid.
        unsafe { bindings::set_capacity(disk.as_ptr(), options.capacity_sectors) };
        // SAFETY: The disk is valid.
        unsafe { bindings::set_disk_ro(disk.as_ptr(), options.read_only) };

        // INVARIANT: All was set above; the disk was not added.
        Ok(Self {
            #[cfg(CONFIG_FS_DAX)]
            host: None,
            disk: disk.dismiss(),
            added: false,
            released,
        })
    }

    /// Returns the disk, which is valid as long as `self`.
    #[inline]
    pub(super) fn as_raw(&self) -> *mut bindings::gendisk {
        self.disk.as_ptr()
    }

    /// Returns what belongs to the disk.
    ///
    /// By the type invariants, it is valid as long as `self`. The callbacks only read `data`, which
    /// never changes; the other fields are ours.
    #[inline]
    fn payload(&self) -> *mut Payload {
        // SAFETY: By the type invariants, the disk is valid.
        unsafe { (*self.as_raw()).private_data }.cast()
    }

    /// Links a DAX device to the disk, which was not yet added.
    #[cfg(CONFIG_FS_DAX)]
    pub(super) fn link_dax(&mut self, device: dax::Device) -> Result {
        if self.host.is_some() {
            return Err(EBUSY);
        }

        // SAFETY: By the type invariants, the disk is valid. `host` is dropped before it is put.
        let host = unsafe { dax::Host::new(device, self.as_raw()) }?;
        // SAFETY: The payload is valid, and the field is ours.
        unsafe { (*self.payload()).pages = Some(host.pages().clone()) };
        self.host = Some(host);

        // SAFETY: The disk is valid and has a queue. As it was not added, nobody else uses it.
        unsafe {
            (*(*self.as_raw()).queue).limits.features |= bindings::BLK_FEAT_DAX;
        }
        Ok(())
    }

    /// Adds the disk.
    pub(super) fn add(&mut self, parent: Option<&device::Device>) -> Result {
        let parent = parent.map_or(null_mut(), |parent| parent.as_raw());

        // SAFETY: By the type invariants, the disk is valid; it was not yet added. `parent` is null
        // or valid. There are no attributes.
        to_result(unsafe { bindings::device_add_disk(parent, self.as_raw(), null_mut()) })?;

        // INVARIANT: The disk was added.
        self.added = true;
        Ok(())
    }

    /// Removes the disk, which was added.
    ///
    /// # Safety
    ///
    /// This must be the last thing that is done with `self`.
    unsafe fn remove(&mut self) {
        let disk = self.as_raw();

        // SAFETY: By the type invariants, the disk is valid and was added.
        unsafe { bindings::del_gendisk(disk) };

        // From now on nobody can open the disk, but somebody may have it open. The last one to
        // close it gives up the reference to the module before the one to the disk, so the payload
        // needs a reference of its own.
        //
        // SAFETY: The disk is valid, and so are its operations, which are in the module.
        let owner = unsafe { (*(*disk).fops).owner };
        // SAFETY: `owner` is null or valid, as we are called by it.
        let pinned = unsafe { bindings::try_module_get(owner) };
        if pinned {
            // INVARIANT: `owner` is null or we just got a reference to it.
            // SAFETY: The payload is valid until the disk is put below, and the field is ours.
            unsafe { (*self.payload()).owner = owner };
        }

        // SAFETY: The reference is ours, and by the safety requirements not used again.
        unsafe { bindings::put_disk(disk) };

        // A module that is being unloaded has no users, so nobody has the disk open, but the last
        // one may still be on its way out.
        if !pinned {
            self.released.wait_for_completion();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // No file system shall find the DAX device of a disk that is on its way out.
        #[cfg(CONFIG_FS_DAX)]
        drop(self.host.take());

        if self.added {
            // SAFETY: `self` is being dropped.
            unsafe { self.remove() };
            return;
        }

        let payload = self.payload();

        // SAFETY: The reference is ours and not used again. As the disk was not added, `free_disk`
        // is not called.
        unsafe { bindings::put_disk(self.as_raw()) };

        // SAFETY: By the type invariants, this is the payload. Nobody uses it any more.
        Payload::release(unsafe { KBox::from_raw(payload) });
    }
}

/// Allocates a disk that has no name and no operations.
fn alloc_disk(options: &Options) -> Result<NonNull<bindings::gendisk>> {
    let mut limits = bindings::queue_limits {
        logical_block_size: options.logical_block_bytes,
        physical_block_size: options.physical_block_bytes,
        // A bio of any size is as good as another.
        max_hw_sectors: u32::MAX,
        features: options.features.into(),
        ..pin_init::zeroed()
    };

    // SAFETY: `limits` is valid, and the key exists for ever.
    let disk = from_err_ptr(unsafe {
        bindings::__blk_alloc_disk(
            &mut limits,
            bindings::NUMA_NO_NODE,
            crate::static_lock_class!().as_ptr(),
        )
    })?;

    NonNull::new(disk).ok_or(ENOMEM)
}

/// Sets the name of a disk.
///
/// # Safety
///
/// `disk` must be valid, and nobody else may use it.
unsafe fn set_name(disk: NonNull<bindings::gendisk>, name: fmt::Arguments<'_>) -> Result {
    // SAFETY: By the safety requirements, the field is valid and only we use it.
    let buf = unsafe { &mut (*disk.as_ptr()).disk_name };

    NullTerminatedFormatter::new(buf)
        .ok_or(EINVAL)?
        .write_fmt(name)
        .map_err(|_| ENAMETOOLONG)?;

    // SAFETY: As above.
    if unsafe { (*disk.as_ptr()).disk_name[0] } == 0 {
        return Err(EINVAL);
    }
    Ok(())
}

/// Returns the data with which a disk was made.
///
/// # Safety
///
/// `disk` must be valid, and its private data a [`Payload`] for which [`free_disk`] was not called.
#[inline]
pub(super) unsafe fn data_of(disk: *mut bindings::gendisk) -> *mut c_void {
    // SAFETY: By the safety requirements, the payload is valid; the field never changes.
    unsafe { (*(*disk).private_data.cast::<Payload>()).data }
}

/// Drops what belongs to a disk, of which the last reference has gone.
///
/// This is not code of the driver's module, which may be freed before this returns.
///
/// # Safety
///
/// The private data of `disk` must be a [`Payload`] that nobody uses any more.
pub(super) unsafe extern "C" fn free_disk(disk: *mut bindings::gendisk) {
    // SAFETY: By the safety requirements, this is a payload, which is ours now.
    Payload::release(unsafe { KBox::from_raw((*disk).private_data.cast()) });
}
