// SPDX-License-Identifier: GPL-2.0

//! The benchmark of guests that are started from a saved system.

mod clones;
mod start;
mod together;

use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::ensure;
use anyhow::Result;
use onecopy_boot::balloon;
use onecopy_boot::battery;
use onecopy_boot::saved;
use onecopy_boot::saved::SavedSystem;
use onecopy_boot::Guest;
use onecopy_boot::Host as GuestHost;
use onecopy_boot::Kernel;
use onecopy_boot::Options as GuestOptions;
use onecopy_system::ResourceOptions;

use self::together::Totals;
use crate::command::Options;
use crate::host::commit;
use crate::host::Host;
use crate::paths::Paths;
use crate::report::Bar;
use crate::report::Figure;
use crate::report::Report;

/// How often starts are measured, in turn with those they are compared with.
const ROUNDS: usize = 7;

/// How long a guest does nothing before its memory is counted, and how often that is done.
const IDLE: Duration = Duration::from_secs(10);
const IDLE_ROUNDS: usize = 2;

/// How long the guest does nothing that has been used: a kernel does some things only then.
const LONG_IDLE: Duration = Duration::from_secs(600);

/// What is used in a guest, and what the host wants of it then, in MiB.
const TOUCHED_MIB: u64 = 300;
const SHRINK_MIB: u64 = 256;
const SHRINK_TIMEOUT: Duration = Duration::from_secs(120);

const COLD: &str = "cold boot";
const COLD_16: &str = "16 cold boots";
const BARE: &str = "qemu -S";

/// Measures, prints the table and writes `ipl.json`.
///
/// # Errors
///
/// When something could not be measured, or, with `check`, a figure misses its bar.
pub(crate) fn run(options: &Options, check: bool) -> Result<()> {
    let paths = Paths::new(options)?;
    let kernel = &paths.kernel;
    let host = GuestHost::find(options.accel)?;
    let directory = tempfile::Builder::new()
        .prefix("onecopy-bench-")
        .tempdir()?;
    let modules = [balloon::CMM.to_owned()];
    let system = SavedSystem::save(directory.path(), &host, kernel, &modules, false)?;

    let mut results = start_figures(&system, kernel, &host)?;
    // It is idle while the rest is measured.
    let used = Used::start(&system, kernel)?;
    results.extend(memory_figures(&system, kernel, &host)?);
    results.extend(use_figures(&system, kernel, used)?);
    let report = Report {
        bench: "ipl",
        commit: commit(),
        host: Host::examine(&host.qemu, host.accel, &kernel.image())?,
        results,
    };
    let remark = format!(
        "guests of {} MiB; starts from the command to the first line of user space; {} guests compared",
        saved::MEMORY_BYTES >> 20,
        clones::CLONES
    );
    report.publish(&paths.output, &remark, check)
}

/// How long starts take.
fn start_figures(system: &SavedSystem, kernel: &Kernel, host: &GuestHost) -> Result<Vec<Figure>> {
    let times = start::measure(system, kernel, host, ROUNDS)?;
    Ok(vec![
        Figure::against(
            "start",
            "ms",
            &times.ipl,
            (COLD, &times.cold),
            Bar::RatioAtMost(0.125),
        ),
        Figure::against(
            "running_vs_bare_qemu",
            "ms",
            &times.running,
            (BARE, &times.bare),
            Bar::RatioAtMost(3.0),
        ),
    ])
}

/// What idle guests take of the host's memory: one for itself, and sixteen together.
fn memory_figures(system: &SavedSystem, kernel: &Kernel, host: &GuestHost) -> Result<Vec<Figure>> {
    let (mut idle, mut cold_idle) = (Vec::new(), Vec::new());
    let (mut all, mut cold_all) = (Totals::default(), Totals::default());
    for _ in 0..IDLE_ROUNDS {
        idle.push(idle_mib(&mut guest(system, "idle")?)?);
        cold_idle.push(idle_mib(&mut cold(host, kernel)?)?);
        all.measure(|number| guest(system, &format!("together{number}")))?;
        cold_all.measure(|_| cold(host, kernel))?;
    }
    Ok(vec![
        Figure::against(
            "unique_mib_idle",
            "MiB",
            &idle,
            (COLD, &cold_idle),
            Bar::Below(4.0),
        ),
        Figure::against(
            "memory_of_16",
            "MiB",
            &all.memory,
            (COLD_16, &cold_all.memory),
            Bar::RatioAtMost(0.25),
        ),
        Figure::against(
            "processes_of_16",
            "MiB",
            &all.process,
            (COLD_16, &cold_all.process),
            Bar::RatioAtMost(0.5),
        ),
    ])
}

