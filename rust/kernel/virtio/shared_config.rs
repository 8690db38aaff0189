// SPDX-License-Identifier: GPL-2.0

//! The configuration space of a device for threads that may outlive the binding to its driver.

use super::{
    ConfigSpace,
    Device, //
};
use crate::{
    device::{
        Bound,
        CoreInternal, //
    },
    devres,
    new_mutex,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        Mutex, //
    }, //
};

/// A way to the configuration space that ends when the device is unbound.
///
/// [`Device::config`] wants a device that is known to be bound, as in the callbacks of a driver. A
/// work item is not bound to that: it uses this.
///
/// # Invariants
///
/// While `bound` is true, and locked, the device is bound.
#[pin_data]
pub struct SharedConfig {
    vdev: ARef<Device>,
    #[pin]
    bound: Mutex<bool>,
}

/// Ends the way when the device is unbound.
struct Revoke(Arc<SharedConfig>);

impl Drop for Revoke {
    fn drop(&mut self) {
        *self.0.bound.lock() = false;
    }
}

impl SharedConfig {
    /// Makes a way to the configuration space of `vdev`.
    ///
    /// Returns `ENOMEM` if there is no memory.
    pub fn new(vdev: &Device<Bound>) -> Result<Arc<Self>> {
        // INVARIANT: The device is bound, and `Revoke` says so when it no longer is.
        let config = Arc::pin_init(
            pin_init!(Self {
                vdev: vdev.into(),
                bound <- new_mutex!(true, "SharedConfig::bound"),
            }),
            GFP_KERNEL,
        )?;

        // If this fails, the argument is dropped, and nobody has the way.
        devres::register(vdev.as_ref(), Revoke(config.clone()), GFP_KERNEL)?;
        Ok(config)
    }

    /// Calls `f` with the configuration space.
    ///
    /// May sleep. Unbinding waits until `f` returns.
    ///
    /// Returns what `f` returns, or `ENODEV` if the device is no longer bound.
    pub fn with<T>(&self, f: impl FnOnce(ConfigSpace<'_>) -> Result<T>) -> Result<T> {
        let bound = self.bound.lock();
        if !*bound {
            return Err(ENODEV);
        }

        // SAFETY: By the type invariants the device is bound while `bound` is locked, which is as
        // long as the reference is used. All contexts of a `Device` have the same layout.
        let vdev = unsafe { &*(&raw const *self.vdev).cast::<Device<CoreInternal<'_>>>() };
        f(vdev.config())
    }
}
