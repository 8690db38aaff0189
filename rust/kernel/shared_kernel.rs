// SPDX-License-Identifier: GPL-2.0

//! Kernels that are saved once and started by name.
//!
//! C header: [`include/linux/shared_kernel.h`](srctree/include/linux/shared_kernel.h)

use crate::{
    bindings,
    error::to_result,
    notifier::{
        Chain,
        Notifier, //
    },
    prelude::*,
    str::CStr,
    sync::Arc, //
};

/// Gives a guest that was started from a saved system what it must not share with others.
pub trait Handler: Send + Sync {
    /// The guest has just been started. Interrupts are disabled, one processor is online: nothing
    /// else happens before this returns, and it must not sleep.
    ///
    /// If this fails, the guest ends with a panic.
    fn woken(&self) -> Result;

    /// The guest goes on behind the save point, after [`Self::woken`]. One processor is online, and
    /// all devices are those of the template. User processes may run only in a guest that was saved
    /// with them.
    ///
    /// If this fails, the guest ends with a panic. Called in a thread that may sleep and allocate
    /// memory. It must not drop a [`Registration`].
    fn resumed(&self) -> Result;
}

/// The chain of those who are woken.
struct Wake;

// SAFETY: Both functions work on the same atomic notifier chain. Its callbacks run under RCU, and
// taking a block off waits for a grace period.
unsafe impl Chain for Wake {
    type Handler = dyn Handler;

    unsafe fn register(block: *mut bindings::notifier_block) -> c_int {
        // SAFETY: The safety requirements are those of this function.
        unsafe { bindings::register_shared_kernel_wake_notifier(block) }
    }

    unsafe fn unregister(block: *mut bindings::notifier_block) {
        // SAFETY: The safety requirements are those of this function. This fails only for blocks
        // that are not on the chain.
        unsafe { bindings::unregister_shared_kernel_wake_notifier(block) };
    }

    unsafe fn call(handler: &dyn Handler, _action: c_ulong, _data: *mut c_void) -> c_int {
        to_notify(handler.woken())
    }
}

/// The chain of those who are resumed.
struct Resume;

// SAFETY: Both functions work on the same blocking notifier chain. Its callbacks run under its
// semaphore for reading, and taking a block off needs it for writing.
unsafe impl Chain for Resume {
    type Handler = dyn Handler;

    unsafe fn register(block: *mut bindings::notifier_block) -> c_int {
        // SAFETY: The safety requirements are those of this function.
        unsafe { bindings::register_shared_kernel_notifier(block) }
    }

    unsafe fn unregister(block: *mut bindings::notifier_block) {
        // SAFETY: The safety requirements are those of this function. This fails only for blocks
        // that are not on the chain.
        unsafe { bindings::unregister_shared_kernel_notifier(block) };
    }

    unsafe fn call(handler: &dyn Handler, _action: c_ulong, _data: *mut c_void) -> c_int {
        to_notify(handler.resumed())
    }
}

/// Returns what a callback of a notifier chain returns.
fn to_notify(result: Result) -> c_int {
    match result {
        // CAST: The values of `NOTIFY_*` are small.
        Ok(()) => bindings::NOTIFY_OK as c_int,
        // SAFETY: This function only computes.
        Err(error) => unsafe { bindings::notifier_from_errno(error.to_errno()) },
    }
}

/// The registration of a [`Handler`], which ends when it is dropped.
pub struct Registration {
    _wake: Pin<KBox<Notifier<Wake>>>,
    _resume: Pin<KBox<Notifier<Resume>>>,
}

impl Registration {
    /// Registers `handler`. May sleep.
    ///
    /// Returns `ENOMEM`.
    pub fn new(handler: Arc<dyn Handler>) -> Result<Self> {
        Ok(Self {
            _wake: Notifier::new(handler.clone(), 0)?,
            _resume: Notifier::new(handler, 0)?,
        })
    }
}

/// Adds to the command line that user space sees; behind `=`, replaces it.
///
/// Only a [`Handler`] may call this. Returns `E2BIG` if there is no room.
pub fn set_parm(parm: &CStr) -> Result {
    // SAFETY: `parm` is valid. Who reads the command line meanwhile, in a guest that was saved with
    // user processes, may find a mixture, but always a NUL byte behind it.
    to_result(unsafe { bindings::shared_kernel_set_parm(parm.as_char_ptr()) })
}
