// SPDX-License-Identifier: GPL-2.0

//! Work queues of a driver's own.

use super::Queue;
use crate::{
    bindings,
    prelude::*, //
};
use core::{
    ops::Deref,
    ptr::NonNull, //
};

/// A work queue whose items run one after the other, on any CPU.
///
/// When it is dropped, it waits until all items have run, also those that they enqueue meanwhile.
/// So a module that drops its queue before it goes away leaves no work behind. It must not be
/// dropped by one of its items, which would wait for itself, and items that are delayed are not
/// waited for.
///
/// # Examples
///
/// ```
/// use kernel::{prelude::*, sync::{Arc, Completion}, workqueue::OwnedQueue};
///
/// let queue = OwnedQueue::new(c"rust_doctest")?;
/// let done = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
///
/// let signal = done.clone();
/// queue.try_spawn(GFP_KERNEL, move || signal.complete_all())?;
/// drop(queue);
/// assert!(done.wait_for_completion_timeout(1).is_some());
/// # Ok::<(), Error>(())
/// ```
///
/// # Invariants
///
/// `self.0` is a valid workqueue that nobody else destroys.
pub struct OwnedQueue(NonNull<bindings::workqueue_struct>);

// SAFETY: A workqueue does not belong to a thread.
unsafe impl Send for OwnedQueue {}

// SAFETY: What a shared reference allows is thread-safe, as for `Queue`.
unsafe impl Sync for OwnedQueue {}

impl OwnedQueue {
    /// Makes a queue, which shows up as `name` in the list of kernel threads.
    ///
    /// Returns `ENOMEM` if there is no memory.
    pub fn new(name: &CStr) -> Result<Self> {
        // SAFETY: The format takes one string, which is only used during the call.
        let queue = unsafe {
            bindings::alloc_workqueue_noprof(
                c"%s".as_char_ptr(),
                bindings::wq_flags_WQ_UNBOUND,
                1,
                name.as_char_ptr(),
            )
        };
        // INVARIANT: The queue is new.
        Ok(Self(NonNull::new(queue).ok_or(ENOMEM)?))
    }
}

impl Deref for OwnedQueue {
    type Target = Queue;

    fn deref(&self) -> &Queue {
        // SAFETY: By the type invariants the queue is valid as long as `self`.
        unsafe { Queue::from_raw(self.0.as_ptr()) }
    }
}

impl Drop for OwnedQueue {
    fn drop(&mut self) {
        // SAFETY: By the type invariants the queue is valid and ours to destroy.
        unsafe { bindings::destroy_workqueue(self.0.as_ptr()) };
    }
}
