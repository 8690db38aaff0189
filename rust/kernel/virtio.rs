// SPDX-License-Identifier: GPL-2.0

//! Abstractions for the virtio bus.
//!
//! A driver
//!
//! 1. names the devices that it drives in [`Driver::ID_TABLE`] and the feature bits that it
//!    understands in [`Driver::FEATURES`],
//! 2. reads what the device says of itself in [`Driver::probe`] through [`Device::config`],
//!    [`Device::has_feature`] and [`Device::shm_region`],
//! 3. makes the virtqueues that it uses with [`Virtqueue::new`] and asks the device for them with
//!    [`QueueSet::find`],
//! 4. keeps the [`QueueSet`] in its private data. The queues work until the device is unbound;
//!    afterwards every operation on a [`Virtqueue`] that is still referenced fails with `ENODEV`.
//!
//! The following is out of scope: separate feature tables for legacy devices, the `validate` and
//! `scan` callbacks, per-queue reset and interrupt affinity.
//!
//! C header: [`include/linux/virtio.h`](srctree/include/linux/virtio.h)

use crate::{
    bindings,
    device,
    device_id::RawDeviceId,
    driver,
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    types::Opaque,
    ThisModule, //
};
use core::{
    marker::PhantomData,
    mem::offset_of,
    ptr::{
        addr_of_mut,
        NonNull, //
    },
};

mod config;
mod queue;
mod queue_set;
mod request;
mod shared_config;

pub use self::config::{
    ConfigSpace,
    ConfigValue, //
};
pub use self::queue::{
    Handler,
    RequestOf,
    Virtqueue,
    MAX_BLOCKS, //
};
pub use self::queue_set::{
    AnyQueue,
    QueueSet, //
};
pub use self::request::Request;
pub use self::shared_config::SharedConfig;

/// An adapter for the registration of virtio drivers.
pub struct Adapter<T: Driver>(T);

// SAFETY:
// - `bindings::virtio_driver` is a C type declared as `repr(C)`.
// - `T::Data` is the type of the driver's device private data.
// - `struct virtio_driver` embeds a `struct device_driver`.
// - `DEVICE_DRIVER_OFFSET` is the correct byte offset to the embedded `struct device_driver`.
unsafe impl<T: Driver> driver::DriverLayout for Adapter<T> {
    type DriverType = bindings::virtio_driver;
    type DriverData<'bound> = T::Data<'bound>;
    const DEVICE_DRIVER_OFFSET: usize = offset_of!(Self::DriverType, driver);
}

// SAFETY: A call to `unregister` for a given instance of `DriverType` is guaranteed to be valid if
// a preceding call to `register` has been successful.
unsafe impl<T: Driver> driver::RegistrationOps for Adapter<T> {
    unsafe fn register(
        vdrv: &Opaque<Self::DriverType>,
        name: &'static CStr,
        module: &'static ThisModule,
    ) -> Result {
        // CAST: A driver has a handful of feature bits, a `u32` holds their number.
        let feature_count = T::FEATURES.len() as u32;

        // SAFETY: It's safe to set the fields of `struct virtio_driver` on initialization.
        unsafe {
            (*vdrv.get()).driver.name = name.as_char_ptr();
            (*vdrv.get()).probe = Some(Self::probe_callback);
            (*vdrv.get()).remove = Some(Self::remove_callback);
            (*vdrv.get()).id_table = T::ID_TABLE.as_ptr();
            (*vdrv.get()).feature_table = T::FEATURES.as_ptr();
            (*vdrv.get()).feature_table_size = feature_count;
            (*vdrv.get()).config_changed = Some(Self::config_changed_callback);
            if T::HAS_FREEZE {
                (*vdrv.get()).freeze = Some(Self::freeze_callback);
                (*vdrv.get()).restore = Some(Self::restore_callback);
                (*vdrv.get()).reset_prepare = Some(Self::freeze_callback);
                (*vdrv.get()).reset_done = Some(Self::restore_callback);
            }
        }

        // SAFETY: `vdrv` is guaranteed to be a valid `DriverType`.
        to_result(unsafe { bindings::__register_virtio_driver(vdrv.get(), module.as_ptr()) })
    }

    unsafe fn unregister(vdrv: &Opaque<Self::DriverType>) {
        // SAFETY: `vdrv` is guaranteed to be a valid `DriverType`.
        unsafe { bindings::unregister_virtio_driver(vdrv.get()) }
    }
}

