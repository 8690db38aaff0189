// SPDX-License-Identifier: GPL-2.0

//! How pages get to the host: which queue is right for a block.

use crate::channel::{
    Channel,
    Numbering,
    Reporting,
    PFNS, //
};
use kernel::{
    mm::page_block::{
        PageBlock,
        PageBlockList, //
    },
    prelude::*,
    virtio::{
        Handler,
        Virtqueue, //
    }, //
};

/// Blocks of a lower order go to the inflate queue: for a few pages the host is faster with a
/// number for each than with an element for all.
const REPORTING_MIN_ORDER: u32 = 3;

/// The largest block whose numbers fit in a request of the inflate queue.
const NUMBERING_MAX_ORDER: u32 = PFNS.ilog2();

/// The handler of the queue for free page hints, which is not used. Accepting the feature keeps the
/// numbers of the queues right: QEMU counts those that the device offers.
pub(crate) struct Unused;

impl Handler for Unused {
    type Out = [u8; 4];
    type In = ();
    type Payload = ();

    fn used(&self, _queue: &Virtqueue<Self>) {}
}

/// The queues.
pub(crate) struct Release {
    pub(crate) inflate: Channel<Numbering>,
    pub(crate) deflate: Channel<Numbering>,
    /// Present if the device offers free page reporting.
    pub(crate) reporting: Option<Channel<Reporting>>,
    /// The host must, or is to, be told before pages are used again.
    pub(crate) must_tell: bool,
}

impl Release {
    /// Returns the largest order that can be sent, given the one that the administrator allows.
    pub(crate) fn max_order(&self, allowed: u32) -> u32 {
        match self.reporting {
            Some(_) => allowed,
            None => allowed.min(NUMBERING_MAX_ORDER),
        }
    }

    /// Begins anew with a device that was reset.
    ///
    /// Errors are those of [`Channel::restart`].
    pub(crate) fn restart(&mut self) -> Result {
        self.inflate.restart()?;
        self.deflate.restart()?;
        self.reporting.as_mut().map_or(Ok(()), Channel::restart)
    }

    /// Returns whether blocks of `order` go to the reporting queue.
    pub(crate) fn is_reported(&self, order: u32) -> bool {
        self.reporting.is_some() && order >= REPORTING_MIN_ORDER
    }

    /// Sends `block`, perhaps not before more have come. What the host is done with goes to `done`.
    ///
    /// Errors are those of [`Channel::send`].
    pub(crate) fn send(&mut self, block: PageBlock, done: &mut PageBlockList) -> Result {
        match &mut self.reporting {
            Some(reporting) if block.order() >= REPORTING_MIN_ORDER => reporting.send(block, done),
            _ => self.inflate.send(block, done),
        }
    }

    /// Waits until the host is done with everything.
    ///
    /// Errors are those of [`Channel::send`].
    pub(crate) fn finish(&mut self, done: &mut PageBlockList) -> Result {
        let inflated = self.inflate.finish(done);
        let reported = self
            .reporting
            .as_mut()
            .map_or(Ok(()), |reporting| reporting.finish(done));

        inflated.and(reported)
    }

    /// Frees what was not sent yet: the guest keeps it.
    pub(crate) fn cancel(&mut self) {
        self.inflate.cancel();
        self.deflate.cancel();
        if let Some(reporting) = &mut self.reporting {
            reporting.cancel();
        }
    }

    /// Takes back what the host is done with, without waiting.
    pub(crate) fn collect(&mut self, done: &mut PageBlockList) {
        self.inflate.collect(done);
        // What the host was told of belongs to the guest.
        self.deflate.collect(&mut PageBlockList::new());
        if let Some(reporting) = &mut self.reporting {
            reporting.collect(done);
        }
    }

    /// Returns `blocks` to the guest; the host is told before if it must be, and still answers.
    /// Returns the number of pages that it was told of.
    ///
    /// Errors are those of [`Channel::send`]; the pages are the guest's all the same.
    pub(crate) fn take_back(&mut self, mut blocks: PageBlockList) -> Result<u64> {
        if !self.must_tell || self.is_stuck() {
            return Ok(0);
        }
        let mut told = PageBlockList::new();

        self.deflate.cancel();
        while let Some(block) = blocks.pop() {
            // A block of the reporting queue has more pages than fit; the host gets them by access.
            if block.order() <= NUMBERING_MAX_ORDER {
                self.deflate.send(block, &mut told)?;
            }
        }
        self.deflate.finish(&mut told)?;
        Ok(told.pages() as u64)
    }

    /// Returns whether the host has pages that it is not done with.
    pub(crate) fn is_stuck(&self) -> bool {
        self.inflate.is_stuck()
            || self.deflate.is_stuck()
            || self.reporting.as_ref().is_some_and(Channel::is_stuck)
    }
}
