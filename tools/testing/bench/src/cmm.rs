// SPDX-License-Identifier: GPL-2.0

//! The benchmark of the balloon driver.

use std::path::Path;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use onecopy_boot::balloon;
use onecopy_boot::Guest;
use onecopy_boot::Host as GuestHost;
use onecopy_boot::Kernel;
use onecopy_boot::Options as GuestOptions;

use crate::command::Options;
use crate::host::commit;
use crate::host::Host;
use crate::limit;
use crate::paths::Paths;
use crate::report::Bar;
use crate::report::Figure;
use crate::report::Report;

/// How often everything is measured, in turn.
const ROUNDS: usize = 9;

/// What the guests have, what is touched beforehand, and what the host asks for, in MiB.
pub(crate) const GUEST_MIB: u64 = 1024;
pub(crate) const TOUCHED_MIB: u64 = 768;
pub(crate) const SHRINK_MIB: u64 = 768;

/// Of memory of which every second page is held: how much that is, and what the host asks for.
const FRAGMENTED_MIB: u64 = 704;
const SHRINK_FRAGMENTED_MIB: u64 = 448;

/// How long a guest may take for a target, and the host to follow.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);
const AT_ONCE: Duration = Duration::from_secs(1);

const DRIVERS: [&str; 2] = [balloon::CMM, balloon::VIRTIO_BALLOON];
const PEER: &str = "virtio_balloon (C)";
const LIMIT: &str = "bare-metal guest";

/// What one driver reached in all rounds, in MiB/s and percent.
#[derive(Debug, Default)]
struct Rates {
    shrink: Vec<f64>,
    give_back: Vec<f64>,
    fragmented: Vec<f64>,
    host_returned_percent: Vec<f64>,
}

/// Measures, prints the table and writes `cmm.json`.
///
/// # Errors
///
/// When something could not be measured, or, with `check`, a figure misses its bar.
pub(crate) fn run(options: &Options, baremetal: &Path, check: bool) -> Result<()> {
    let paths = Paths::new(options)?;
    let host = GuestHost::find(options.accel)?;
    let mut rates: [Rates; 2] = Default::default();
    let mut limit = Vec::new();

    for round in 1..=ROUNDS {
        for (driver, rates) in DRIVERS.into_iter().zip(&mut rates) {
            // A driver that takes pages one by one divides the large pages of the host, so each
            // measurement has a guest of its own.
            let mut guest = start(&host, &paths.kernel, driver)?;
            measure(&mut guest, &paths.kernel, driver, rates)
                .with_context(|| format!("{driver}\n{}", state(&mut guest)))?;
            guest.finish()?;
        }
        limit.push(limit::shrink(&host, baremetal)?);
        eprintln!("round {round} of {ROUNDS} is done");
    }

    let [ours, peer] = &rates;
    let report = Report {
        bench: "cmm",
        commit: commit(),
        host: Host::examine(&host.qemu, host.accel, &paths.kernel.image())?,
        results: figures(ours, peer, &limit),
    };
    let remark = format!(
        "{SHRINK_MIB} MiB of {GUEST_MIB} MiB; the time is that from the host's command until the device says so"
    );
    report.publish(&paths.output, &remark, check)
}

fn figures(ours: &Rates, peer: &Rates, limit: &[f64]) -> Vec<Figure> {
    let against = |name, ours: &[f64], theirs: &[f64], peer, factor| {
        Figure::against(
            name,
            "MiB/s",
            ours,
            (peer, theirs),
            Bar::RatioAtLeast(factor),
        )
    };
    vec![
        against("shrink", &ours.shrink, &peer.shrink, PEER, 20.0),
        against("shrink_vs_limit", &ours.shrink, limit, LIMIT, 0.5),
        against("return", &ours.give_back, &peer.give_back, PEER, 10.0),
        against(
            "shrink_fragmented",
            &ours.fragmented,
            &peer.fragmented,
            PEER,
            2.0,
        ),
        Figure::worst_of(
            "host_returned_percent",
            "%",
            &ours.host_returned_percent,
            Bar::AtLeast(99.0),
        ),
    ]
}

fn start(host: &GuestHost, kernel: &Kernel, driver: &str) -> Result<Guest> {
    let options = GuestOptions {
        memory_bytes: GUEST_MIB << 20,
        qemu_devices: vec![balloon::device(true)],
        ..GuestOptions::default()
    };
    Guest::start(host, kernel, &options.module(driver))
}

/// Measures one driver once.
fn measure(guest: &mut Guest, kernel: &Kernel, driver: &str, rates: &mut Rates) -> Result<()> {
    let size = guest.balloon()?;
    guest.load(kernel, driver, "")?;
    guest.run("drop-caches", &[])?;
    guest.run("applet", &["hog", &TOUCHED_MIB.to_string()])?;
    let before = guest.host_bytes()?;

    let target = size - (SHRINK_MIB << 20);
    rates
        .shrink
        .push(rate(SHRINK_MIB, guest.resize(target, TIMEOUT)?));
    rates
        .host_returned_percent
        .push(returned_percent(guest, before)?);
    rates
        .give_back
        .push(rate(SHRINK_MIB, guest.resize(size, TIMEOUT)?));

    let held = FRAGMENTED_MIB.to_string();
    guest.run("spawn-applet", &["fragment", "fragment-memory", &held])?;
    let target = size - (SHRINK_FRAGMENTED_MIB << 20);
    let taken = guest.resize(target, TIMEOUT)?;
    rates.fragmented.push(rate(SHRINK_FRAGMENTED_MIB, taken));
    guest.resize(size, TIMEOUT)?;
    let ended = guest.run("stop", &["fragment"])?.text;
    ensure!(ended == "exit=0", "the holder of memory ended with {ended}");
    guest
        .run("rmmod", &[driver])
        .with_context(|| format!("{driver} cannot be unloaded"))?;
    Ok(())
}

/// Returns what the guest knows, for a failure.
fn state(guest: &mut Guest) -> String {
    let files = ["/proc/meminfo", "/sys/kernel/debug/cmm/counters"];
    let texts = files.map(|file| guest.read(file).unwrap_or_default());
    texts.concat()
}

/// Returns how much of what was asked for the host has back within a second, in percent.
fn returned_percent(guest: &mut Guest, before: u64) -> Result<f64> {
    let start = Instant::now();
    loop {
        let returned = before.saturating_sub(guest.host_bytes()?);
        let percent = 100.0 * returned as f64 / (SHRINK_MIB << 20) as f64;
        if percent >= 100.0 || start.elapsed() > AT_ONCE {
            return Ok(percent);
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Returns MiB per second.
pub(crate) fn rate(mib: u64, time: Duration) -> f64 {
    mib as f64 / time.as_secs_f64()
}
