// SPDX-License-Identifier: GPL-2.0

//! Caches that memory reclaim can shrink.
//!
//! Caches per memory node and per memory cgroup are out of scope: a shrinker is asked on behalf of
//! the whole system.
//!
//! C header: [`include/linux/shrinker.h`](srctree/include/linux/shrinker.h)

use crate::{
    bindings,
    prelude::*,
    sync::Arc, //
};
use core::ptr::NonNull;

/// The largest number that a callback returns: reclaim computes with a small multiple of it, and
/// numbers far above have a meaning of their own.
const MAX_PAGES: usize = usize::MAX >> 8;

/// A cache that can be made smaller.
///
/// # Context
///
/// Both functions are called by memory reclaim, possibly by several threads at a time: by `kswapd`,
/// or by any thread that allocates memory with `__GFP_DIRECT_RECLAIM`. They may sleep, but
///
/// - must not wait for locks under which someone allocates memory that way; `try_lock` is right.
///   Allocations without `__GFP_FS` or `__GFP_IO` come here as well;
/// - should not allocate memory;
/// - must not drop a [`Registration`].
pub trait Shrinker: Send + Sync {
    /// Returns how many pages could be freed. With 0, the cache is left alone this time.
    fn count(&self) -> usize;

    /// Frees up to about `pages` pages and returns how many it freed, or [`None`] if it cannot at
    /// the moment, for instance because of a lock. Then this run of reclaim does not ask again.
    fn scan(&self, pages: usize) -> Option<usize>;
}

/// The registration of a [`Shrinker`], which ends when it is dropped.
///
/// Dropping it sleeps, until calls of the shrinker that are running return. Afterwards there are
/// none.
///
/// # Examples
///
/// ```
/// use kernel::{mm::shrinker, prelude::*, sync::Arc};
///
/// struct Cache;
///
/// impl shrinker::Shrinker for Cache {
///     fn count(&self) -> usize {
///         0
///     }
///
///     fn scan(&self, _pages: usize) -> Option<usize> {
///         None
///     }
/// }
///
/// let cache = Arc::new(Cache, GFP_KERNEL)?;
/// let registration = shrinker::Registration::new(c"doctest", cache)?;
/// drop(registration);
/// # Ok::<(), Error>(())
/// ```
///
/// # Invariants
///
/// `shrinker` came from `shrinker_alloc()` and is registered. Its `private_data` points to the
/// contents of `target`.
pub struct Registration {
    shrinker: NonNull<bindings::shrinker>,
    // A pointer to a trait object is too wide for `private_data`, so that one points here.
    _target: KBox<Arc<dyn Shrinker>>,
}

// SAFETY: Shrinkers can be freed by any thread. The target is `Send` and `Sync`.
unsafe impl Send for Registration {}

// SAFETY: A shared reference is of no use.
unsafe impl Sync for Registration {}

impl Registration {
    /// Registers `target` with memory reclaim. `name` shows up in debugfs.
    ///
    /// May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`]: there is no memory for the registration.
    pub fn new(name: &CStr, target: Arc<dyn Shrinker>) -> Result<Self> {
        let mut target = KBox::new(target, GFP_KERNEL)?;

        // SAFETY: The format takes one string.
        let shrinker =
            unsafe { bindings::shrinker_alloc(0, c"%s".as_char_ptr(), name.as_char_ptr()) };
        let shrinker = NonNull::new(shrinker).ok_or(ENOMEM)?;

        // SAFETY: `shrinker` is valid, and nobody else knows of it yet.
        unsafe {
            let shrinker = shrinker.as_ptr();

            (*shrinker).count_objects = Some(Self::count_callback);
            (*shrinker).scan_objects = Some(Self::scan_callback);
            (*shrinker).private_data = (&raw mut *target).cast();
        }

        // SAFETY: `shrinker` came from `shrinker_alloc()`. From now on until `shrinker_free()`,
        // which waits for calls that are running, its callbacks may be called.
        unsafe { bindings::shrinker_register(shrinker.as_ptr()) };

        // INVARIANT: It is registered, and the contents of a box stay where they are.
        Ok(Self {
            shrinker,
            _target: target,
        })
    }

    /// # Safety
    ///
    /// `shrinker` must be one that [`Self::new`] registered, and stay so while the result is used.
    unsafe fn target<'a>(shrinker: *mut bindings::shrinker) -> &'a dyn Shrinker {
        // SAFETY: By the safety requirements and the type invariants, `private_data` points to the
        // box of a registration that exists.
        unsafe { &**(*shrinker).private_data.cast::<Arc<dyn Shrinker>>() }
    }

