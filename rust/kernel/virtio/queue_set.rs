// SPDX-License-Identifier: GPL-2.0

//! The virtqueues of a device as a whole: virtio finds and deletes them all at once.

use super::Device;
use crate::{
    bindings,
    device,
    error::to_result,
    prelude::*,
    sync::Arc, //
};
use core::ptr::NonNull;

pub(super) mod private {
    /// Keeps [`AnyQueue`](super::AnyQueue) to the virtqueues of this module.
    pub trait Sealed {}
}

/// A [`Virtqueue`](super::Virtqueue) whatever its requests are.
///
/// # Safety
///
/// Implementers must not use the virtqueue that `attach` got after `detach` has returned, and must
/// own no buffer in it by then.
pub unsafe trait AnyQueue: private::Sealed + Send + Sync {
    /// Returns the name of the queue.
    fn name(&self) -> &'static CStr;

    /// Claims the queue for a device; [`AnyQueue::detach`] ends that.
    ///
    /// Returns `EBUSY` if a device has it already.
    fn reserve(&self) -> Result;

    /// Connects the queue with a device.
    ///
    /// # Safety
    ///
    /// - `vq` must be a new virtqueue that is valid until [`AnyQueue::detach`] has returned, and
    ///   must not be used by anybody else.
    /// - The caller must have reserved the queue.
    unsafe fn attach(&self, vq: NonNull<bindings::virtqueue>);

    /// Disconnects the queue, if it is connected, and drops the requests in it. The device must
    /// have been reset.
    fn detach(&self);

    /// The device used a request.
    fn interrupt(&self);

    /// Marks the queue as broken.
    fn give_up(&self);
}

/// What `virtio_device::priv` points to while a [`QueueSet`] exists.
struct Queues(KVec<Arc<dyn AnyQueue>>);

impl Queues {
    /// Claims all queues, or none.
    fn reserve(queues: KVec<Arc<dyn AnyQueue>>) -> Result<KBox<Self>> {
        let mut reserved = KBox::new(
            Self(KVec::with_capacity(queues.len(), GFP_KERNEL)?),
            GFP_KERNEL,
        )?;

        for queue in queues {
            queue.reserve()?;
            reserved.0.push(queue, GFP_KERNEL)?;
        }
        Ok(reserved)
    }
}

impl Drop for Queues {
    fn drop(&mut self) {
        for queue in &self.0 {
            queue.detach();
        }
    }
}

/// All virtqueues of a bound device.
///
/// When it is dropped, or when the device is unbound, the device is reset and its queues are
/// detached and deleted.
///
/// # Invariants
///
/// The `priv` field of the device is null or comes from [`KBox::into_raw`] on a `Queues`. Its
/// members are attached to the virtqueues of the device, in order of their indices, or the device
/// has none.
pub struct QueueSet<'a> {
    vdev: &'a Device<device::Bound>,
}

impl<'a> QueueSet<'a> {
    /// Finds as many virtqueues as `queues` has members and attaches them.
    ///
    /// The order is that of the virtio specification for the device.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the device has a queue set already, or if a member is listed twice or belongs to
    /// another device; `ENOENT` if the device has fewer queues; `ENOMEM`; or what the transport
    /// returns.
    pub fn find(
        vdev: &'a Device<device::Core<'_>>,
        queues: KVec<Arc<dyn AnyQueue>>,
    ) -> Result<Self> {
        let raw = vdev.as_raw();
        // SAFETY: `raw` is valid; `priv` belongs to the driver, that is, to this module.
        if unsafe { !(*raw).priv_.is_null() } {
            return Err(EBUSY);
        }
        let queues = KBox::into_raw(Queues::reserve(queues)?);
        // SAFETY: As above. The device has no queues yet, so nobody reads the field meanwhile.
        unsafe { (*raw).priv_ = queues.cast() };
        // INVARIANT: `priv` was set above; the queues are attached below, or the set is dropped.
        let set = Self { vdev };

        connect(vdev)?;
        Ok(set)
    }
}

impl Drop for QueueSet<'_> {
    fn drop(&mut self) {
        abandon(self.vdev);
    }
}

/// Asks the transport of a device for the virtqueues of its [`Queues`], and attaches them.
///
/// # Errors
///
/// As for [`QueueSet::find`]. Then the transport has no virtqueues, or [`shutdown`] takes them
/// down.
fn connect<Ctx: device::DeviceContext>(vdev: &Device<Ctx>) -> Result {
    let raw = vdev.as_raw();
    // SAFETY: `raw` is valid; `priv` belongs to this module, and is changed only by a probe, a
    // removal and the functions in between, which do not overlap.
    let queues = unsafe { (*raw).priv_.cast::<Queues>().as_ref() }.ok_or(ENODEV)?;
    let count = queues.0.len();
    let mut found = KVec::from_elem(core::ptr::null_mut(), count, GFP_KERNEL)?;
    let mut infos = KVec::with_capacity(count, GFP_KERNEL)?;
    for queue in &queues.0 {
        infos.push(
            bindings::virtqueue_info {
                name: queue.name().as_char_ptr(),
                callback: Some(used_callback),
                ctx: false,
            },
            GFP_KERNEL,
        )?;
    }

    // SAFETY: `raw` is valid; both arrays have as many members as the count says. CAST: No device
    // has more queues than a `u32` can count.
    to_result(unsafe {
        bindings::virtio_find_vqs(
            raw,
            count as u32,
            found.as_mut_ptr(),
            infos.as_mut_ptr(),
            core::ptr::null_mut(),
        )
    })?;
    for (queue, vq) in queues.0.iter().zip(found.iter()) {
        let vq = NonNull::new(*vq).ok_or(ENOENT)?;
        // SAFETY: `virtio_find_vqs` has just made `vq`, and who deletes it detaches it first. The
        // queue is reserved.
        unsafe { queue.attach(vq) };
    }
    Ok(())
}

