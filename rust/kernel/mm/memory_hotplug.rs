// SPDX-License-Identifier: GPL-2.0

//! Notices of memory that goes offline.
//!
//! Who holds pages that the kernel cannot migrate, and has marked them offline as
//! [`PageBlock::set_ballooned`](super::page_block::PageBlock::set_ballooned) does, is asked here to
//! give them back.
//!
//! Memory that comes online is out of scope.
//!
//! C header: [`include/linux/memory.h`](srctree/include/linux/memory.h)

use crate::{
    bindings,
    notifier::{
        Chain,
        Notifier, //
    },
    prelude::*,
    sync::Arc, //
};
use core::ops::Range;

/// Gives pages back that are about to go offline.
///
/// # Context
///
/// Both functions are called in a thread that may sleep and allocate memory, under the locks of
/// memory hot-plug and of the notifier chain, so they must not drop a [`Registration`]. Pages are
/// isolated first: those of the range that are freed are not allocated again.
pub trait Handler: Send + Sync {
    /// The pages in the range `pfns` of page frame numbers go offline. The handler frees those that
    /// it holds.
    ///
    /// An error refuses: the memory stays online. If pages of the range that are marked offline are
    /// still allocated afterwards, it stays online as well.
    fn going_offline(&self, pfns: Range<usize>) -> Result;

    /// What [`Self::going_offline`] announced has ended. The pages are offline, or, if something
    /// failed, allocated like any others from now on; the handler may allocate again.
    ///
    /// After a failure this is also called for a range that was not announced, when someone refused
    /// before.
    fn offline_ended(&self, pfns: Range<usize>) {
        let _ = pfns;
    }
}

/// The chain `memory_chain`.
struct Memory;

// SAFETY: Both functions work on `memory_chain`, or, without memory hot-plug, on none that anything
// is called from. Its callbacks run under its semaphore for reading, and taking a block off needs
// it for writing.
unsafe impl Chain for Memory {
    type Handler = dyn Handler;

    unsafe fn register(block: *mut bindings::notifier_block) -> c_int {
        // SAFETY: The safety requirements are those of this function.
        unsafe { bindings::register_memory_notifier(block) }
    }

    unsafe fn unregister(block: *mut bindings::notifier_block) {
        // SAFETY: The safety requirements are those of this function.
        unsafe { bindings::unregister_memory_notifier(block) }
    }