/// What becomes of guests that are used.
fn use_figures(system: &SavedSystem, kernel: &Kernel, used: Used) -> Result<Vec<Figure>> {
    let returned = returned_percent(system, kernel)?;
    let distinct = clones::distinct_percent(system)?;
    let unshared = used.unshared_pages(system)?;
    Ok(vec![
        Figure::worst_of("unshared_pages", "pages", &[unshared], Bar::Zero),
        Figure::worst_of(
            "returned_after_ipl_percent",
            "%",
            &[returned],
            Bar::AtLeast(95.0),
        ),
        Figure::worst_of("clones_distinct", "%", &[distinct], Bar::AtLeast(100.0)),
    ])
}

fn guest(system: &SavedSystem, name: &str) -> Result<Guest> {
    system.ipl(name, ResourceOptions::default())
}

/// Boots a guest with the same kernel.
fn cold(host: &GuestHost, kernel: &Kernel) -> Result<Guest> {
    let options = GuestOptions {
        memory_bytes: saved::MEMORY_BYTES,
        ..GuestOptions::default()
    };
    Guest::start(host, kernel, &options.module(balloon::CMM))
}

/// Returns how much memory a guest that does nothing has for itself, in MiB.
fn idle_mib(guest: &mut Guest) -> Result<f64> {
    thread::sleep(IDLE);
    Ok(guest.host_bytes()? as f64 / f64::from(1 << 20))
}

/// A guest that has done what guests do all day, and does nothing since then.
struct Used {
    guest: Guest,
    idle: Instant,
}

impl Used {
    const NAME: &str = "used";

    fn start(system: &SavedSystem, kernel: &Kernel) -> Result<Self> {
        let nics = vec!["user,restrict=on".parse()?];
        let mut guest = system.ipl_with_nics(Self::NAME, ResourceOptions::default(), nics)?;
        battery::run(&mut guest, system, kernel)?;
        Ok(Self {
            guest,
            idle: Instant::now(),
        })
    }

    /// Waits until the guest has done nothing for long enough, and returns how many pages of the
    /// shared range it has for itself then.
    fn unshared_pages(mut self, system: &SavedSystem) -> Result<f64> {
        thread::sleep(LONG_IDLE.saturating_sub(self.idle.elapsed()));
        let written = self.guest.read("/sys/kernel/shared_kernel/written_pages")?;
        let unshared = system.shared_range(Self::NAME)?.unshared_bytes() / 4096;
        ensure!(
            written == unshared.to_string(),
            "the guest has written to {written} pages, the host has copied {unshared}"
        );
        Ok(unshared as f64)
    }
}

/// Returns how much of what the host asks for it gets, in percent.
fn returned_percent(system: &SavedSystem, kernel: &Kernel) -> Result<f64> {
    let mut guest = guest(system, "returned")?;
    system.plug_balloon(&mut guest, kernel)?;
    let size = guest.balloon()?;
    guest.run("applet", &["hog", &TOUCHED_MIB.to_string()])?;
    // Until then the kernel keeps tens of MiB of what was freed as single pages on the lists of its
    // processor.
    thread::sleep(IDLE);
    let before = guest.host_bytes()?;
    guest.resize(size - (SHRINK_MIB << 20), SHRINK_TIMEOUT)?;
    let returned = before.saturating_sub(guest.host_bytes()?);
    let said = guest.machine().report().stderr;
    ensure!(said.is_empty(), "QEMU says: {said}");
    Ok(100.0 * returned as f64 / (SHRINK_MIB << 20) as f64)
}
