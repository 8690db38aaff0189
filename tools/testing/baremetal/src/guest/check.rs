// SPDX-License-Identifier: GPL-2.0

//! `mode=check`: what the device does, against what its contract says.

mod device;
mod pages;
mod report;
mod requests;

use alloc::format;
use alloc::vec::Vec;
use core::fmt::Debug;

use onecopy_baremetal::contract::Features;
use onecopy_baremetal::pool::Piece;
use onecopy_baremetal::tally::Tally;
use virtio_drivers::transport::pci::bus::DeviceFunction;
use virtio_drivers::transport::pci::bus::PciRoot;

use crate::balloon::Balloon;
use crate::clock::Clock;
use crate::error::Error;
use crate::pci::Ports;
use crate::ram::Ram;
use crate::say;
use crate::serial::Serial;

/// Memory that the checks write to and give back, in bytes.
const SCRATCH_BYTES: u64 = 16 << 20;
const MIB: u64 = 1 << 20;

/// A check: what it shows, what it needs, and how it is done.
struct Check(
    &'static str,
    Need,
    fn(&mut Checker<'_>) -> Result<(), Error>,
);

/// What a check needs; without it, the check is left out.
#[derive(Debug, Clone, Copy)]
enum Need {
    Nothing,
    /// The reporting queue.
    Reporting,
    /// The reporting queue, and a device that knows of filled pages.
    Poison,
    /// A host that answers requests.
    Host,
}

/// In the order in which they are done.
#[rustfmt::skip]
const CHECKS: &[Check] = &[
    Check("the device offers version 1 and statistics", Need::Nothing, device::features),
    Check("the offered features have as many queues as there are", Need::Nothing, device::queues),
    Check("target and size of the balloon are 0 at first", Need::Nothing, device::empty),
    Check("the size of the balloon reads back as written", Need::Nothing, device::size),
    Check("a reported range of 4 MiB is discarded", Need::Reporting, report::large_range),
    Check("a reported range of 4 KiB is discarded", Need::Reporting, report::small_range),
    Check("32 ranges in one chain are discarded", Need::Reporting, report::chain),
    Check("32 chains after one notification are discarded", Need::Reporting, report::chains),
    Check("ranges out of order are discarded", Need::Reporting, report::out_of_order),
    Check("reported ranges come back with length 0", Need::Reporting, report::length),
    Check("pages of the inflate queue are discarded", Need::Nothing, pages::inflate),
    Check("messages of the deflate queue are answered", Need::Nothing, pages::deflate),
    Check("a reset device can be set up again", Need::Nothing, device::restart),
    Check("after a reset reported ranges are discarded", Need::Reporting, report::chains),
    Check("after a reset pages of the inflate queue are discarded", Need::Nothing, pages::inflate),
    Check("reported ranges keep what pages are filled with", Need::Poison, report::poison),
    Check("a target beyond what the guest has is kept", Need::Host, requests::beyond),
    Check("statistics come back when the host asks, and again", Need::Host, requests::statistics),
];

/// The device and what it is checked with.
#[derive(Debug)]
pub(crate) struct Checker<'a> {
    /// Nothing only while the device is being restarted.
    balloon: Option<Balloon>,
    root: PciRoot<Ports>,
    function: DeviceFunction,
    clock: Clock,
    ram: &'a Ram,
    wanted: Features,
    scratch: Piece,
}

impl<'a> Checker<'a> {
    /// Sets the device up with the `wanted` features.
    ///
    /// # Errors
    ///
    /// When that fails, or there is too little memory to check with.
    pub(crate) fn new(
        mut root: PciRoot<Ports>,
        function: DeviceFunction,
        clock: Clock,
        ram: &'a Ram,
        wanted: Features,
    ) -> Result<Self, Error> {
        let scratch = ram.pool().contiguous(SCRATCH_BYTES);
        let scratch = scratch.ok_or(Error::TooSmall("the checks"))?;
        let balloon = Balloon::start(&mut root, function, clock, wanted)?;
        Ok(Self {
            balloon: Some(balloon),
            root,
            function,
            clock,
            ram,
            wanted,
            scratch,
        })
    }

    /// Does all checks that can be done, those with a helping host if there is one.
    ///
    /// Returns whether all have passed.
    pub(crate) fn run(mut self, host: bool) -> Result<bool, Error> {
        let mut tally = Tally::new(Serial);
        for Check(text, need, run) in CHECKS {
            if self.has(*need, host) {
                let result = run(&mut self);
                let recorded = tally.record(text, &result);
                recorded.map_err(|_| Error::Boot("no serial line"))?;
            } else {
                say!("# left out: {text}");
            }
        }
        tally.finish().map_err(|_| Error::Boot("no serial line"))
    }

    fn has(&self, need: Need, host: bool) -> bool {
        let Some(balloon) = &self.balloon else {
            return false;
        };
        let reporting = balloon.accepted().contains(Features::REPORTING);
        match need {
            Need::Nothing => true,
            Need::Reporting => reporting,
            Need::Poison => reporting && balloon.offered().contains(Features::PAGE_POISON),
            Need::Host => host,
        }
    }

    fn balloon(&mut self) -> Result<&mut Balloon, Error> {
        self.balloon.as_mut().ok_or(Error::NoBalloon)
    }

    fn restart(&mut self, wanted: Features) -> Result<(), Error> {
        // Dropping the old one resets the device, which must not happen to the new one.
        self.balloon = None;
        let balloon = Balloon::start(&mut self.root, self.function, self.clock, wanted)?;
        self.balloon = Some(balloon);
        Ok(())
    }

    /// Returns a part of the scratch memory.
    fn part(&self, offset_bytes: u64, bytes: u64) -> Piece {
        Piece {
            address: self.scratch.address + offset_bytes,
            bytes,
        }
    }

    /// Returns `count` parts of the scratch memory, with as much memory before each.
    fn row(&self, offset_bytes: u64, bytes: u64, count: u64) -> Vec<Piece> {
        (0..count)
            .map(|number| self.part(offset_bytes + (2 * number + 1) * bytes, bytes))
            .collect()
    }
}

fn expect_equal<T: Debug + PartialEq>(found: &T, expected: &T) -> Result<(), Error> {
    if found == expected {
        Ok(())
    } else {
        let text = format!("{found:?} instead of {expected:?}");
        Err(Error::Unexpected(text))
    }
}