    unsafe fn call(handler: &dyn Handler, action: c_ulong, data: *mut c_void) -> c_int {
        // SAFETY: The data of an event of this chain is a `struct memory_notify`, which the caller
        // has on its stack.
        let memory = unsafe { &*data.cast::<bindings::memory_notify>() };
        let pfns = memory.start_pfn..memory.start_pfn + memory.nr_pages;

        // CAST: The actions are those of `enum memory_block_state`, as small numbers.
        match action as bindings::memory_block_state {
            bindings::memory_block_state_MEM_GOING_OFFLINE => {
                let errno = handler.going_offline(pfns).err().map_or(0, Error::to_errno);

                // SAFETY: This can be called with 0 and with any error number.
                unsafe { bindings::notifier_from_errno(errno) }
            }
            bindings::memory_block_state_MEM_OFFLINE
            | bindings::memory_block_state_MEM_CANCEL_OFFLINE => {
                handler.offline_ended(pfns);
                bindings::NOTIFY_OK as c_int
            }
            _ => bindings::NOTIFY_DONE as c_int,
        }
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
/// use core::ops::Range;
/// use kernel::{mm::memory_hotplug, prelude::*, sync::Arc};
///
/// struct Holder;
///
/// impl memory_hotplug::Handler for Holder {
///     fn going_offline(&self, _pfns: Range<usize>) -> Result {
///         // This one cannot give its pages back.
///         Err(EBUSY)
///     }
/// }
///
/// let handler = Arc::new(Holder, GFP_KERNEL)?;
/// let registration = memory_hotplug::Registration::new(handler)?;
/// drop(registration);
/// # Ok::<(), Error>(())
/// ```
pub struct Registration {
    _notifier: Pin<KBox<Notifier<Memory>>>,
}

impl Registration {
    /// Registers `handler`. Without `CONFIG_MEMORY_HOTPLUG` it is never called.
    ///
    /// May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`]: there is no memory for the registration.
    pub fn new(handler: Arc<dyn Handler>) -> Result<Self> {
        // CAST: The priority is 0.
        let priority = bindings::DEFAULT_CALLBACK_PRI as c_int;

        Ok(Self {
            _notifier: Notifier::new(handler, priority)?,
        })
    }
}

#[cfg(CONFIG_RUST_MM_KUNIT_TEST)]
#[macros::kunit_tests(rust_mm_memory_hotplug)]
mod tests {
    use super::*;
    use crate::{
        new_spinlock,
        sync::SpinLock, //
    };

    /// Remembers the last range of either call, and refuses what starts at 0.
    #[pin_data]
    struct Holder {
        #[pin]
        going: SpinLock<Range<usize>>,
        #[pin]
        ended: SpinLock<Range<usize>>,
    }

    impl Handler for Holder {
        fn going_offline(&self, pfns: Range<usize>) -> Result {
            let refuse = pfns.start == 0;

            *self.going.lock() = pfns;
            if refuse {
                return Err(EBUSY);
            }
            Ok(())
        }

        fn offline_ended(&self, pfns: Range<usize>) {
            *self.ended.lock() = pfns;
        }
    }

    fn holder() -> Result<Arc<Holder>> {
        Arc::pin_init(
            pin_init!(Holder {
                going <- new_spinlock!(0..0),
                ended <- new_spinlock!(0..0),
            }),
            GFP_KERNEL,
        )
    }

    fn notify(
        registration: &Registration,
        state: bindings::memory_block_state,
        start_pfn: usize,
    ) -> c_int {
        let mut memory = bindings::memory_notify {
            start_pfn,
            nr_pages: 16,
        };

        // SAFETY: This is an event of the chain.
        unsafe {
            registration
                ._notifier
                .notify(state as c_ulong, (&raw mut memory).cast())
        }
    }

    #[test]
    fn events_reach_the_handler_with_their_range() -> Result {
        let holder = holder()?;
        let registration = Registration::new(holder.clone())?;

        for (state, start_pfn) in [
            (bindings::memory_block_state_MEM_OFFLINE, 96),
            (bindings::memory_block_state_MEM_CANCEL_OFFLINE, 32),
        ] {
            let going = bindings::memory_block_state_MEM_GOING_OFFLINE;
            let ret = notify(&registration, going, start_pfn);
            assert_eq!(ret, bindings::NOTIFY_OK as c_int);
            assert_eq!(*holder.going.lock(), start_pfn..start_pfn + 16);
            assert_ne!(*holder.ended.lock(), start_pfn..start_pfn + 16);

            notify(&registration, state, start_pfn);
            assert_eq!(*holder.ended.lock(), start_pfn..start_pfn + 16);
        }
        Ok(())
    }

    #[test]
    fn an_error_stops_the_chain() -> Result {
        let registration = Registration::new(holder()?)?;
        let going = bindings::memory_block_state_MEM_GOING_OFFLINE;

        // What `notifier_to_errno()` makes -EBUSY of.
        let busy = bindings::NOTIFY_STOP_MASK as c_int + 1 - EBUSY.to_errno();
        assert_eq!(notify(&registration, going, 0), busy);
        Ok(())
    }

    #[test]
    fn memory_that_comes_online_is_nobodys_business() -> Result {
        let holder = holder()?;
        let registration = Registration::new(holder.clone())?;
        let online = bindings::memory_block_state_MEM_GOING_ONLINE;

        let ret = notify(&registration, online, 64);
        assert_eq!(ret, bindings::NOTIFY_DONE as c_int);
        assert_eq!(*holder.going.lock(), 0..0);
        assert_eq!(*holder.ended.lock(), 0..0);
        Ok(())
    }
}
