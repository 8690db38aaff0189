// SPDX-License-Identifier: GPL-2.0

//! The balloon device and its queues.

use alloc::vec::Vec;
use core::ops::Range;

use onecopy_baremetal::contract;
use onecopy_baremetal::contract::Features;
use onecopy_baremetal::contract::Queues;
use onecopy_baremetal::pool::Piece;
use onecopy_baremetal::PAGE_BYTES;
use virtio_drivers::transport::pci::bus::DeviceFunction;
use virtio_drivers::transport::pci::bus::PciRoot;
use virtio_drivers::transport::pci::PciTransport;
use virtio_drivers::transport::DeviceStatus;
use virtio_drivers::transport::Transport;

use crate::channel::Channel;
use crate::clock::Clock;
use crate::error::Error;
use crate::hal::Machine;
use crate::pci::Ports;
use crate::ram::Ram;

/// Sizes of QEMU's queues, in descriptors.
const PAGE_QUEUE_SIZE: usize = 128;
const REPORTING_QUEUE_SIZE: usize = 32;
/// How many pages one message of the inflate queue names; the Linux driver's number.
const MESSAGE_PAGES: usize = 256;
/// More than any device has.
const MAX_QUEUES: u16 = 64;

/// A device that works.
#[derive(Debug)]
pub(crate) struct Balloon {
    /// Dropped first: that resets the device, which then no longer uses the queues.
    transport: PciTransport,
    clock: Clock,
    offered: Features,
    accepted: Features,
    inflate: Channel<PAGE_QUEUE_SIZE>,
    deflate: Channel<PAGE_QUEUE_SIZE>,
    stats: Option<Channel<PAGE_QUEUE_SIZE>>,
    reporting: Option<Channel<REPORTING_QUEUE_SIZE>>,
}

impl Balloon {
    /// Resets the device and sets it up with those of the `wanted` features that it offers.
    ///
    /// # Errors
    ///
    /// When the device refuses the features, or its queues are not the expected ones.
    pub(crate) fn start(
        root: &mut PciRoot<Ports>,
        function: DeviceFunction,
        clock: Clock,
        wanted: Features,
    ) -> Result<Self, Error> {
        let mut transport = PciTransport::new::<Machine, Ports>(root, function)?;
        let accepted = transport.begin_init(wanted);
        if !transport.get_status().contains(DeviceStatus::FEATURES_OK) {
            return Err(Error::Features(accepted));
        }
        let offered = Features::from_bits_truncate(transport.read_device_features());
        let queues = Queues::of(offered);
        let indirect = accepted.contains(Features::INDIRECT_DESC);
        let if_accepted = |index: Option<u16>, feature| {
            let accepted = accepted.contains(feature);
            index.filter(|_| accepted)
        };
        let stats = if_accepted(queues.stats, Features::STATS_VQ);
        let reporting = if_accepted(queues.reporting, Features::REPORTING);
        let transport_mut = &mut transport;
        let mut balloon = Self {
            inflate: Channel::new(transport_mut, queues.inflate, indirect)?,
            deflate: Channel::new(transport_mut, queues.deflate, indirect)?,
            stats: stats
                .map(|index| Channel::new(transport_mut, index, indirect))
                .transpose()?,
            reporting: reporting
                .map(|index| Channel::new(transport_mut, index, indirect))
                .transpose()?,
            transport,
            clock,
            offered,
            accepted,
        };
        balloon.transport.finish_init();
        Ok(balloon)
    }

    /// Returns what the device offers.
    pub(crate) fn offered(&self) -> Features {
        self.offered
    }

    /// Returns what was agreed on.
    pub(crate) fn accepted(&self) -> Features {
        self.accepted
    }

    /// Returns how many queues the device has.
    pub(crate) fn count_queues(&mut self) -> u16 {
        let exists = |index: &u16| self.transport.max_queue_size(*index) != 0;
        (0..MAX_QUEUES)
            .take_while(exists)
            .fold(0, |count, _| count + 1)
    }

    /// Returns how often the device was notified of memory that it can have.
    pub(crate) fn kicks(&self) -> u64 {
        self.inflate.kicks() + self.reporting.as_ref().map_or(0, Channel::kicks)
    }

    /// Returns how many pages the host wants in the balloon.
    pub(crate) fn target_pages(&self) -> Result<u64, Error> {
        let pages: u32 = self.transport.read_config_space(contract::CONFIG_TARGET)?;
        Ok(pages.into())
    }

    /// Returns how many pages the device thinks the balloon has.
    pub(crate) fn actual_pages(&self) -> Result<u64, Error> {
        let pages: u32 = self.transport.read_config_space(contract::CONFIG_ACTUAL)?;
        Ok(pages.into())
    }

