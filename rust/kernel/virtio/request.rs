// SPDX-License-Identifier: GPL-2.0

//! Buffers that a virtqueue owns while the device uses them.

use crate::{
    alloc::Flags,
    prelude::*, //
};
use zerocopy::Immutable;

/// A buffer in two parts: what the device reads and what the device writes.
///
/// A request is in one of two states:
///
/// 1. The driver has it, as a [`KBox`]. The device does not know of it.
/// 2. A [`Virtqueue`](super::Virtqueue) has it. The device reads `Out` and writes `In`; the driver
///    has no way to touch either. [`Virtqueue::pop`](super::Virtqueue::pop) leads back to the first
///    state once the device is done, or the request is dropped together with the queue.
///
/// A part of zero size is not shown to the device. `Payload` is the driver's own and travels along.
///
/// # Examples
///
/// ```
/// use kernel::{prelude::*, virtio::Request};
///
/// let mut request = Request::<[u8; 4], [u8; 8], u32>::new([1, 2, 3, 4], 42, GFP_KERNEL)?;
/// request.output_mut()[0] = 9;
/// assert_eq!(request.output(), &[9, 2, 3, 4]);
/// assert_eq!(request.input(), &[0; 8]);
/// assert_eq!(request.payload, 42);
/// # Ok::<(), Error>(())
/// ```
#[repr(C)]
pub struct Request<Out, In, Payload = ()> {
    pub(super) output: Out,
    pub(super) input: In,
    /// What the driver wants back together with the answer.
    pub payload: Payload,
}

impl<Out, In, Payload> Request<Out, In, Payload>
where
    Out: IntoBytes + Immutable,
    In: FromBytes,
{
    /// Allocates a request that carries `output` to the device.
    ///
    /// Returns `ENOMEM` if there is no memory.
    pub fn new(output: Out, payload: Payload, flags: Flags) -> Result<KBox<Self>> {
        let request = Self {
            output,
            input: In::new_zeroed(),
            payload,
        };

        Ok(KBox::new(request, flags)?)
    }

    /// Returns what the device reads.
    pub fn output(&self) -> &Out {
        &self.output
    }

    /// Returns what the device is going to read, to change it before the request is used again.
    pub fn output_mut(&mut self) -> &mut Out {
        &mut self.output
    }

    /// Returns what the device has written; zeroes where it has not.
    pub fn input(&self) -> &In {
        &self.input
    }
}
