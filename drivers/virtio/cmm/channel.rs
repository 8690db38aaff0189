// SPDX-License-Identifier: GPL-2.0

//! Ways for blocks of pages to the host: batches of blocks that travel through a virtqueue.

use crate::answers::Answers;
use kernel::{
    mm::page_block::{
        PageBlock,
        PageBlockList, //
    },
    prelude::*,
    sync::Arc,
    virtio::{
        Handler,
        Request,
        RequestOf,
        Virtqueue,
        MAX_BLOCKS, //
    }, //
};

/// How many requests a channel has.
///
/// The host is told when all of them are full, and the guest sleeps until it is done: for each
/// piece of memory that the host takes away it has to interrupt the processors that run the guest.
const REQUESTS: usize = 32;

/// How many page frame numbers a request of the inflate and the deflate queue has.
pub(crate) const PFNS: usize = 256;

/// A virtqueue handler whose requests carry blocks.
pub(crate) trait Carrier: Handler {
    /// Makes an empty request.
    fn request() -> Result<RequestOf<Self>>;

    /// Puts a block into the request and marks it as the host's, or returns it if there is no room.
    fn load(request: &mut RequestOf<Self>, block: PageBlock) -> Result<(), PageBlock>;

    /// Returns whether there is no block in the request.
    fn is_empty(request: &RequestOf<Self>) -> bool;

    /// Moves all blocks out of the request.
    fn unload(request: &mut RequestOf<Self>, to: &mut PageBlockList);
}

/// The handler of the reporting queue: each block is an element that the host discards.
pub(crate) struct Reporting(Arc<Answers>);

impl Handler for Reporting {
    type Out = ();
    type In = ();
    type Payload = KVec<PageBlock>;

    fn blocks(payload: &KVec<PageBlock>) -> &[PageBlock] {
        payload
    }

    fn used(&self, _queue: &Virtqueue<Self>) {
        self.0.arrived();
    }
}

impl Carrier for Reporting {
    fn request() -> Result<RequestOf<Self>> {
        Request::new((), KVec::with_capacity(MAX_BLOCKS, GFP_KERNEL)?, GFP_KERNEL)
    }

    fn load(request: &mut RequestOf<Self>, mut block: PageBlock) -> Result<(), PageBlock> {
        let blocks = &mut request.payload;
        if blocks.len() == MAX_BLOCKS {
            return Err(block);
        }

        block.set_ballooned();
        blocks.push_within_capacity(block).map_err(|error| error.0)
    }

    fn is_empty(request: &RequestOf<Self>) -> bool {
        request.payload.is_empty()
    }

    fn unload(request: &mut RequestOf<Self>, to: &mut PageBlockList) {
        while let Some(block) = request.payload.pop() {
            to.push(block);
        }
    }
}

/// The handler of the inflate and the deflate queue: the host is told the number of each page.
pub(crate) struct Numbering(Arc<Answers>);

/// Blocks, and how many numbers they take.
#[derive(Default)]
pub(crate) struct Numbered {
    blocks: PageBlockList,
    len: usize,
}

impl Handler for Numbering {
    type Out = [u32; PFNS];
    type In = ();
    type Payload = Numbered;

    fn output_bytes(payload: &Numbered) -> usize {
        payload.len * size_of::<u32>()
    }

    fn used(&self, _queue: &Virtqueue<Self>) {
        self.0.arrived();
    }
}

impl Carrier for Numbering {
    fn request() -> Result<RequestOf<Self>> {
        Request::new([0; PFNS], Numbered::default(), GFP_KERNEL)
    }

    fn load(request: &mut RequestOf<Self>, mut block: PageBlock) -> Result<(), PageBlock> {
        let start = request.payload.len;
        let end = start + block.pages();
        let Some(numbers) = request.output_mut().get_mut(start..end) else {
            return Err(block);
        };

        for (number, pfn) in numbers.iter_mut().zip(block.pfn()..) {
            // CAST: The device has no more than 32 bits for the number of a page of 4 KiB.
            *number = (pfn as u32).to_le();
        }
        block.set_ballooned();
        request.payload.len = end;
        request.payload.blocks.push(block);
        Ok(())
    }

    fn is_empty(request: &RequestOf<Self>) -> bool {
        request.payload.len == 0
    }

    fn unload(request: &mut RequestOf<Self>, to: &mut PageBlockList) {
        to.append(core::mem::take(&mut request.payload.blocks));
        request.payload.len = 0;
    }
}

/// A virtqueue and its requests. Only one thread uses it.
pub(crate) struct Channel<H: Carrier> {
    queue: Arc<Virtqueue<H>>,
    answers: Arc<Answers>,
    /// The request that is being filled.
    open: Option<RequestOf<H>>,
    idle: KVec<RequestOf<H>>,
    in_flight: usize,
}

impl Channel<Reporting> {
    /// Makes a reporting queue that no device knows yet.
    pub(crate) fn reporting(answers: &Arc<Answers>) -> Result<Self> {
        Self::new(c"reporting", Reporting(answers.clone()), answers.clone())
    }
}

