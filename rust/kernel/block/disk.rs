// SPDX-License-Identifier: GPL-2.0

//! Bio-based disks.
//!
//! A bio-based disk is given each [`Bio`] as it was submitted, without a queue, a scheduler or
//! hardware contexts. This fits a device that answers at once, such as memory. A driver
//!
//! 1. implements [`Operations`],
//! 2. allocates the disk with [`Disk::new`],
//! 3. if its memory allows DAX, links a DAX device with [`Disk::link_dax`],
//! 4. shows the disk to the world with [`Disk::register`],
//! 5. drops the [`Registration`] to remove the disk.
//!
//! A disk can be removed while it is in use. It is then dead: all I/O fails, nobody can open it
//! again. The data of the driver and the struct pages of the DAX device stay until the last user
//! has closed the disk. A user that has a disk open also pins the module of its driver.
//!
//! The following is out of scope: partitions, `ioctl`, polled I/O, zoned disks, discard,
//! changes of the capacity, and attributes in sysfs.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

#[cfg(CONFIG_FS_DAX)]
use crate::dax;
use crate::{
    bindings,
    block::bio::Bio,
    device,
    error::{
        from_result,
        VTABLE_DEFAULT_ERROR, //
    },
    fmt,
    module::this_module,
    prelude::*,
    types::ForeignOwnable, //
};
use core::marker::PhantomData;

mod inner;

use self::inner::{
    data_of,
    free_disk,
    Inner, //
};

crate::impl_flags!(
    /// What a disk can do.
    #[derive(Debug, Clone, Default, Copy, PartialEq, Eq)]
    pub struct Features(u32);

    /// One thing that a disk can do.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Feature {
        /// Writes are durable only after a flush; the driver serves [`Bio::is_preflush`].
        WriteCache = bindings::BLK_FEAT_WRITE_CACHE,

        /// The driver serves [`Bio::is_fua`].
        Fua = bindings::BLK_FEAT_FUA,

        /// The driver ends each bio before [`Operations::submit_bio`] returns.
        Synchronous = bindings::BLK_FEAT_SYNCHRONOUS,

        /// I/O is counted from the start (see [`Bio::account`]). It can also be switched on later.
        IoStat = bindings::BLK_FEAT_IO_STAT,

        /// The driver never waits in [`Operations::submit_bio`].
        NoWait = bindings::BLK_FEAT_NOWAIT,
    }
);

/// What a disk looks like.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The capacity in sectors of 512 bytes.
    pub capacity_sectors: u64,
    /// The smallest unit of I/O in bytes: a power of two from 512 on.
    pub logical_block_bytes: u32,
    /// The smallest unit that the device writes atomically, in bytes: a power of two.
    pub physical_block_bytes: u32,
    /// Whether the disk refuses to be written.
    ///
    /// The block layer does not stop every write; the driver must refuse those that it is given.
    pub read_only: bool,
    /// What the disk can do.
    pub features: Features,
}

impl Default for Options {
    fn default() -> Self {
        // CAST: The size of a page fits in 32 bits.
        const PAGE_BYTES: u32 = crate::page::PAGE_SIZE as u32;

        Self {
            capacity_sectors: 0,
            logical_block_bytes: PAGE_BYTES,
            physical_block_bytes: PAGE_BYTES,
            read_only: false,
            features: Features::empty(),
        }
    }
}

/// For what a disk is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Only to read.
    ReadOnly,
    /// To read and write, or only to write.
    ReadWrite,
}

/// The data of a driver, borrowed for a callback.
type Borrowed<'a, T> = <<T as Operations>::Data as ForeignOwnable>::Borrowed<'a>;