    /// # Safety
    ///
    /// As for [`Self::target`].
    unsafe extern "C" fn count_callback(
        shrinker: *mut bindings::shrinker,
        _control: *mut bindings::shrink_control,
    ) -> c_ulong {
        // SAFETY: The safety requirements are those of this function.
        let target = unsafe { Self::target(shrinker) };

        target.count().min(MAX_PAGES)
    }

    /// # Safety
    ///
    /// - As for [`Self::target`].
    /// - `control` must be valid for reads and writes.
    unsafe extern "C" fn scan_callback(
        shrinker: *mut bindings::shrinker,
        control: *mut bindings::shrink_control,
    ) -> c_ulong {
        /// `SHRINK_STOP`, which is `~0UL` in C.
        const SHRINK_STOP: c_ulong = c_ulong::MAX;

        // SAFETY: The safety requirements are those of this function.
        let target = unsafe { Self::target(shrinker) };
        // SAFETY: By the safety requirements.
        let pages = unsafe { (*control).nr_to_scan };

        let Some(freed) = target.scan(pages) else {
            return SHRINK_STOP;
        };
        // SAFETY: By the safety requirements. The caller counts down by what it finds here, and
        // would ask for too much otherwise.
        unsafe { (*control).nr_scanned = freed.max(pages) };
        freed.min(MAX_PAGES)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, this is a registered shrinker. This waits for calls that
        // are running, so the target, which is dropped afterwards, is no longer in use.
        unsafe { bindings::shrinker_free(self.shrinker.as_ptr()) };
    }
}

#[cfg(CONFIG_RUST_MM_KUNIT_TEST)]
#[macros::kunit_tests(rust_mm_shrinker)]
mod tests {
    use super::*;
    use crate::sync::atomic::{
        Atomic,
        Relaxed, //
    };

    /// Has this many pages, and frees as many as it is asked for, if it has them.
    struct Cache(Atomic<usize>);

    impl Shrinker for Cache {
        fn count(&self) -> usize {
            self.0.load(Relaxed)
        }

        fn scan(&self, pages: usize) -> Option<usize> {
            let rest = self.count().checked_sub(pages)?;

            self.0.store(rest, Relaxed);
            Some(pages)
        }
    }

    fn register(pages: usize) -> Result<(Arc<Cache>, Registration)> {
        let cache = Arc::new(Cache(Atomic::new(pages)), GFP_KERNEL)?;
        let registration = Registration::new(c"rust-kunit", cache.clone())?;

        Ok((cache, registration))
    }

    /// Calls the shrinker as reclaim does: the number of pages that it has, and that it freed.
    fn shrink(registration: &Registration, pages: usize) -> (c_ulong, c_ulong) {
        let shrinker = registration.shrinker.as_ptr();
        let mut control = bindings::shrink_control {
            nr_to_scan: pages,
            ..pin_init::zeroed()
        };

        // SAFETY: By the type invariants, the shrinker is registered.
        let (count, scan) = unsafe { ((*shrinker).count_objects, (*shrinker).scan_objects) };
        let call = |callback: Option<unsafe extern "C" fn(_, _) -> _>, control| {
            // SAFETY: These are the callbacks of the shrinker.
            callback.map_or(0, |callback| unsafe { callback(shrinker, control) })
        };
        (call(count, &raw mut control), call(scan, &raw mut control))
    }

    #[test]
    fn reclaim_counts_and_frees() -> Result {
        let (cache, registration) = register(100)?;

        assert_eq!(shrink(&registration, 30), (100, 30));
        assert_eq!(shrink(&registration, 70), (70, 70));
        assert_eq!(cache.count(), 0);
        Ok(())
    }

    #[test]
    fn a_shrinker_that_cannot_free_is_not_asked_again() -> Result {
        let (cache, registration) = register(10)?;

        assert_eq!(shrink(&registration, 11), (10, c_ulong::MAX));
        assert_eq!(cache.count(), 10);
        Ok(())
    }

    #[test]
    fn numbers_do_not_turn_into_special_values() -> Result {
        let (_cache, registration) = register(usize::MAX)?;

        assert_eq!(shrink(&registration, usize::MAX), (MAX_PAGES, MAX_PAGES));
        Ok(())
    }

    #[test]
    fn a_dropped_registration_releases_its_target() -> Result {
        let (cache, registration) = register(0)?;

        drop(registration);
        assert!(Arc::into_unique_or_drop(cache).is_some());
        Ok(())
    }
}
