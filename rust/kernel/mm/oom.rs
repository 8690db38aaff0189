// SPDX-License-Identifier: GPL-2.0

//! Last chances to free memory before the kernel kills a process.
//!
//! C header: [`include/linux/oom.h`](srctree/include/linux/oom.h)

use crate::{
    bindings,
    notifier::{
        Chain,
        Notifier, //
    },
    prelude::*,
    sync::Arc, //
};

/// Frees memory when there is none left.
pub trait Handler: Send + Sync {
    /// Frees memory, and returns the number of pages that are free now and were not before.
    ///
    /// Called when an allocation found no memory anywhere and the kernel is about to choose a
    /// process to kill; not for the limit of a memory cgroup. If all handlers together free
    /// something, the allocation is tried again and no process is killed. A handler that has
    /// nothing to free must return 0, or the kernel tries without end.
    ///
    /// # Context
    ///
    /// The thread that allocates, which may be any one that can sleep, under the locks `oom_lock`
    /// and the one of the notifier chain. The handler may sleep, but others that lack memory wait
    /// for it. It
    ///
    /// - must not allocate memory, except with [`__GFP_NORETRY`] or no [`__GFP_DIRECT_RECLAIM`]:
    ///   the allocation would wait for `oom_lock`, for ever;
    /// - must not wait for locks under which someone allocates memory with `__GFP_DIRECT_RECLAIM`;
    ///   `try_lock` is right. Allocations without `__GFP_FS` or `__GFP_IO` come here as well;
    /// - must not drop a [`Registration`].
    fn out_of_memory(&self) -> usize;
}

/// The chain `oom_notify_list`.
struct Oom;

// SAFETY: Both functions work on `oom_notify_list`. Its callbacks run under its semaphore for
// reading, and taking a block off needs it for writing.
unsafe impl Chain for Oom {
    type Handler = dyn Handler;

    unsafe fn register(block: *mut bindings::notifier_block) -> c_int {
        // SAFETY: The safety requirements are those of this function.
        unsafe { bindings::register_oom_notifier(block) }
    }

    unsafe fn unregister(block: *mut bindings::notifier_block) {
        // SAFETY: The safety requirements are those of this function. This fails only for blocks
        // that are not on the chain.
        unsafe { bindings::unregister_oom_notifier(block) };
    }

    unsafe fn call(handler: &dyn Handler, _action: c_ulong, data: *mut c_void) -> c_int {
        // SAFETY: The data of an event of this chain is the number of pages freed so far, an
        // `unsigned long` that the caller has on its stack.
        let freed = unsafe { &mut *data.cast::<c_ulong>() };

        *freed = freed.saturating_add(handler.out_of_memory());
        // CAST: The values of `NOTIFY_*` are small.
        bindings::NOTIFY_OK as c_int
    }
}

/// The registration of a [`Handler`], which ends when it is dropped.
///
/// Dropping it sleeps, until a call of the handler that is running returns. Afterwards there are
/// none.
///
/// # Examples
///
/// ```
/// use kernel::{mm::oom, prelude::*, sync::Arc};
///
/// struct Reserve;
///
/// impl oom::Handler for Reserve {
///     fn out_of_memory(&self) -> usize {
///         // This one has nothing to give.
///         0
///     }
/// }
///
/// let handler = Arc::new(Reserve, GFP_KERNEL)?;
/// let registration = oom::Registration::new(handler, 0)?;
/// drop(registration);
/// # Ok::<(), Error>(())
/// ```
pub struct Registration {
    _notifier: Pin<KBox<Notifier<Oom>>>,
}

impl Registration {
    /// Registers `handler`. Handlers of a higher `priority` are called first; all are called.
    ///
    /// May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`]: there is no memory for the registration.
    pub fn new(handler: Arc<dyn Handler>, priority: c_int) -> Result<Self> {
        Ok(Self {
            _notifier: Notifier::new(handler, priority)?,
        })
    }
}

#[cfg(CONFIG_RUST_MM_KUNIT_TEST)]
#[macros::kunit_tests(rust_mm_oom)]
mod tests {
    use super::*;

    struct Reserve(usize);

    impl Handler for Reserve {
        fn out_of_memory(&self) -> usize {
            self.0
        }
    }

    #[test]
    fn freed_pages_are_added_up() -> Result {
        let mut freed: c_ulong = 5;

        for pages in [7, 0] {
            let registration = Registration::new(Arc::new(Reserve(pages), GFP_KERNEL)?, 80)?;
            // SAFETY: This is an event of the chain, with a number of pages as its data.
            let ret = unsafe { registration._notifier.notify(0, (&raw mut freed).cast()) };

            assert_eq!(ret, bindings::NOTIFY_OK as c_int);
            assert_eq!(freed, 12);
        }
        Ok(())
    }

    #[test]
    fn a_dropped_registration_releases_its_handler() -> Result {
        let handler = Arc::new(Reserve(1), GFP_KERNEL)?;
        let registration = Registration::new(handler.clone(), 0)?;
        let second = Registration::new(handler.clone(), 0)?;

        drop(registration);
        drop(second);
        assert!(Arc::into_unique_or_drop(handler).is_some());
        Ok(())
    }
}
