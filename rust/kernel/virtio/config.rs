// SPDX-License-Identifier: GPL-2.0

//! What a virtio device says of itself: features, configuration space, shared memory.
//!
//! C header: [`include/linux/virtio_config.h`](srctree/include/linux/virtio_config.h)

use super::Device;
#[cfg(CONFIG_HAS_IOMEM)]
use crate::memremap::DeviceRange;
use crate::{
    bindings,
    device,
    prelude::*, //
};

impl Device<device::Bound> {
    /// Returns whether the device and the driver agreed on feature bit `bit`.
    ///
    /// `bit` is one of the driver's own [`FEATURES`](super::Driver::FEATURES) or a bit that belongs
    /// to the transport; the virtio core treats any other as a bug of the driver.
    pub fn has_feature(&self, bit: u32) -> bool {
        // SAFETY: By the type invariant `self.as_raw()` is valid; a bound device has a driver.
        unsafe { bindings::virtio_has_feature(self.as_raw(), bit) }
    }

    /// Returns the configuration space of the device.
    pub fn config(&self) -> ConfigSpace<'_> {
        ConfigSpace(self)
    }

    /// Returns the memory of a virtio-pmem device that has it not in a shared memory region but in
    /// a range that its configuration space tells.
    ///
    /// Returns `EINVAL` for a device of another type, and the errors of
    /// [`ConfigSpace::consistent`].
    #[cfg(CONFIG_HAS_IOMEM)]
    pub fn pmem_range(&self) -> Result<DeviceRange> {
        // SAFETY: By the type invariant `self.as_raw()` is valid.
        if unsafe { (*self.as_raw()).id.device } != bindings::VIRTIO_ID_PMEM {
            return Err(EINVAL);
        }
        self.config().consistent(|config| {
            let start = config.read(0)?;
            let len_bytes = config.read(8)?;
            // SAFETY: A virtio-pmem device lets its driver use the range like RAM, see the virtio
            // specification, section "PMEM Device", where the two fields are.
            Ok(unsafe { DeviceRange::new(start, len_bytes) })
        })
    }

    /// Returns the shared memory region `id` of the device, if the device has one of that id.
    #[cfg(CONFIG_HAS_IOMEM)]
    pub fn shm_region(&self, id: u8) -> Option<DeviceRange> {
        let mut region: bindings::virtio_shm_region = pin_init::zeroed();

        // SAFETY: By the type invariant `self.as_raw()` is valid, `region` is valid for writes.
        let found = unsafe { bindings::virtio_get_shm_region(self.as_raw(), &mut region, id) };

        // SAFETY: A virtio device lets its driver use its shared memory like RAM, see the virtio
        // specification, section "Shared Memory Regions".
        found.then(|| unsafe { DeviceRange::new(region.addr, region.len) })
    }
}

/// The configuration space of a bound device.
///
/// Offsets and layout are those of the device's `struct virtio_..._config` in
/// `include/uapi/linux/`. All fields are little-endian.
pub struct ConfigSpace<'a>(&'a Device<device::Bound>);

impl ConfigSpace<'_> {
    /// How often [`Self::consistent`] reads before it gives up on a device that never rests.
    const MAX_READS: usize = 100;

    /// Reads the field at `offset_bytes`.
    ///
    /// The field may change while it is read if it is wider than what the transport reads at once;
    /// read such fields, and groups of fields that belong together, through [`Self::consistent`].
    ///
    /// Returns `EOPNOTSUPP` for a transport without configuration space, `EINVAL` if the transport
    /// says that the space ends before the field does. Not every transport knows where it ends.
    pub fn read<T: ConfigValue>(&self, offset_bytes: u32) -> Result<T> {
        let vdev = self.0.as_raw();
        // SAFETY: A bound device has a transport whose operations are valid.
        let get = unsafe { (*(*vdev).config).get }.ok_or(EOPNOTSUPP)?;
        let mut value = T::default();

        let len = self.check::<T>(offset_bytes)?;
        // SAFETY: `get` is the operation of the transport of this very device, and `value` is
        // valid for writes of `len` bytes, all of which are valid in an integer.
        unsafe { get(vdev, offset_bytes, (&raw mut value).cast(), len) };

        Ok(T::from_le(value))
    }

    /// Writes the field at `offset_bytes`.
    ///
    /// Returns `EOPNOTSUPP` for a transport without writable configuration space, `EINVAL` as
    /// [`Self::read`] does.
    pub fn write<T: ConfigValue>(&self, offset_bytes: u32, value: T) -> Result {
        let vdev = self.0.as_raw();
        // SAFETY: A bound device has a transport whose operations are valid.
        let set = unsafe { (*(*vdev).config).set }.ok_or(EOPNOTSUPP)?;
        let value = T::to_le(value);

        let len = self.check::<T>(offset_bytes)?;
        // SAFETY: `set` is the operation of the transport of this very device, and `value` is
        // valid for reads of `len` bytes.
        unsafe { set(vdev, offset_bytes, (&raw const value).cast(), len) };

        Ok(())
    }

    /// Returns the size of a field, if it is within the space as far as the transport knows.
    fn check<T>(&self, offset_bytes: u32) -> Result<u32> {
        let vdev = self.0.as_raw();
        // CAST: `ConfigValue` is implemented for integers of up to eight bytes.
        let len = size_of::<T>() as u32;
        let end = offset_bytes.checked_add(len).ok_or(EINVAL)?;

        // SAFETY: A bound device has a transport whose operations are valid.
        match unsafe { (*(*vdev).config).config_len } {
            // SAFETY: `config_len` is the operation of the transport of this very device.
            Some(config_len) if end > unsafe { config_len(vdev) } => Err(EINVAL),
            _ => Ok(len),
        }
    }

    /// Runs `read` until the device did not change its configuration space meanwhile.
    ///
    /// Returns what `read` returned, or `EBUSY` for a device that changes all the time.
    pub fn consistent<T>(&self, read: impl Fn(&Self) -> Result<T>) -> Result<T> {
        for _ in 0..Self::MAX_READS {
            let before = self.generation();
            let value = read(self)?;

            if self.generation() == before {
                return Ok(value);
            }
        }
        Err(EBUSY)
    }

    /// Returns the generation of the configuration space, 0 on transports without one.
    fn generation(&self) -> u32 {
        let vdev = self.0.as_raw();
        // SAFETY: A bound device has a transport whose operations are valid.
        let generation = unsafe { (*(*vdev).config).generation };

        // SAFETY: `generation` is the operation of the transport of this very device.
        generation.map_or(0, |generation| unsafe { generation(vdev) })
    }
}

mod private {
    pub trait Sealed {}
}

/// Integers that a field of the configuration space can be read as.
pub trait ConfigValue: private::Sealed + Copy + Default {
    /// Converts from the byte order of the configuration space.
    fn from_le(raw: Self) -> Self;

    /// Converts to the byte order of the configuration space.
    fn to_le(self) -> Self;
}

macro_rules! impl_config_value {
    ($($int:ty),*) => {
        $(
            impl private::Sealed for $int {}

            impl ConfigValue for $int {
                fn from_le(raw: Self) -> Self {
                    <$int>::from_le(raw)
                }

                fn to_le(self) -> Self {
                    <$int>::to_le(self)
                }
            }
        )*
    };
}

impl_config_value!(u8, u16, u32, u64);
