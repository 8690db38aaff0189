// SPDX-License-Identifier: GPL-2.0

//! The benchmark of guests that are started from a saved system.

mod clones;
mod idle;
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
use crate::command::Ipl;
use crate::command::Options;
use crate::command::LONG_IDLE_SECONDS;
use crate::host::commit;
use crate::host::Host;
use crate::paths::Paths;
use crate::report::missed;
use crate::report::table;
use crate::report::Bar;
use crate::report::Figure;
use crate::report::Report;

/// How often starts are measured, in turn with those they are compared with. The short ones vary more
/// on a host that has other things to do.
const START_ROUNDS: usize = 7;
const RUNNING_ROUNDS: usize = 21;

/// How long a guest does nothing before its memory is counted, and how often that is done.
const IDLE: Duration = Duration::from_secs(10);
const IDLE_ROUNDS: usize = 5;

const COLD: &str = "cold boot";
const COLD_16: &str = "16 cold boots";
const BARE: &str = "qemu -S";

/// Why starts may be measured twice: what else the host does changes them, and no other figure.
/// Minutes later it may have ended.
const ONCE_MORE: &str = "once more what was missed: the host may have had something else to do";

/// What measures a figure.
type Measure<'a> = &'a dyn Fn() -> Result<Figure>;

/// Measures, prints the table and writes `ipl.json`.
///
/// # Errors
///
/// When something could not be measured, or, with `check`, a figure misses its bar.
pub(crate) fn run(options: &Options, what: &Ipl) -> Result<()> {
    let paths = Paths::new(options)?;
    let kernel = &paths.kernel;
    let host = GuestHost::find(options.accel)?;
    let directory = tempfile::Builder::new()
        .prefix("onecopy-bench-")
        .tempdir()?;
    let modules = [balloon::CMM.to_owned()];
    let system = SavedSystem::save(directory.path(), &host, kernel, &modules, false)?;

    let times: [Measure<'_>; 2] = [&|| start_figure(&system, kernel, &host), &|| {
        running_figure(&system, &host)
    }];
    let mut starts: Vec<_> = times.iter().map(|time| time()).collect::<Result<_>>()?;
    // It is idle while the rest is measured.
    let used = Used::start(&system, kernel)?;
    let mut others = idle_figures(&system, kernel, &host)?;
    others.extend(sixteen_figures(&system, kernel, &host, what.sixteen)?);
    let distinct = clones::distinct_percent(&system)?;
    others.extend([
        Figure::worst_of("clones_distinct", "%", &[distinct], Bar::AtLeast(100.0)),
        used.figure(&system, what.idle)?,
    ]);
    if what.check {
        once_more(&mut starts, &times)?;
    }
    let report = Report {
        bench: "ipl",
        commit: commit(),
        host: Host::examine(&host.qemu, host.accel, &kernel.image())?,
        results: [starts, others].concat(),
    };
    let remark = format!(
        "guests of {} MiB; starts from the command to the first line of user space; {} guests \
         compared; pages counted after {} s without work",
        saved::MEMORY_BYTES >> 20,
        clones::CLONES,
        what.idle
    );
    report.publish(&paths.output, &remark, what.check)
}

/// How long it takes until a guest does something.
fn start_figure(system: &SavedSystem, kernel: &Kernel, host: &GuestHost) -> Result<Figure> {
    const NAME: &str = "start";
    let times = start::user_space(NAME, system, kernel, host, START_ROUNDS)?;
    let bar = Bar::RatioAtMost(0.125);
    Ok(Figure::against(
        NAME,
        "ms",
        &times.ours,
        (COLD, &times.peer),
        bar,
    ))
}

/// How long it takes until there is a guest at all.
fn running_figure(system: &SavedSystem, host: &GuestHost) -> Result<Figure> {
    const NAME: &str = "running_vs_bare_qemu";
    let times = start::running(NAME, system, host, RUNNING_ROUNDS)?;
    let bar = Bar::RatioAtMost(3.0);
    Ok(Figure::against(
        NAME,
        "ms",
        &times.ours,
        (BARE, &times.peer),
        bar,
    ))
}

/// Measures those figures once more that miss their bars.
fn once_more(figures: &mut [Figure], measures: &[Measure<'_>]) -> Result<()> {
    if missed(figures).is_empty() {
        return Ok(());
    }
    println!("\n{}\n{ONCE_MORE}", table(figures));
    for (figure, measure) in figures.iter_mut().zip(measures) {
        if !figure.is_met() {
            *figure = measure()?;
        }
    }
    Ok(())
}

/// What idle guests have for themselves, and what one that was used gives back.
fn idle_figures(system: &SavedSystem, kernel: &Kernel, host: &GuestHost) -> Result<Vec<Figure>> {
    let idle = idle::measure(system, kernel, host, IDLE_ROUNDS)?;
    Ok(vec![
        Figure::against(
            "unique_mib_idle",
            "MiB",
            &idle.ours,
            (COLD, &idle.cold),
            Bar::Below(4.0),
        ),
        Figure::worst_of(
            "returned_after_ipl_percent",
            "%",
            &idle.returned,
            Bar::AtLeast(95.0),
        ),
    ])
}

/// What sixteen guests take together, in turn with sixteen that have booted: pages of QEMU that both
/// map would count half for each of them.
fn sixteen_figures(
    system: &SavedSystem,
    kernel: &Kernel,
    host: &GuestHost,
    rounds: usize,
) -> Result<Vec<Figure>> {
    let (mut all, mut cold_all) = (Totals::default(), Totals::default());
    for round in 1..=rounds {
        all.measure(|number| guest(system, &format!("together{number}")))?;
        cold_all.measure(|_| cold(host, kernel))?;
        eprintln!("round {round} of {rounds} of sixteen guests is done");
    }
    if rounds == 0 {
        return Ok(Vec::new());
    }
    Ok(vec![
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

    /// Waits until the guest has done nothing for so many seconds, and counts the pages of the
    /// shared range that it has for itself then.
    fn figure(self, system: &SavedSystem, idle_seconds: u64) -> Result<Figure> {
        let pages = self.unshared_pages(system, Duration::from_secs(idle_seconds))?;
        let mut name = "unshared_pages".to_owned();
        if idle_seconds < LONG_IDLE_SECONDS {
            name = format!("{name}_after_{idle_seconds}_s");
        }
        Ok(Figure::worst_of(name, "pages", &[pages], Bar::Zero))
    }

    fn unshared_pages(mut self, system: &SavedSystem, idle: Duration) -> Result<f64> {
        thread::sleep(idle.saturating_sub(self.idle.elapsed()));
        let written = self.guest.read("/sys/kernel/shared_kernel/written_pages")?;
        let unshared = system.shared_range(Self::NAME)?.unshared_bytes() / 4096;
        ensure!(
            written == unshared.to_string(),
            "the guest has written to {written} pages, the host has copied {unshared}"
        );
        Ok(unshared as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(value: f64) -> Figure {
        Figure::worst_of("time", "ms", &[value], Bar::Below(2.0))
    }

    #[test]
    fn only_what_misses_its_bar_is_measured_once_more() {
        let mut figures = [figure(1.0), figure(2.0), figure(3.0)];
        let good: Measure<'_> = &|| Ok(figure(0.5));
        let bad: Measure<'_> = &|| Ok(figure(9.0));
        once_more(&mut figures, &[good, good, bad]).unwrap();
        assert_eq!(figures, [figure(1.0), figure(0.5), figure(9.0)]);
        let never: Measure<'_> = &|| anyhow::bail!("measured");
        once_more(&mut figures[..2], &[never, never]).unwrap();
    }
}
