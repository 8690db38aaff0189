// SPDX-License-Identifier: GPL-2.0

//! The statistics queue: the host returns the buffer when it wants a new one.

use crate::report::{
    Report,
    BUFFER_BYTES, //
};
use kernel::{
    prelude::*,
    sync::{
        Arc,
        Completion, //
    },
    virtio::{
        Handler,
        Request,
        RequestOf,
        Virtqueue, //
    }, //
};

/// The handler of the statistics queue.
pub(crate) struct Asked(Arc<Completion>);

impl Handler for Asked {
    type Out = [u8; BUFFER_BYTES];
    type In = ();
    /// How many bytes of the buffer mean something.
    type Payload = usize;

    fn output_bytes(len_bytes: &usize) -> usize {
        *len_bytes
    }

    fn used(&self, _queue: &Virtqueue<Self>) {
        self.0.complete_all();
    }
}

/// The statistics queue and its only buffer.
pub(crate) struct Statistics {
    queue: Arc<Virtqueue<Asked>>,
    /// The buffer while the host does not have it.
    buffer: Option<RequestOf<Asked>>,
}

impl Statistics {
    /// Makes a queue that no device knows yet; `wake` is completed when the host asks.
    pub(crate) fn new(wake: Arc<Completion>) -> Result<Self> {
        Ok(Self {
            queue: Arc::pin_init(Virtqueue::new(c"stats", Asked(wake)), GFP_KERNEL)?,
            buffer: None,
        })
    }

    /// Returns the queue, to ask a device for it.
    pub(crate) fn queue(&self) -> Arc<Virtqueue<Asked>> {
        self.queue.clone()
    }

    /// Gives the host its first buffer, after which it can ask for others.
    pub(crate) fn start(&mut self) -> Result {
        if self.buffer.is_none() {
            self.buffer = Some(Request::new([0; BUFFER_BYTES], 0, GFP_KERNEL)?);
        }
        self.send()
    }

    /// Answers the host if it has asked, and returns whether it has.
    pub(crate) fn serve(&mut self) -> Result<bool> {
        let Some((buffer, _)) = self.queue.pop() else {
            return Ok(false);
        };

        self.buffer = Some(buffer);
        self.send()?;
        Ok(true)
    }

    fn send(&mut self) -> Result {
        let Some(mut buffer) = self.buffer.take() else {
            return Ok(());
        };
        let report = Report::now();

        *buffer.output_mut() = *report.bytes();
        buffer.payload = report.len_bytes();
        self.queue.add(buffer).map_err(|(error, buffer)| {
            self.buffer = Some(buffer);
            error
        })?;
        self.queue.kick()
    }
}
