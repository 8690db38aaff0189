// SPDX-License-Identifier: GPL-2.0

//! The benchmark of the segment driver.

use anyhow::Result;
use onecopy_machine::accel;
use onecopy_machine::Qemu;

use crate::command::Options;
use crate::demo::GUESTS;
use crate::demo::ROOT_SEGMENT;
use crate::fleet::Cached;
use crate::fleet::Fleet;
use crate::guest::Setup;
use crate::host::commit;
use crate::host::Host;
use crate::image::install_programs;
use crate::image::Image;
use crate::instructions;
use crate::instructions::Rounds;
use crate::instructions::PEER;
use crate::paths::Paths;
use crate::report::Bar;
use crate::report::Figure;
use crate::report::Report;
use crate::sample::growth;
use crate::sample::mib;
use crate::sample::struct_page_bytes;
use crate::way::Way;

/// Measures, prints the table and writes `dcss.json`.
///
/// # Errors
///
/// When something could not be measured, DAX is off, or, with `check`, a figure misses its bar.
pub(crate) fn run(options: &Options, check: bool) -> Result<()> {
    let paths = Paths::new(options)?;
    let qemu = Qemu::find()?;
    let accel = accel::choose(options.accel, &qemu);

    let counts = instructions::count(&qemu, &paths)?;
    let image = save_root(&paths)?;
    let fleet = run_fleet(&Setup {
        qemu: &qemu,
        accel,
        paths: &paths,
        image: &image,
        saved: None,
    })?;
    print_touched(&fleet, image.disk_bytes);
    let mut results = memory_figures(&fleet)?;
    results.extend(counts.iter().map(instruction_figure));
    let report = Report {
        bench: "dcss",
        commit: commit(),
        host: Host::examine(&qemu, accel, &paths.kernel.image())?,
        results,
    };
    let remark =
        format!("peer: {PEER}, in the same guest; instructions counted under -icount shift=0");
    report.publish(&paths.output, &remark, check)
}

fn save_root(paths: &Paths) -> Result<Image> {
    install_programs(&paths.root)?;
    Image::save(ROOT_SEGMENT, &paths.root, &paths.output)
}

fn run_fleet(setup: &Setup<'_>) -> Result<Fleet> {
    let fleet = Fleet::run(setup, Way::Segment, GUESTS, Cached::Mapped)?;
    setup.image.remove(&setup.paths.output)?;
    Ok(fleet)
}

/// Says what the growth is computed from.
fn print_touched(fleet: &Fleet, segment_bytes: u64) {
    for (number, sample) in (1..).zip(&fleet.samples) {
        let touched = sample
            .guests
            .last()
            .map_or(0, |cost| cost.segment.rss_bytes);
        println!(
            "with guest {number}, which has touched {:.1} MiB of the segment, the host needs {:.3} MiB for it",
            mib(touched),
            mib(sample.host_cache_bytes)
        );
    }
    println!(
        "each guest also has {:.1} MiB of struct pages for the segment in its own memory (computed)",
        mib(struct_page_bytes(segment_bytes))
    );
}

/// What another guest costs, and what guests keep of the programs.
fn memory_figures(fleet: &Fleet) -> Result<Vec<Figure>> {
    let growth = growth(&fleet.samples)?;
    let cached: Vec<f64> = fleet
        .file_cache_bytes
        .iter()
        .map(|bytes| *bytes as f64 / 1024.0)
        .collect();
    Ok(vec![
        Figure::worst_of("guest_growth_percent", "%", &growth, Bar::Below(1.0)),
        Figure::worst_of("guest_page_cache_kib", "KiB", &cached, Bar::Zero),
    ])
}

fn instruction_figure(rounds: &Rounds) -> Figure {
    Figure::against(
        rounds.name,
        "instructions",
        &rounds.ours,
        (PEER, &rounds.peer),
        Bar::RatioAtMost(1.0),
    )
}
