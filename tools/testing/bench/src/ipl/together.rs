// SPDX-License-Identifier: GPL-2.0

//! What guests that run at the same time take of the host's memory together.

use std::thread;

use anyhow::Result;
use onecopy_boot::together::start_at_once;
use onecopy_boot::Guest;
use onecopy_machine::accounting::Sizes;

use super::IDLE;
use crate::sample::mib;

/// How many guests run at the same time.
pub(super) const GUESTS: usize = 16;

/// What they take together each time, in MiB. Pages that several guests map are counted once.
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// The guests' memory.
    pub(super) memory: Vec<f64>,
    /// All of QEMU.
    pub(super) process: Vec<f64>,
}

impl Totals {
    /// Starts the guests at once, measures when they have done nothing for a while, and ends them.
    pub(super) fn measure(&mut self, start: impl Fn(usize) -> Result<Guest> + Sync) -> Result<()> {
        let mut guests = start_at_once(GUESTS, start)?;
        thread::sleep(IDLE);
        let (mut memory, mut overhead) = (Sizes::default(), Sizes::default());
        for guest in &mut guests {
            let usage = guest.machine().usage()?;
            memory += usage.guest();
            overhead += usage.overhead;
        }
        self.memory.push(mib(memory.pss_bytes));
        self.process
            .push(mib(memory.pss_bytes + overhead.pss_bytes));
        Ok(())
    }
}
