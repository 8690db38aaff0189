// SPDX-License-Identifier: GPL-2.0

//! What registrations on notifier chains have in common.
//!
//! C header: [`include/linux/notifier.h`](srctree/include/linux/notifier.h)

use crate::{
    bindings,
    error::to_result,
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// A notifier chain, and the trait of those who listen to it.
///
/// # Safety
///
/// - [`Self::register`] must put the notifier block on a chain, if it succeeds, and
///   [`Self::unregister`] take it off the same chain.
/// - When [`Self::unregister`] returns, no callback of the block may be running or start.
pub(crate) unsafe trait Chain {
    /// The trait object that is called.
    type Handler: ?Sized + Send + Sync;

    /// Puts `block` on the chain.
    ///
    /// # Safety
    ///
    /// `block` must be valid and stay where it is until it is taken off the chain.
    unsafe fn register(block: *mut bindings::notifier_block) -> c_int;

    /// Takes `block` off the chain.
    ///
    /// # Safety
    ///
    /// `block` must be on the chain.
    unsafe fn unregister(block: *mut bindings::notifier_block);

    /// Passes an event on to `handler`; the result is one of `NOTIFY_*`.
    ///
    /// # Safety
    ///
    /// `action` and `data` must be those of an event of the chain.
    unsafe fn call(handler: &Self::Handler, action: c_ulong, data: *mut c_void) -> c_int;
}

/// A handler on a chain.
///
/// # Invariants
///
/// `block` is on the chain `C`, with [`Self::callback`] as its function, and in a `Notifier<C>`.
#[pin_data(PinnedDrop)]
pub(crate) struct Notifier<C: Chain> {
    handler: Arc<C::Handler>,
    #[pin]
    block: Opaque<bindings::notifier_block>,
}

// SAFETY: Chains have locks of their own, so that any thread may take a block off. The handler can
// be sent and shared, as `Chain` demands.
unsafe impl<C: Chain> Send for Notifier<C> {}

// SAFETY: There is nothing that can be done with a shared reference from safe code. The handler can
// be shared.
unsafe impl<C: Chain> Sync for Notifier<C> {}

impl<C: Chain> Notifier<C> {
    /// Registers `handler`. Those of a higher priority are called first.
    pub(crate) fn new(handler: Arc<C::Handler>, priority: c_int) -> Result<Pin<KBox<Self>>> {
        let init = try_pin_init!(Self {
            handler,
            block <- Opaque::try_ffi_init(|slot: *mut bindings::notifier_block| {
                let block = bindings::notifier_block {
                    notifier_call: Some(Self::callback),
                    priority,
                    ..pin_init::zeroed()
                };

                // SAFETY: `slot` is valid for writes.
                unsafe { slot.write(block) };

                // INVARIANT: The block is on the chain if this succeeds.
                //
                // SAFETY: The block is pinned, and its destructor takes it off the chain. From now
                // on until then, `callback` may be called: the handler, which it uses, was
                // initialized before.
                to_result(unsafe { C::register(slot) })
            }),
        }? Error);

        KBox::pin_init(init, GFP_KERNEL)
    }

    /// # Safety
    ///
    /// - `block` must be that of a `Notifier<C>`, which must exist during the call.
    /// - `action` and `data` must be those of an event of the chain.
    unsafe extern "C" fn callback(
        block: *mut bindings::notifier_block,
        action: c_ulong,
        data: *mut c_void,
    ) -> c_int {
        // SAFETY: By the safety requirements.
        let this =
            unsafe { &*crate::container_of!(Opaque::cast_from(block).cast_mut(), Self, block) };

        // SAFETY: The safety requirements are those of this function.
        unsafe { C::call(&this.handler, action, data) }
    }

    /// Does what the chain does on an event.
    ///
    /// # Safety
    ///
    /// `action` and `data` must be those of an event of the chain.
    #[cfg(CONFIG_RUST_MM_KUNIT_TEST)]
    pub(crate) unsafe fn notify(&self, action: c_ulong, data: *mut c_void) -> c_int {
        let block = self.block.get();

        // SAFETY: By the type invariants, the block is valid, and its function is `callback`. The
        // safety requirements are those of this function.
        unsafe { (*block).notifier_call.map(|call| call(block, action, data)) }.unwrap_or(0)
    }
}

#[pinned_drop]
impl<C: Chain> PinnedDrop for Notifier<C> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariants, the block is on the chain.
        unsafe { C::unregister(self.block.get()) };
    }
}