    /// Tells the device how many pages the balloon has.
    pub(crate) fn set_actual_pages(&mut self, pages: u64) -> Result<(), Error> {
        let pages = u32::try_from(pages).map_err(|_| Error::TooSmall("the size of the balloon"))?;
        Ok(self
            .transport
            .write_config_space(contract::CONFIG_ACTUAL, pages)?)
    }

    /// Tells the device what free pages are filled with.
    pub(crate) fn set_poison(&mut self, value: u32) -> Result<(), Error> {
        Ok(self
            .transport
            .write_config_space(contract::CONFIG_POISON, value)?)
    }

    /// Gives back pages from the beginning of a part of the pool: as many as fit in the queue at
    /// once. Returns the number of the first page that did not.
    pub(crate) fn release(&mut self, ram: &Ram, pages: Range<u64>) -> Result<u64, Error> {
        if self.reporting.is_none() {
            return self.inflate(ram, pages);
        }
        let full_chains = self.reporting.as_ref().map_or(0, Channel::full_chains);
        let mut pieces = ram.pool().pieces(pages);
        let mut chains = Vec::with_capacity(full_chains);
        while chains.len() < full_chains {
            let chain: Vec<_> = pieces.by_ref().take(REPORTING_QUEUE_SIZE).collect();
            if chain.is_empty() {
                break;
            }
            chains.push(chain);
        }
        self.report(ram, &chains)?;
        Ok(pieces.position())
    }

    /// Gives ranges back through the reporting queue, with one notification.
    ///
    /// Returns what the device says it has written, in bytes, for each chain of ranges.
    pub(crate) fn report(&mut self, ram: &Ram, chains: &[Vec<Piece>]) -> Result<Vec<u32>, Error> {
        let reporting = self.reporting.as_mut().ok_or(Error::NoQueue("reporting"))?;
        reporting.discard(&mut self.transport, &self.clock, ram, chains)
    }

    fn inflate(&mut self, ram: &Ram, pages: Range<u64>) -> Result<u64, Error> {
        let part = full_queue(&pages);
        let end = part.end;
        self.send_inflate(&page_messages(ram.pool().pieces(part))?)?;
        Ok(end)
    }

    /// Puts pages into the balloon through the inflate queue, with one notification.
    ///
    /// Returns what the device says it has written, in bytes, for each message.
    pub(crate) fn send_inflate(&mut self, messages: &[Vec<u8>]) -> Result<Vec<u32>, Error> {
        self.inflate
            .send(&mut self.transport, &self.clock, messages)
    }

    /// Takes pages out of the balloon through the deflate queue, with one notification.
    ///
    /// Returns what the device says it has written, in bytes, for each message.
    pub(crate) fn send_deflate(&mut self, messages: &[Vec<u8>]) -> Result<Vec<u32>, Error> {
        self.deflate
            .send(&mut self.transport, &self.clock, messages)
    }

    /// Tells the host which pages the guest uses again, where it wants to know.
    pub(crate) fn take_back(&mut self, ram: &Ram, mut pages: Range<u64>) -> Result<(), Error> {
        if self.accepted.contains(Features::MUST_TELL_HOST) {
            while !pages.is_empty() {
                let part = full_queue(&pages);
                pages.start = part.end;
                self.send_deflate(&page_messages(ram.pool().pieces(part))?)?;
            }
        }
        Ok(())
    }

    /// Gives the device a message with statistics, and waits until it comes back: the device keeps
    /// it until the host asks for newer ones. Returns the length that comes back, in bytes.
    pub(crate) fn wait_for_stats(&mut self, message: &[u8], limit_ms: u64) -> Result<u32, Error> {
        let stats = self.stats.as_mut().ok_or(Error::NoQueue("statistics"))?;
        let token = stats.post(message)?;
        stats.kick(&mut self.transport);
        self.clock
            .wait("a request for statistics", limit_ms, || stats.is_used())?;
        stats.take(message, token)
    }
}

/// Returns the first of some pages: as many as the inflate or deflate queue takes at once.
fn full_queue(pages: &Range<u64>) -> Range<u64> {
    let most = (MESSAGE_PAGES * PAGE_QUEUE_SIZE) as u64;
    pages.start..pages.end.min(pages.start.saturating_add(most))
}

/// Returns the numbers of all pages of some ranges, as messages for the inflate or deflate queue.
///
/// # Errors
///
/// When a page lies too high for a number of 32 bits.
pub(crate) fn page_messages(pieces: impl Iterator<Item = Piece>) -> Result<Vec<Vec<u8>>, Error> {
    let numbers = pieces.flat_map(|piece| {
        let first = piece.address / PAGE_BYTES;
        first..first + piece.bytes / PAGE_BYTES
    });
    let numbers: Result<Vec<_>, _> = numbers.map(u32::try_from).collect();
    let numbers = numbers.map_err(|_| Error::TooSmall("the number of a page"))?;
    let messages = numbers.chunks(MESSAGE_PAGES);
    Ok(messages
        .map(|numbers| contract::page_numbers(numbers.iter().copied()))
        .collect())
}
