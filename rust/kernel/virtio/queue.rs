// SPDX-License-Identifier: GPL-2.0

//! Virtqueues that own the buffers which are in use by the device.
//!
//! C header: [`include/linux/virtio.h`](srctree/include/linux/virtio.h)

use super::{
    queue_set::{
        private::Sealed,
        AnyQueue, //
    },
    Request, //
};
use crate::{
    bindings,
    error::to_result,
    mm::page_block::PageBlock,
    new_spinlock_irq,
    prelude::*,
    sync::SpinLockIrq, //
};
use core::ptr::NonNull;
use zerocopy::Immutable;

/// What a driver does with a virtqueue, and which requests travel through it.
pub trait Handler: Sized + Send + Sync + 'static {
    /// The part of a request that the device reads.
    type Out: IntoBytes + Immutable + Send;

    /// The part of a request that the device writes.
    type In: FromBytes + Send;

    /// What the driver keeps with a request.
    type Payload: Send;

    /// Returns how many bytes of `Out` the device gets to read, at most all of them.
    fn output_bytes(payload: &Self::Payload) -> usize {
        let _ = payload;
        size_of::<Self::Out>()
    }

    /// Returns the blocks of pages that the device writes, or takes away, besides `In`.
    ///
    /// They travel in the payload and are shown to the device in this order, each as one element.
    /// There may be at most [`MAX_BLOCKS`] of them.
    fn blocks(payload: &Self::Payload) -> &[PageBlock] {
        let _ = payload;
        &[]
    }

    /// The device used at least one request; [`Virtqueue::pop`] returns it.
    ///
    /// Called in interrupt context, so it must not sleep. It may also be called when there is
    /// nothing to pop.
    fn used(&self, queue: &Virtqueue<Self>);
}

/// How many blocks of pages one request can have.
pub const MAX_BLOCKS: usize = 32;

/// The requests that travel through the virtqueue of handler `H`.
pub type RequestOf<H> =
    KBox<Request<<H as Handler>::Out, <H as Handler>::In, <H as Handler>::Payload>>;

/// A virtqueue.
///
/// A virtqueue is in one of three states:
///
/// 1. Free: made by [`Virtqueue::new`], not yet known to a device; or the device was reset, and all
///    requests that it still had were dropped. All operations return `ENODEV`.
/// 2. Reserved: [`QueueSet::find`](super::QueueSet::find) is asking a device for it. All operations
///    return `ENODEV`.
/// 3. Attached: it is connected with a device.
///
/// All operations may be called from any context, including the handler.
///
/// # Invariants
///
/// - The virtqueue in `state`, if there is one, is valid and used only while `state` is locked.
/// - Each token in the virtqueue comes from [`KBox::into_raw`] on a [`RequestOf<H>`].
#[pin_data]
pub struct Virtqueue<H: Handler> {
    name: &'static CStr,
    handler: H,
    #[pin]
    state: SpinLockIrq<State>,
}

enum State {
    Free,
    Reserved,
    Attached(NonNull<bindings::virtqueue>),
}

impl State {
    fn vq(&self) -> Option<NonNull<bindings::virtqueue>> {
        match self {
            Self::Attached(vq) => Some(*vq),
            Self::Free | Self::Reserved => None,
        }
    }
}

// SAFETY: A `struct virtqueue` does not belong to a thread; it must only not be used by two at a
// time, which is what the lock around `State` is for.
unsafe impl Send for State {}

/// Returns an initialiser for the state of a virtqueue, under its lock.
///
/// There is one of this for all drivers: lockdep wants the name of a class to be one string, and
/// generic code has one of its own in each module.
#[inline(never)]
fn new_state() -> impl PinInit<SpinLockIrq<State>> {
    new_spinlock_irq!(State::Free, "Virtqueue::state")
}

impl<H: Handler> Virtqueue<H> {
    /// Returns an initialiser for a new virtqueue; `name` shows up in the list of interrupts.
    pub fn new(name: &'static CStr, handler: H) -> impl PinInit<Self> {
        // INVARIANT: There is no virtqueue yet.
        pin_init!(Self {
            name,
            handler,
            state <- new_state(),
        })
    }

    /// Returns the driver's part of the queue.
    pub fn handler(&self) -> &H {
        &self.handler
    }

    /// Hands a request to the device, which learns of it with the next [`Self::kick`].
    ///
    /// Returns the request together with the reason if the queue did not take it: `ENOSPC` if the
    /// queue is full, `EIO` if it is broken, `ENODEV` if it is not attached, `EINVAL` if the
    /// request has nothing for the device or too many blocks, `ENOMEM`.
    pub fn add(&self, request: RequestOf<H>) -> Result<(), (Error, RequestOf<H>)> {
        let state = self.state.lock();
        let Some(vq) = state.vq() else {
            return Err((ENODEV, request));
        };
        let raw = KBox::into_raw(request);

        // SAFETY: `vq` is valid and locked by the type invariants. `raw` is the only pointer to a
        // request on the heap, which stays in place until it is taken from the queue again.
        //
        // INVARIANT: The token comes from `KBox::into_raw`.
        unsafe { Self::add_raw(vq, raw) }.map_err(|error| {
            // SAFETY: The queue did not take the request, so `raw` is still ours alone, and it
            // came from `KBox::into_raw` above.
            (error, unsafe { KBox::from_raw(raw) })
        })
    }