impl Channel<Numbering> {
    /// Makes an inflate or deflate queue that no device knows yet.
    pub(crate) fn numbering(name: &'static CStr, answers: &Arc<Answers>) -> Result<Self> {
        Self::new(name, Numbering(answers.clone()), answers.clone())
    }
}

impl<H: Carrier> Channel<H> {
    fn new(name: &'static CStr, handler: H, answers: Arc<Answers>) -> Result<Self> {
        let queue = Arc::pin_init(Virtqueue::new(name, handler), GFP_KERNEL)?;
        let mut idle = KVec::with_capacity(REQUESTS, GFP_KERNEL)?;
        for _ in 0..REQUESTS {
            idle.push(H::request()?, GFP_KERNEL)?;
        }

        Ok(Self {
            queue,
            answers,
            open: None,
            idle,
            in_flight: 0,
        })
    }

    /// Returns the queue, to ask a device for it.
    pub(crate) fn queue(&self) -> Arc<Virtqueue<H>> {
        self.queue.clone()
    }

    /// Begins anew with a device that was reset: what it had is lost, and was freed.
    ///
    /// Returns `ENOMEM` if there is no memory for new requests.
    pub(crate) fn restart(&mut self) -> Result {
        self.in_flight = 0;
        self.cancel();
        while self.idle.len() < REQUESTS {
            self.idle.push(H::request()?, GFP_KERNEL)?;
        }
        Ok(())
    }

    /// Frees what was not sent yet.
    pub(crate) fn cancel(&mut self) {
        if let Some(mut request) = self.open.take() {
            H::unload(&mut request, &mut PageBlockList::new());
            self.put_back(request);
        }
    }

    /// Sends `block`, perhaps not before more have come. What the host is done with goes to `done`.
    ///
    /// Returns `ETIMEDOUT` if the host is not done with anything in time, `EIO` if it broke the
    /// queue, `ENODEV` if the device is gone. The block is freed then.
    pub(crate) fn send(&mut self, block: PageBlock, done: &mut PageBlockList) -> Result {
        let mut request = self.open(done)?;
        let block = match H::load(&mut request, block) {
            Ok(()) => {
                self.open = Some(request);
                return Ok(());
            }
            Err(block) => block,
        };
        self.submit(request, done)?;
        let mut request = self.open(done)?;
        // A block that has no room in an empty request has none at all.
        let loaded = H::load(&mut request, block).map_err(|_| EINVAL);
        self.open = Some(request);
        loaded
    }

    /// Sends what is left, and waits until the host is done with everything.
    ///
    /// Errors are those of [`Self::send`].
    pub(crate) fn finish(&mut self, done: &mut PageBlockList) -> Result {
        if let Some(request) = self.open.take() {
            if H::is_empty(&request) {
                self.put_back(request);
            } else {
                self.submit(request, done)?;
            }
        }
        self.wait_for_all(done)
    }

    /// Returns whether the host has something that it is not done with.
    pub(crate) fn is_stuck(&self) -> bool {
        self.in_flight > 0
    }

    /// Returns the request that is being filled, or an empty one.
    fn open(&mut self, done: &mut PageBlockList) -> Result<RequestOf<H>> {
        loop {
            if let Some(request) = self.open.take().or_else(|| self.idle.pop()) {
                return Ok(request);
            }
            self.wait_for_all(done)?;
        }
    }

    fn submit(&mut self, mut request: RequestOf<H>, done: &mut PageBlockList) -> Result {
        loop {
            match self.queue.add(request) {
                Ok(()) => break,
                Err((ENOSPC, back)) if self.in_flight > 0 => {
                    request = back;
                    self.wait_for_all(done)?;
                }
                Err((error, mut back)) => {
                    // The host was not told: the pages stay with the guest.
                    H::unload(&mut back, &mut PageBlockList::new());
                    self.put_back(back);
                    return Err(error);
                }
            }
        }
        self.in_flight += 1;
        Ok(())
    }

    /// Tells the host of its requests, and waits until it is done with all of them.
    fn wait_for_all(&mut self, done: &mut PageBlockList) -> Result {
        if self.in_flight > 0 {
            self.queue.kick()?;
        }
        while self.in_flight > 0 {
            self.wait(done)?;
        }
        Ok(())
    }

    /// Waits until the host is done with at least one request.
    fn wait(&mut self, done: &mut PageBlockList) -> Result {
        let answers = self.answers.clone();

        answers.wait(|| {
            if self.collect(done) > 0 {
                return Ok(Some(()));
            }
            if self.queue.is_broken() {
                return Err(EIO);
            }
            Ok(None)
        })
    }

    /// Takes back what the host is done with, and returns how many requests that were.
    pub(crate) fn collect(&mut self, done: &mut PageBlockList) -> usize {
        let mut count = 0;

        while let Some((mut request, _)) = self.queue.pop() {
            H::unload(&mut request, done);
            self.put_back(request);
            self.in_flight = self.in_flight.saturating_sub(1);
            count += 1;
        }
        count
    }

    fn put_back(&mut self, request: RequestOf<H>) {
        // There is room for all requests that there are.
        let _ = self.idle.push_within_capacity(request);
    }
}
