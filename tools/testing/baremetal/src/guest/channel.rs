// SPDX-License-Identifier: GPL-2.0

//! A queue of the device: many buffers for one notification, and a deadline for their return.

use alloc::vec::Vec;

use onecopy_baremetal::pool::Piece;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::pci::PciTransport;
use virtio_drivers::transport::Transport;

use crate::clock::Clock;
use crate::error::Error;
use crate::hal::Machine;
use crate::ram::Ram;

/// How long the device may take for a buffer, in milliseconds: discarding 4 GiB page by page on a
/// slow host takes seconds.
const LIMIT_MS: u64 = 60_000;

/// A queue with room for `SIZE` descriptors.
#[derive(Debug)]
pub(crate) struct Channel<const SIZE: usize> {
    queue: VirtQueue<Machine, SIZE>,
    index: u16,
    indirect: bool,
    kicks: u64,
}

impl<const SIZE: usize> Channel<SIZE> {
    /// Sets up a queue of the device.
    ///
    /// # Errors
    ///
    /// When the device has no such queue, or one for fewer descriptors.
    pub(crate) fn new(
        transport: &mut PciTransport,
        index: u16,
        indirect: bool,
    ) -> Result<Self, Error> {
        let mut queue = VirtQueue::new(transport, index, indirect, false)?;
        queue.set_dev_notify(false);
        Ok(Self {
            queue,
            index,
            indirect,
            kicks: 0,
        })
    }

    /// Returns how many chains of `SIZE` buffers fit at a time.
    pub(crate) fn full_chains(&self) -> usize {
        if self.indirect {
            SIZE
        } else {
            1
        }
    }

    /// Returns how often the device was notified.
    pub(crate) fn kicks(&self) -> u64 {
        self.kicks
    }

    /// Gives ranges of the pool to the device to write to, and waits until it is done with them.
    /// The device returns chains in the order in which it gets them; another order is an error.
    ///
    /// Returns what the device says it has written, in bytes, for each chain. `chains` are at most
    /// [`Self::full_chains`], of at most `SIZE` ranges that do not overlap.
    pub(crate) fn discard(
        &mut self,
        transport: &mut PciTransport,
        clock: &Clock,
        ram: &Ram,
        chains: &[Vec<Piece>],
    ) -> Result<Vec<u32>, Error> {
        let mut tokens = Vec::with_capacity(chains.len());
        for chain in chains {
            // SAFETY: The pool's own methods, which are not called before this one ends, are the
            // only others that use the ranges.
            let mut buffers = unsafe { buffers(ram, chain) }?;
            // SAFETY: The memory of the pool is there as long as the guest.
            tokens.push(unsafe { self.queue.add(&[], &mut buffers) }?);
        }
        self.kick(transport);
        let mut lengths = Vec::with_capacity(chains.len());
        for (chain, token) in chains.iter().zip(tokens) {
            self.wait(clock)?;
            // SAFETY: As above.
            let mut buffers = unsafe { buffers(ram, chain) }?;
            // SAFETY: These are the ranges that this token was returned for.
            lengths.push(unsafe { self.queue.pop_used(token, &[], &mut buffers) }?);
        }
        Ok(lengths)
    }

    /// Lets the device read `messages`, at most `SIZE`, and waits until it has.
    ///
    /// Returns what the device says it has written, in bytes, for each.
    pub(crate) fn send(
        &mut self,
        transport: &mut PciTransport,
        clock: &Clock,
        messages: &[Vec<u8>],
    ) -> Result<Vec<u32>, Error> {
        let mut tokens = Vec::with_capacity(messages.len());
        for message in messages {
            tokens.push(self.post(message)?);
        }
        self.kick(transport);
        let mut lengths = Vec::with_capacity(messages.len());
        for (message, token) in messages.iter().zip(tokens) {
            self.wait(clock)?;
            lengths.push(self.take(message, token)?);
        }
        Ok(lengths)
    }

    /// Puts a message into the queue. The device only reads it: a message that is freed too early
    /// is read wrong, but breaks nothing.
    pub(crate) fn post(&mut self, message: &[u8]) -> Result<u16, Error> {
        // SAFETY: `take` checks the token before the message is used up; see above for one that
        // never comes back.
        Ok(unsafe { self.queue.add(&[message], &mut []) }?)
    }

    /// Takes a message back that `post` returned `token` for, and that the device has used.
    pub(crate) fn take(&mut self, message: &[u8], token: u16) -> Result<u32, Error> {
        // SAFETY: The same message, and nothing else, was added for the token.
        Ok(unsafe { self.queue.pop_used(token, &[message], &mut []) }?)
    }

    /// Tells the device to look at the queue.
    pub(crate) fn kick(&mut self, transport: &mut PciTransport) {
        if self.queue.should_notify() {
            self.kicks += 1;
            transport.notify(self.index);
        }
    }

    /// Returns whether the device has used a buffer that was not taken back yet.
    pub(crate) fn is_used(&self) -> bool {
        self.queue.can_pop()
    }

    fn wait(&self, clock: &Clock) -> Result<(), Error> {
        clock.wait("a buffer of the balloon", LIMIT_MS, || self.is_used())
    }
}

/// Returns ranges as buffers.
///
/// # Safety
///
/// As for [`Ram::buffer`], for each.
#[expect(clippy::mut_from_ref, reason = "as for Ram::buffer")]
unsafe fn buffers<'a>(ram: &'a Ram, chain: &[Piece]) -> Result<Vec<&'a mut [u8]>, Error> {
    // SAFETY: The caller's promise.
    let buffer = |piece: &Piece| unsafe { ram.buffer(*piece) };
    chain.iter().map(buffer).collect()
}