    /// # Safety
    ///
    /// - `vq` must be valid, and nobody else may use it during the call.
    /// - `raw` must point to a request on the heap that nobody accesses until it was taken from
    ///   `vq` again, unless this function fails.
    unsafe fn add_raw(
        vq: NonNull<bindings::virtqueue>,
        raw: *mut Request<H::Out, H::In, H::Payload>,
    ) -> Result {
        // SAFETY: `raw` is valid by the safety requirements, and nobody accesses it during the
        // call.
        let blocks = unsafe { H::blocks(&(*raw).payload) };
        if blocks.is_empty() {
            // SAFETY: The safety requirements are those of this function.
            return unsafe { Self::add_elements(vq, raw, core::ptr::null_mut()) };
        }
        if blocks.len() > MAX_BLOCKS {
            return Err(EINVAL);
        }

        let mut list: [bindings::scatterlist; MAX_BLOCKS] = pin_init::zeroed();
        // CAST: At most `MAX_BLOCKS`.
        // SAFETY: There are at least as many entries in `list`.
        unsafe { bindings::sg_init_table(list.as_mut_ptr(), blocks.len() as u32) };
        for (entry, block) in list.iter_mut().zip(blocks) {
            // SAFETY: `entry` is initialised. The block owns its pages, and the payload, which
            // nobody accesses, the block. CAST: A block has at most `2^MAX_ORDER` pages, which is
            // far less than 4 GiB.
            unsafe { bindings::sg_set_page(entry, block.as_page(), block.size_bytes() as u32, 0) };
        }
        // SAFETY: The safety requirements are those of this function. The list is initialised and
        // describes memory that is the device's until the request was taken from the queue.
        unsafe { Self::add_elements(vq, raw, list.as_mut_ptr()) }
    }

    /// # Safety
    ///
    /// As for [`Self::add_raw`]; besides, `blocks` must be null or an initialised list of memory
    /// that nobody uses until the request was taken from `vq` again.
    unsafe fn add_elements(
        vq: NonNull<bindings::virtqueue>,
        raw: *mut Request<H::Out, H::In, H::Payload>,
        blocks: *mut bindings::scatterlist,
    ) -> Result {
        let mut output: bindings::scatterlist = pin_init::zeroed();
        let mut input: bindings::scatterlist = pin_init::zeroed();
        let mut lists: [*mut bindings::scatterlist; 3] = [core::ptr::null_mut(); 3];
        let mut counts = [0; 2];

        // SAFETY: `raw` is valid by the safety requirements, and nobody accesses it during the
        // call.
        let output_bytes = unsafe { H::output_bytes(&(*raw).payload) }.min(size_of::<H::Out>());
        if output_bytes > 0 {
            // SAFETY: `raw` is valid by the safety requirements, so the field is on the heap; the
            // size is at most that of the field. CAST: `kmalloc()` memory is far smaller than 4
            // GiB.
            unsafe {
                bindings::sg_init_one(
                    &mut output,
                    (&raw const (*raw).output).cast(),
                    output_bytes as u32,
                )
            };
            lists[0] = &raw mut output;
            counts[0] = 1;
        }
        if size_of::<H::In>() > 0 {
            // SAFETY: As above.
            unsafe {
                bindings::sg_init_one(
                    &mut input,
                    (&raw const (*raw).input).cast(),
                    size_of::<H::In>() as u32,
                )
            };
            lists[counts[0]] = &raw mut input;
            counts[1] = 1;
        }
        if !blocks.is_null() {
            lists[counts[0] + counts[1]] = blocks;
            counts[1] += 1;
        }
        if counts == [0; 2] {
            return Err(EINVAL);
        }

        // SAFETY: `vq` is valid and not used by anybody else by the safety requirements; `lists`
        // holds as many initialised scatter-gather lists as the counts say.
        to_result(unsafe {
            bindings::virtqueue_add_sgs(
                vq.as_ptr(),
                lists.as_mut_ptr(),
                counts[0] as u32,
                counts[1] as u32,
                raw.cast(),
                bindings::GFP_ATOMIC,
            )
        })
    }

    /// Tells the device that there are new requests.
    ///
    /// Returns `EIO` if the queue is broken, `ENODEV` if it is not attached.
    pub fn kick(&self) -> Result {
        let state = self.state.lock();
        let vq = state.vq().ok_or(ENODEV)?;

        // SAFETY: `vq` is valid and locked by the type invariants.
        if unsafe { bindings::virtqueue_kick(vq.as_ptr()) } {
            Ok(())
        } else {
            Err(EIO)
        }
    }

