// SPDX-License-Identifier: GPL-2.0

//! Flush requests to the host, for segments that may be written.

use kernel::{
    device::Core,
    new_mutex,
    new_spinlock_irq,
    prelude::*,
    sync::{
        Arc,
        Completion,
        Mutex,
        SpinLockIrq, //
    },
    time::{
        msecs_to_jiffies,
        Msecs, //
    },
    virtio::{
        self,
        AnyQueue,
        Handler,
        QueueSet,
        Request,
        RequestOf,
        Virtqueue, //
    }, //
};

/// `VIRTIO_PMEM_REQ_TYPE_FLUSH`, little-endian.
const REQUEST_FLUSH: [u8; 4] = 0u32.to_le_bytes();

/// How long the host may take for a flush. It calls `fsync()`, which may have to write much.
const FLUSH_TIMEOUT_MS: Msecs = 60_000;

/// Where the interrupt handler puts the request that the device has answered.
#[pin_data]
pub(crate) struct Answer {
    #[pin]
    answered: Completion,
    #[pin]
    request: SpinLockIrq<Option<(RequestOf<FlushHandler>, usize)>>,
}

/// The handler of the flush queue.
pub(crate) struct FlushHandler(Arc<Answer>);

impl Handler for FlushHandler {
    type Out = [u8; 4];
    type In = [u8; 4];
    type Payload = ();

    fn used(&self, queue: &Virtqueue<Self>) {
        while let Some(answer) = queue.pop() {
            *self.0.request.lock() = Some(answer);
            self.0.answered.complete_all();
        }
        if queue.is_broken() {
            self.0.answered.complete_all();
        }
    }
}

/// The flush queue of a device.
///
/// There is one request, made in advance: a flush must not need memory, since memory may be waiting
/// for the flush. A request that the host does not answer in time stays with the queue, and all
/// further flushes fail at once.
#[pin_data]
pub(crate) struct FlushQueue {
    queue: Arc<Virtqueue<FlushHandler>>,
    answer: Arc<Answer>,
    /// The request while no flush is going on. Taken for the time of a flush, so only one runs.
    #[pin]
    idle: Mutex<Option<RequestOf<FlushHandler>>>,
}

impl FlushQueue {
    /// Makes a queue that no device knows yet.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let answer = Arc::pin_init(
            pin_init!(Answer {
                answered <- Completion::new(),
                request <- new_spinlock_irq!(None),
            }),
            GFP_KERNEL,
        )?;
        let handler = FlushHandler(answer.clone());
        let queue = Arc::pin_init(Virtqueue::new(c"flush_queue", handler), GFP_KERNEL)?;
        let request = Request::new(REQUEST_FLUSH, (), GFP_KERNEL)?;

        Arc::pin_init(
            pin_init!(Self {
                queue,
                answer,
                idle <- new_mutex!(Some(request)),
            }),
            GFP_KERNEL,
        )
    }

    /// Connects the queue with `vdev`.
    pub(crate) fn find<'bound>(
        &self,
        vdev: &'bound virtio::Device<Core<'_>>,
    ) -> Result<QueueSet<'bound>> {
        let mut queues: KVec<Arc<dyn AnyQueue>> = KVec::new();

        queues.push(self.queue.clone(), GFP_KERNEL)?;
        QueueSet::find(vdev, queues)
    }

    /// Asks the host to write to its storage what was written to the segments, and waits for it.
    ///
    /// Returns `EIO` if the host could not, `ETIMEDOUT` if it did not answer, `ENODEV` if the
    /// device is gone.
    pub(crate) fn flush(&self) -> Result {
        let mut idle = self.idle.lock();
        let request = idle.take().ok_or(EIO)?;

        self.answer.answered.reinit();
        if let Err((error, request)) = self.queue.add(request) {
            *idle = Some(request);
            return Err(error);
        }
        self.queue.kick()?;
        let timeout = msecs_to_jiffies(FLUSH_TIMEOUT_MS);
        if self
            .answer
            .answered
            .wait_for_completion_timeout(timeout)
            .is_none()
        {
            pr_err!("the host did not answer a flush request in {FLUSH_TIMEOUT_MS} ms\n");
            return Err(ETIMEDOUT);
        }

        let (request, written_bytes) = self.answer.request.lock().take().ok_or(EIO)?;
        let result = outcome(request.input(), written_bytes);
        *idle = Some(request);
        result
    }
}

/// Returns what the host says of a flush. An answer of which a part is missing is none: the rest of
/// the buffer is what the host said last time.
fn outcome(answer: &[u8; 4], written_bytes: usize) -> Result {
    if written_bytes == answer.len() && u32::from_le_bytes(*answer) == 0 {
        Ok(())
    } else {
        Err(EIO)
    }
}

#[cfg(CONFIG_BLK_DEV_DCSS_KUNIT_TEST)]
#[kernel::macros::kunit_tests(dcss_flush)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_answer_of_zero_is_success() {
        assert_eq!(outcome(&[0; 4], 4), Ok(()));
        assert_eq!(outcome(&[0; 4], 3), Err(EIO));
        assert_eq!(outcome(&[0; 4], 0), Err(EIO));
        assert_eq!(outcome(&1u32.to_le_bytes(), 4), Err(EIO));
        assert_eq!(outcome(&(1u32 << 24).to_le_bytes(), 4), Err(EIO));
    }
}