impl<T: Driver> Adapter<T> {
    extern "C" fn probe_callback(vdev: *mut bindings::virtio_device) -> c_int {
        // SAFETY: The virtio bus only ever calls the probe callback with a valid pointer to a
        // `struct virtio_device`.
        //
        // INVARIANT: `vdev` is valid for the duration of `probe_callback()`.
        let vdev = unsafe { &*vdev.cast::<Device<device::CoreInternal<'_>>>() };

        queue_set::prepare(vdev);
        from_result(|| {
            let data = T::probe(vdev);

            vdev.as_ref()
                .set_drvdata(data)
                .inspect_err(|_| queue_set::abandon(vdev))?;
            Ok(0)
        })
    }

    extern "C" fn remove_callback(vdev: *mut bindings::virtio_device) {
        // SAFETY: The virtio bus only ever calls the remove callback with a valid pointer to a
        // `struct virtio_device`.
        //
        // INVARIANT: `vdev` is valid for the duration of `remove_callback()`.
        let vdev = unsafe { &*vdev.cast::<Device<device::CoreInternal<'_>>>() };

        // SAFETY: `remove_callback` is only ever called after a successful call to
        // `probe_callback`, hence it's guaranteed that `Device::set_drvdata()` has been called
        // and stored a `Pin<KBox<T::Data<'_>>>`.
        let data = unsafe { vdev.as_ref().drvdata_borrow::<T::Data<'_>>() };

        T::unbind(vdev, data);

        // The bus wants the device reset when this callback returns. The private data, which owns
        // the queues, is dropped only later, so they are shut down here.
        queue_set::shutdown(vdev);
    }

    extern "C" fn config_changed_callback(vdev: *mut bindings::virtio_device) {
        // SAFETY: The virtio bus only ever calls this callback with a valid pointer to a
        // `struct virtio_device`, and only while it is bound: between the end of a successful
        // probe and the start of the removal.
        //
        // INVARIANT: `vdev` is valid and bound for the duration of `config_changed_callback()`.
        let vdev = unsafe { &*vdev.cast::<Device<device::CoreInternal<'_>>>() };

        // SAFETY: As above, a successful call to `probe_callback` stored a
        // `Pin<KBox<T::Data<'_>>>`.
        let data = unsafe { vdev.as_ref().drvdata_borrow::<T::Data<'_>>() };

        if vdev.has_status(bindings::VIRTIO_CONFIG_S_NEEDS_RESET) {
            queue_set::give_up(vdev);
        }
        T::config_changed(vdev, data);
    }

    extern "C" fn freeze_callback(vdev: *mut bindings::virtio_device) -> c_int {
        // SAFETY: As in `config_changed_callback`.
        let vdev = unsafe { &*vdev.cast::<Device<device::CoreInternal<'_>>>() };

        // SAFETY: As in `config_changed_callback`.
        let data = unsafe { vdev.as_ref().drvdata_borrow::<T::Data<'_>>() };

        from_result(|| {
            T::freeze(vdev, data)?;
            queue_set::suspend(vdev);
            Ok(0)
        })
    }

    extern "C" fn restore_callback(vdev: *mut bindings::virtio_device) -> c_int {
        // SAFETY: As in `config_changed_callback`.
        let vdev = unsafe { &*vdev.cast::<Device<device::CoreInternal<'_>>>() };

        // SAFETY: As in `config_changed_callback`.
        let data = unsafe { vdev.as_ref().drvdata_borrow::<T::Data<'_>>() };

        from_result(|| {
            queue_set::resume(vdev)?;
            vdev.set_ready();
            T::restore(vdev, data)?;
            Ok(0)
        })
    }
}

/// Declares a kernel module that exposes a single virtio driver.
///
/// # Examples
///
///```ignore
/// kernel::module_virtio_driver! {
///     type: MyDriver,
///     name: "my_driver",
///     authors: ["Author name"],
///     description: "Description",
///     license: "GPL",
/// }
///```
#[macro_export]
macro_rules! module_virtio_driver {
    ($($f:tt)*) => {
        $crate::module_driver!(<T>, $crate::virtio::Adapter<T>, { $($f)* });
    };
}

/// Abstraction for [`struct virtio_device_id`](srctree/include/linux/device-id/virtio.h).
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct DeviceId(bindings::virtio_device_id);

impl DeviceId {
    /// A network card.
    pub const NET: u32 = bindings::VIRTIO_ID_NET;
    /// A block device.
    pub const BLOCK: u32 = bindings::VIRTIO_ID_BLOCK;
    /// A console, or a set of ports for programs.
    pub const CONSOLE: u32 = bindings::VIRTIO_ID_CONSOLE;
    /// A source of entropy.
    pub const RNG: u32 = bindings::VIRTIO_ID_RNG;
    /// A memory balloon.
    pub const BALLOON: u32 = bindings::VIRTIO_ID_BALLOON;
    /// A range of host memory.
    pub const PMEM: u32 = bindings::VIRTIO_ID_PMEM;

    /// Creates an id that matches all devices of type `device`, whoever made them.
    ///
    /// The types are listed in the virtio specification, section "Device Types".
    pub const fn new(device: u32) -> Self {
        Self(bindings::virtio_device_id {
            device,
            vendor: bindings::VIRTIO_DEV_ANY_ID,
        })
    }
}

// SAFETY: `DeviceId` is a `#[repr(transparent)]` wrapper of `virtio_device_id` and does not add
// additional invariants, so it's safe to transmute to `RawType`.
unsafe impl RawDeviceId for DeviceId {
    type RawType = bindings::virtio_device_id;
}

/// Device id table of a virtio driver.
///
/// A `struct virtio_device_id` has no room for driver data, so there is none.
pub type IdTable = &'static dyn crate::device_id::IdTable<DeviceId, ()>;

/// Creates a virtio `IdTable` with its alias for modpost.
#[macro_export]
macro_rules! virtio_device_table {
    ($table_name:ident, [$($id:expr),* $(,)?]) => {
        $crate::module_device_table!(
            "virtio",
            $crate::virtio::DeviceId,
            $table_name,
            @none,
            [$($id),*]
        );
    };
}

/// The virtio driver trait.
///
/// # Examples
///
///```
/// use kernel::{device::Core, prelude::*, virtio};
///
/// struct MyDriver;
///
/// kernel::virtio_device_table!(
///     MY_IDS,
///     [virtio::DeviceId::new(virtio::DeviceId::RNG)]
/// );
///
/// #[vtable]
/// impl virtio::Driver for MyDriver {
///     type Data<'bound> = Self;
///     const ID_TABLE: virtio::IdTable = &MY_IDS;
///     const FEATURES: &'static [u32] = &[];
///
///     fn probe<'bound>(
///         _vdev: &'bound virtio::Device<Core<'_>>,
///     ) -> impl PinInit<Self, Error> + 'bound {
///         Err(ENODEV)
///     }
/// }
///```
#[vtable]
pub trait Driver {
    /// The type of the driver's bus device private data.
    type Data<'bound>: Send + Sync + 'bound;

    /// The table of device ids supported by the driver.
    const ID_TABLE: IdTable;

    /// The numbers of the feature bits that the driver understands. Bits that are not listed here
    /// are never negotiated, and [`Device::has_feature`] must not ask for them.
    const FEATURES: &'static [u32];

    /// Virtio driver probe.
    ///
    /// Called when a new virtio device is added or discovered, with its features negotiated. An
    /// error of `ENODEV` leaves the device to another driver.
    fn probe<'bound>(
        vdev: &'bound Device<device::Core<'_>>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound;

    /// Virtio driver unbind.
    ///
    /// Called when a [`Device`] is unbound from its bound [`Driver`], with its queues still
    /// working. The device is reset and its queues are taken down when this function returns.
    fn unbind<'bound>(vdev: &'bound Device<device::Core<'_>>, this: Pin<&Self::Data<'bound>>) {
        let _ = (vdev, this);
    }

    /// The device changed its configuration space, or needs a reset.
    ///
    /// May be called in interrupt context, so it must not sleep. If the device needs a reset
    /// (virtio specification, "Device Status Field") all queues are broken by then, see
    /// [`Virtqueue::is_broken`], and their handlers were called: what a driver waits for will not
    /// come.
    fn config_changed<'bound>(vdev: &'bound Device<device::Bound>, this: Pin<&Self::Data<'bound>>) {
        let _ = (vdev, this);
    }

    /// The machine is being suspended, or the device is going to be reset.
    ///
    /// Called with the queues still working; an error keeps the machine from being suspended. When
    /// this function has succeeded the device is reset, and all queues are free and empty until
    /// [`Driver::restore`]. A driver that does not implement both is not told, and the bus refuses
    /// to reset the device.
    fn freeze<'bound>(
        vdev: &'bound Device<device::Bound>,
        this: Pin<&Self::Data<'bound>>,
    ) -> Result {
        let _ = (vdev, this);
        Ok(())
    }

    /// The opposite of [`Driver::freeze`]: called with the same queues working again, and with the
    /// features of the device negotiated anew.
    fn restore<'bound>(
        vdev: &'bound Device<device::Bound>,
        this: Pin<&Self::Data<'bound>>,
    ) -> Result {
        let _ = (vdev, this);
        Ok(())
    }
}

/// The virtio device representation.
///
/// This structure represents the Rust abstraction for a C `struct virtio_device`. The
/// implementation abstracts the usage of an already existing C `struct virtio_device` that we get
/// passed from the C side.
///
/// # Invariants
///
/// A [`Device`] instance represents a valid `struct virtio_device` created by the C portion of the
/// kernel.
#[repr(transparent)]
pub struct Device<Ctx: device::DeviceContext = device::Normal>(
    Opaque<bindings::virtio_device>,
    PhantomData<Ctx>,
);

impl<Ctx: device::DeviceContext> Device<Ctx> {
    fn as_raw(&self) -> *mut bindings::virtio_device {
        self.0.get()
    }

    /// Returns the position of the device on the virtio bus, the `N` of its name `virtioN`.
    pub fn index(&self) -> i32 {
        // SAFETY: By the type invariant `self.as_raw()` is a valid pointer to a
        // `struct virtio_device`.
        unsafe { (*self.as_raw()).index }
    }
}

impl Device<device::Core<'_>> {
    /// Tells the device that its queues are about to be used.
    ///
    /// The bus does this by itself once [`Driver::probe`] has succeeded; only a driver that uses a
    /// queue from within its probe function needs it. Further calls do nothing.
    pub fn ready(&self) {
        self.set_ready();
    }
}

impl<Ctx: device::DeviceContext> Device<Ctx> {
    /// Sets the status bit that lets the device use its queues, if it is not set.
    fn set_ready(&self) {
        if self.has_status(bindings::VIRTIO_CONFIG_S_DRIVER_OK) {
            return;
        }
        // SAFETY: By the type invariant `self.as_raw()` is valid, and a device that is being
        // probed or restored has a transport.
        unsafe { bindings::virtio_device_ready(self.as_raw()) }
    }

    fn has_status(&self, bit: u32) -> bool {
        // SAFETY: By the type invariant `self.as_raw()` is valid, and a device that is being
        // probed or bound has a transport whose operations are valid.
        let get_status = unsafe { (*(*self.as_raw()).config).get_status };

        get_status.is_some_and(|get_status| {
            // SAFETY: `get_status` is the operation of the transport of this very device.
            let status = unsafe { get_status(self.as_raw()) };
            u32::from(status) & bit != 0
        })
    }
}

// SAFETY: `virtio::Device` is a transparent wrapper of `struct virtio_device`.
// The offset is guaranteed to point to a valid device field inside `virtio::Device`.
unsafe impl<Ctx: device::DeviceContext> device::AsBusDevice<Ctx> for Device<Ctx> {
    const OFFSET: usize = offset_of!(bindings::virtio_device, dev);
}

// SAFETY: `Device` is a transparent wrapper of a type that doesn't depend on `Device`'s generic
// argument.
kernel::impl_device_context_deref!(unsafe { Device });
kernel::impl_device_context_into_aref!(Device);

// SAFETY: Instances of `Device` are always reference-counted.
unsafe impl crate::sync::aref::AlwaysRefCounted for Device {
    fn inc_ref(&self) {
        // SAFETY: The existence of a shared reference guarantees that the refcount is non-zero.
        unsafe { bindings::get_device(self.as_ref().as_raw()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // CAST: `Self` is a transparent wrapper of `bindings::virtio_device`.
        let vdev: *mut bindings::virtio_device = obj.cast().as_ptr();

        // SAFETY: By the type invariant of `Self`, `vdev` is a pointer to a valid
        // `struct virtio_device`.
        let dev = unsafe { addr_of_mut!((*vdev).dev) };

        // SAFETY: The safety requirements guarantee that the refcount is non-zero.
        unsafe { bindings::put_device(dev) }
    }
}

impl<Ctx: device::DeviceContext> AsRef<device::Device<Ctx>> for Device<Ctx> {
    fn as_ref(&self) -> &device::Device<Ctx> {
        // SAFETY: By the type invariant of `Self`, `self.as_raw()` is a pointer to a valid
        // `struct virtio_device`.
        let dev = unsafe { addr_of_mut!((*self.as_raw()).dev) };

        // SAFETY: `dev` points to a valid `struct device`.
        unsafe { device::Device::from_raw(dev) }
    }
}

// SAFETY: A `Device` is always reference-counted and can be released from any thread.
unsafe impl Send for Device {}

// SAFETY: `Device` can be shared among threads because all methods of `Device`
// (i.e. `Device<Normal>) are thread safe.
unsafe impl Sync for Device {}

// SAFETY: Same as `Device<Normal>` -- the underlying `struct virtio_device` is the same; `Bound`
// is a zero-sized type-state marker that does not affect thread safety.
unsafe impl Sync for Device<device::Bound> {}