    /// Takes a request back that the device is done with, and how many bytes the device wrote.
    pub fn pop(&self) -> Option<(RequestOf<H>, usize)> {
        let state = self.state.lock();
        let mut written: u32 = 0;

        // SAFETY: The virtqueue is valid and locked by the type invariants.
        let token = unsafe { bindings::virtqueue_get_buf(state.vq()?.as_ptr(), &mut written) };
        let raw = NonNull::new(token.cast())?;

        // SAFETY: By the type invariants the token came from `KBox::into_raw`. The virtqueue
        // returns each token once, and the device no longer uses the memory.
        let request = unsafe { KBox::from_raw(raw.as_ptr()) };
        // CAST: `u32` to `usize` loses nothing. The device may claim more than there is room for.
        Some((request, (written as usize).min(size_of::<H::In>())))
    }

    /// Returns whether the queue is beyond repair: detached, or broken by the device.
    pub fn is_broken(&self) -> bool {
        let state = self.state.lock();

        // SAFETY: The virtqueue is valid and locked by the type invariants.
        state
            .vq()
            .is_none_or(|vq| unsafe { bindings::virtqueue_is_broken(vq.as_ptr()) })
    }

    /// Takes a request that the device did not use, which is possible only when it is reset.
    fn take_unused(state: &State) -> Option<RequestOf<H>> {
        // SAFETY: The virtqueue is valid by the type invariants; that `state` can be borrowed
        // shows that it is locked.
        let token = unsafe { bindings::virtqueue_detach_unused_buf(state.vq()?.as_ptr()) };
        let raw = NonNull::new(token.cast())?;

        // SAFETY: As in `pop`.
        Some(unsafe { KBox::from_raw(raw.as_ptr()) })
    }
}

impl<H: Handler> Sealed for Virtqueue<H> {}

// SAFETY: `attach` and `detach` set and clear the only pointer to the virtqueue under the lock
// that all operations hold, and `detach` takes all requests out of the queue.
unsafe impl<H: Handler> AnyQueue for Virtqueue<H> {
    fn name(&self) -> &'static CStr {
        self.name
    }

    fn reserve(&self) -> Result {
        let mut state = self.state.lock();
        if !matches!(*state, State::Free) {
            return Err(EBUSY);
        }

        *state = State::Reserved;
        Ok(())
    }

    unsafe fn attach(&self, vq: NonNull<bindings::virtqueue>) {
        // INVARIANT: `vq` is valid until `detach` by the safety requirements of this function, and
        // a new virtqueue holds no token.
        *self.state.lock() = State::Attached(vq);
    }

    fn detach(&self) {
        while self.pop().is_some() {}

        // Dropping a payload may call into the driver, so don't do it with the lock held.
        while let Some(request) = {
            let state = self.state.lock();
            Self::take_unused(&state)
        } {
            drop(request);
        }
        // INVARIANT: No virtqueue, no token.
        *self.state.lock() = State::Free;
    }

    fn interrupt(&self) {
        self.handler.used(self);
    }

    fn give_up(&self) {
        if let Some(vq) = self.state.lock().vq() {
            // SAFETY: The virtqueue is valid and locked by the type invariants.
            unsafe { bindings::__virtqueue_break(vq.as_ptr()) };
        }
    }
}

#[cfg(CONFIG_RUST_VIRTIO_KUNIT_TEST)]
#[macros::kunit_tests(rust_virtio)]
mod tests {
    use super::*;
    use crate::sync::Arc;

    struct Echo;

    impl Handler for Echo {
        type Out = [u8; 4];
        type In = [u8; 8];
        type Payload = u32;

        fn used(&self, _queue: &Virtqueue<Self>) {}
    }

    fn queue() -> Result<Arc<Virtqueue<Echo>>> {
        Arc::pin_init(Virtqueue::new(c"echo", Echo), GFP_KERNEL)
    }

    #[test]
    fn a_queue_without_a_device_gives_the_request_back() -> Result {
        let request = Request::new([1, 2, 3, 4], 42, GFP_KERNEL)?;

        let refused = queue()?.add(request).err();
        assert!(refused.is_some_and(|(error, request)| {
            error == ENODEV && request.payload == 42 && request.output() == &[1, 2, 3, 4]
        }));
        Ok(())
    }

    #[test]
    fn a_queue_without_a_device_does_nothing() -> Result {
        let queue = queue()?;

        assert_eq!(queue.kick(), Err(ENODEV));
        assert!(queue.pop().is_none());
        assert!(queue.is_broken());
        Ok(())
    }

    #[test]
    fn a_queue_is_reserved_once() -> Result {
        let queue = queue()?;

        assert_eq!(queue.reserve(), Ok(()));
        assert_eq!(queue.reserve(), Err(EBUSY));
        queue.detach();
        assert_eq!(queue.reserve(), Ok(()));
        Ok(())
    }

    #[test]
    fn detaching_twice_is_harmless() -> Result {
        let queue = queue()?;

        queue.detach();
        queue.detach();
        assert!(queue.is_broken());
        Ok(())
    }

    #[test]
    fn what_the_device_writes_begins_as_zeroes() -> Result {
        let request = Request::<[u8; 4], [u8; 8]>::new([0; 4], (), GFP_KERNEL)?;

        assert_eq!(request.input(), &[0; 8]);
        Ok(())
    }
}
