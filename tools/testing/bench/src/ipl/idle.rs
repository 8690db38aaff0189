// SPDX-License-Identifier: GPL-2.0

//! What guests that do nothing have of the host's memory, and what comes back from one that was used.

use std::thread;
use std::time::Duration;

use anyhow::bail;
use anyhow::ensure;
use anyhow::Result;
use onecopy_boot::saved::SavedSystem;
use onecopy_boot::together::start_at_once;
use onecopy_boot::Guest;
use onecopy_boot::Host;
use onecopy_boot::Kernel;

use super::cold;
use super::guest;
use super::IDLE;
use crate::sample::mib;

/// What is used in a guest, and what the host wants of it then, in MiB.
const TOUCHED_MIB: u64 = 300;
const SHRINK_MIB: u64 = 256;
const SHRINK_TIMEOUT: Duration = Duration::from_secs(120);

/// One value for each round.
#[derive(Debug, Default)]
pub(super) struct Idle {
    /// What a guest from the saved system has for itself, in MiB.
    pub(super) ours: Vec<f64>,
    /// What a guest that has booted has for itself, in MiB.
    pub(super) cold: Vec<f64>,
    /// How much of what the host asks for it gets from a guest that was used, in percent.
    pub(super) returned: Vec<f64>,
}

/// Measures guests that run at the same time, so that they wait together.
pub(super) fn measure(
    system: &SavedSystem,
    kernel: &Kernel,
    host: &Host,
    rounds: usize,
) -> Result<Idle> {
    let mut idle = Idle::default();
    for round in 1..=rounds {
        let mut pair = start_at_once(2, |number| match number {
            1 => guest(system, "idle"),
            _ => cold(host, kernel),
        })?;
        let used = Used::start(system, kernel)?;
        thread::sleep(IDLE);
        let [ours, cold] = pair.as_mut_slice() else {
            bail!("there are {} guests", pair.len());
        };
        idle.ours.push(mib(ours.host_bytes()?));
        idle.cold.push(mib(cold.host_bytes()?));
        idle.returned.push(used.returned_percent()?);
        eprintln!("round {round} of {rounds} of idle guests is done");
    }
    Ok(idle)
}

/// A guest that has used memory, and does not need it any more.
struct Used {
    guest: Guest,
    size_bytes: u64,
}

impl Used {
    fn start(system: &SavedSystem, kernel: &Kernel) -> Result<Self> {
        let mut guest = guest(system, "returned")?;
        system.plug_balloon(&mut guest, kernel)?;
        let size_bytes = guest.balloon()?;
        guest.run("applet", &["hog", &TOUCHED_MIB.to_string()])?;
        Ok(Self { guest, size_bytes })
    }

    /// Asks for a part of the memory. Until the guest was idle for a while its kernel keeps tens of
    /// MiB of what was freed as single pages on the lists of its processor.
    fn returned_percent(mut self) -> Result<f64> {
        let before = self.guest.host_bytes()?;
        let wanted = SHRINK_MIB << 20;
        self.guest
            .resize(self.size_bytes - wanted, SHRINK_TIMEOUT)?;
        let returned = before.saturating_sub(self.guest.host_bytes()?);
        let said = self.guest.machine().report().stderr;
        ensure!(said.is_empty(), "QEMU says: {said}");
        Ok(100.0 * returned as f64 / wanted as f64)
    }
}