/// The operations of a bio-based disk.
#[vtable]
pub trait Operations: Sized + 'static {
    /// What the driver keeps for each disk.
    type Data: ForeignOwnable + Send + Sync;

    /// Starts or does what `bio` asks for.
    ///
    /// Called in the context of the submitter, by many at a time.
    fn submit_bio(data: Borrowed<'_, Self>, bio: Bio);

    /// Called when somebody opens the disk; an error makes that fail.
    ///
    /// Openings and closings of one disk do not overlap. The disk must not be removed from here.
    fn open(_data: Borrowed<'_, Self>, _mode: OpenMode) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Called when somebody closes the disk, once for each successful opening.
    ///
    /// It may be called after the [`Registration`] was dropped.
    fn release(_data: Borrowed<'_, Self>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// A disk that is not yet visible.
///
/// # Examples
///
/// ```
/// use kernel::block::{
///     bio::{Bio, Operation},
///     disk,
/// };
///
/// /// A disk that forgets what is written and has nothing to read.
/// struct Sink;
///
/// #[vtable]
/// impl disk::Operations for Sink {
///     type Data = ();
///
///     fn submit_bio(_data: (), bio: Bio) {
///         let result = match bio.operation() {
///             Operation::Write => Ok(()),
///             _ => Err(EOPNOTSUPP),
///         };
///         bio.end(result);
///     }
/// }
///
/// let options = disk::Options {
///     capacity_sectors: 2048,
///     features: disk::Feature::Synchronous | disk::Feature::NoWait,
///     ..disk::Options::default()
/// };
///
/// // The name must fit in the 32 bytes of `gendisk::disk_name`.
/// let long = "a-name-that-is-longer-than-it-may-be";
/// let disk = disk::Disk::<Sink>::new(&options, fmt!("{long}"), ());
/// assert_eq!(disk.err(), Some(ENAMETOOLONG));
///
/// let disk = disk::Disk::<Sink>::new(&options, fmt!("sink{}", 0), ())?;
/// let registration = disk.register(None)?;
/// // Now there is /dev/sink0.
/// drop(registration);
/// # Ok::<(), Error>(())
/// ```
///
/// # Invariants
///
/// The payload of `inner` was made from a `T::Data`, and its operations are those of `T`.
pub struct Disk<T: Operations> {
    inner: Inner,
    _operations: PhantomData<T>,
}

// SAFETY: All that can be done with a disk can be done from any task; the data is `Send`.
unsafe impl<T: Operations> Send for Disk<T> {}

// SAFETY: Through `&self` the disk can be marked dead from any task; the data is `Sync`.
unsafe impl<T: Operations> Sync for Disk<T> {}

impl<T: Operations> Disk<T> {
    /// Allocates a disk.
    ///
    /// `name` is the name of the device node; `!` in it stands for `/`.
    ///
    /// # Errors
    ///
    /// - [`ENAMETOOLONG`]: the name has more than 31 bytes.
    /// - [`EINVAL`]: the name is empty, or a block size is not possible.
    /// - [`ENOMEM`]: no memory.
    pub fn new(options: &Options, name: fmt::Arguments<'_>, data: T::Data) -> Result<Self> {
        // SAFETY:
        // - `drop_data` is the function for the pointer, which is not passed to it elsewhere.
        // - The callbacks of `Vtable<T>` want a payload made from a `T::Data`.
        let inner = unsafe {
            Inner::new(
                options,
                name,
                Vtable::<T>::build(),
                data.into_foreign(),
                Vtable::<T>::drop_data,
            )
        }?;

        // INVARIANT: The payload was made from `data`, with the operations of `T`.
        Ok(Self {
            inner,
            _operations: PhantomData,
        })
    }

    /// Lets file systems on the disk use `device`, which must hold the same data.
    ///
    /// # Errors
    ///
    /// - [`EBUSY`]: the disk has a DAX device already.
    /// - [`ENOMEM`]: no memory.
    #[cfg(CONFIG_FS_DAX)]
    pub fn link_dax(&mut self, device: dax::Device) -> Result {
        self.inner.link_dax(device)
    }

    /// Shows the disk to the world.
    ///
    /// `parent` is the device in whose directory in sysfs the disk appears.
    ///
    /// # Errors
    ///
    /// - [`EEXIST`]: there is a disk of that name.
    /// - Any other error of `device_add_disk()`.
    pub fn register(mut self, parent: Option<&device::Device>) -> Result<Registration<T>> {
        self.inner.add(parent)?;

        Ok(Registration { _disk: self })
    }
}

/// A disk that the world can see.
///
/// When it is dropped, the disk is removed, whether it is in use or not:
///
/// 1. file systems no longer find the DAX device,
/// 2. the DAX device is ended,
/// 3. the disk is removed, which waits until no [`Operations::submit_bio`] runs anymore,
/// 4. when the last user has closed the disk, the data of the driver is dropped,
/// 5. and then the struct pages of the DAX device are returned.
///
/// The last two steps happen later, in the context of that user, if there is one. A driver that
/// keeps bios to end them after `submit_bio` has returned must end them by itself: the block layer
/// does not wait for them, and they must not refer to the data of the disk.
pub struct Registration<T: Operations> {
    _disk: Disk<T>,
}

/// Makes the table of operations for a [`Disk`].
struct Vtable<T: Operations>(PhantomData<T>);

impl<T: Operations> Vtable<T> {
    const VTABLE: bindings::block_device_operations = bindings::block_device_operations {
        submit_bio: Some(Self::submit_bio),
        open: if T::HAS_OPEN { Some(Self::open) } else { None },
        release: if T::HAS_RELEASE {
            Some(Self::release)
        } else {
            None
        },
        free_disk: Some(free_disk),
        owner: this_module::<T::OwnerModule>().as_ptr(),
        ..pin_init::zeroed()
    };

    const fn build() -> &'static bindings::block_device_operations {
        &Self::VTABLE
    }

    /// Drops the data of a driver.
    ///
    /// # Safety
    ///
    /// `data` must have come from `T::Data::into_foreign()`, and this must be the only call for it.
    unsafe fn drop_data(data: *mut c_void) {
        // SAFETY: The safety requirements are those of this function.
        drop(unsafe { T::Data::from_foreign(data) });
    }

    /// Borrows the data of the driver of `disk`.
    ///
    /// # Safety
    ///
    /// `disk` must be the disk of a [`Disk<T>`], and stay valid for `'a`.
    #[inline]
    unsafe fn data<'a>(disk: *mut bindings::gendisk) -> Borrowed<'a, T> {
        // SAFETY: By the safety requirements, the disk is valid.
        let data = unsafe { data_of(disk) };

        // SAFETY: `data` came from `into_foreign()`. It is given back after the last reference to
        // the disk has gone, which is not for `'a`.
        unsafe { T::Data::borrow(data) }
    }

    /// # Safety
    ///
    /// `bio` must have been submitted to the disk of a [`Disk<T>`].
    unsafe extern "C" fn submit_bio(bio: *mut bindings::bio) {
        // SAFETY: By the safety requirements, the bio, its block device and its disk are valid. The
        // block layer keeps the disk for the duration of this call.
        let data = unsafe { Self::data((*(*bio).bi_bdev).bd_disk) };

        // SAFETY: The block layer gives us the bio.
        T::submit_bio(data, unsafe { Bio::from_raw(bio) });
    }

    /// # Safety
    ///
    /// `disk` must be the disk of a [`Disk<T>`], and stay valid for the duration of this call.
    unsafe extern "C" fn open(disk: *mut bindings::gendisk, mode: bindings::blk_mode_t) -> c_int {
        from_result(|| {
            let mode = if mode & bindings::BLK_OPEN_WRITE != 0 {
                OpenMode::ReadWrite
            } else {
                OpenMode::ReadOnly
            };

            // SAFETY: By the safety requirements, the disk is valid.
            T::open(unsafe { Self::data(disk) }, mode)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `disk` must be the disk of a [`Disk<T>`], and stay valid for the duration of this call.
    unsafe extern "C" fn release(disk: *mut bindings::gendisk) {
        // SAFETY: By the safety requirements, the disk is valid.
        T::release(unsafe { Self::data(disk) });
    }
}