/// Resets the device and takes its queues down, but keeps the [`QueueSet`].
pub(super) fn suspend<Ctx: device::DeviceContext>(vdev: &Device<Ctx>) {
    let raw = vdev.as_raw();

    // SAFETY: `raw` is valid. No callback of a queue runs anymore when this returns.
    unsafe { bindings::virtio_reset_device(raw) };

    // SAFETY: `raw` is valid; `priv` belongs to this module.
    if let Some(queues) = unsafe { (*raw).priv_.cast::<Queues>().as_ref() } {
        for queue in &queues.0 {
            queue.detach();
        }
    }
    delete(vdev);
}

/// The opposite of [`suspend`], after the bus has negotiated the features again.
///
/// # Errors
///
/// As for [`QueueSet::find`].
pub(super) fn resume<Ctx: device::DeviceContext>(vdev: &Device<Ctx>) -> Result {
    // SAFETY: The device is valid; `priv` belongs to this module.
    let Some(queues) = (unsafe { (*vdev.as_raw()).priv_.cast::<Queues>().as_ref() }) else {
        return Ok(());
    };

    for queue in &queues.0 {
        queue.reserve()?;
    }
    connect(vdev)
}

/// Deletes the virtqueues of a device that was reset. None of them may be attached.
fn delete<Ctx: device::DeviceContext>(vdev: &Device<Ctx>) {
    let raw = vdev.as_raw();

    // SAFETY: A device has a transport whose operations are valid.
    if let Some(del_vqs) = unsafe { (*(*raw).config).del_vqs } {
        // SAFETY: `del_vqs` is the operation of the transport of this very device, which is reset;
        // no `AnyQueue` uses the virtqueues anymore.
        unsafe { del_vqs(raw) };
    }
}

/// Breaks the queues of a device that needs a reset, and calls their handlers: what they wait for
/// will not come.
pub(super) fn give_up(vdev: &Device<device::Bound>) {
    // SAFETY: `vdev` is valid; `priv` belongs to this module, and is cleared only after the
    // configuration interrupt, in which this is called, was disabled.
    if let Some(queues) = unsafe { (*vdev.as_raw()).priv_.cast::<Queues>().as_ref() } {
        for queue in &queues.0 {
            queue.give_up();
            queue.interrupt();
        }
    }
}

/// Prepares a device that is about to be probed: a driver in C may have left its own pointer.
pub(super) fn prepare<Ctx: device::DeviceContext>(vdev: &Device<Ctx>) {
    // SAFETY: The device is valid. `priv` belongs to the driver, and no other one is bound.
    unsafe { (*vdev.as_raw()).priv_ = core::ptr::null_mut() };
}

/// Takes the queues down whose [`QueueSet`] a failed probe function has leaked instead of dropped.
pub(super) fn abandon<Ctx: device::DeviceContext>(vdev: &Device<Ctx>) {
    // SAFETY: The device is valid.
    if unsafe { !(*vdev.as_raw()).priv_.is_null() } {
        shutdown(vdev);
    }
}

/// Resets the device and takes its queues down, if it has any.
///
/// The bus calls it when a device is unbound; the [`QueueSet`] in the private data of the driver is
/// then dropped without effect.
pub(super) fn shutdown<Ctx: device::DeviceContext>(vdev: &Device<Ctx>) {
    let raw = vdev.as_raw();

    // SAFETY: `raw` is valid. No callback of a queue runs anymore when this returns.
    unsafe { bindings::virtio_reset_device(raw) };

    // SAFETY: `raw` is valid; `priv` belongs to this module.
    let Some(queues) = NonNull::new(unsafe { (*raw).priv_ }) else {
        return;
    };
    // SAFETY: By the type invariants of `QueueSet` the pointer came from `KBox::into_raw`; it is
    // taken out of the field here, once.
    let queues = unsafe {
        (*raw).priv_ = core::ptr::null_mut();
        KBox::from_raw(queues.cast::<Queues>().as_ptr())
    };
    drop(queues);
    delete(vdev);
}

/// The interrupt handler of all queues.
///
/// # Safety
///
/// `vq` must be a virtqueue that [`QueueSet::find`] asked for.
unsafe extern "C" fn used_callback(vq: *mut bindings::virtqueue) {
    // SAFETY: `vq` is valid during the callback, and so is the device that it belongs to. `priv`
    // is set before the queues exist and cleared only after a reset, which waits for callbacks.
    let (queues, index) = unsafe { ((*(*vq).vdev).priv_.cast::<Queues>(), (*vq).index) };

    // SAFETY: By the type invariants of `QueueSet`, see above for the time.
    if let Some(queues) = unsafe { queues.as_ref() } {
        // CAST: `u32` to `usize` loses nothing.
        if let Some(queue) = queues.0.get(index as usize) {
            queue.interrupt();
        }
    }
}
