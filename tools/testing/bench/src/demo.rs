// SPDX-License-Identifier: GPL-2.0

//! The demo: four guests execute one copy of Debian's programs, then four the usual way.

use std::time::Duration;

use anyhow::ensure;
use anyhow::Result;
use onecopy_machine::accel;
use onecopy_machine::Qemu;

use crate::command::Options;
use crate::fleet::Cached;
use crate::fleet::Fleet;
use crate::guest::Setup;
use crate::guest::Way;
use crate::host::Host;
use crate::image::install_programs;
use crate::image::Image;
use crate::paths::Paths;
use crate::sample::mib;
use crate::sample::struct_page_bytes;
use crate::sample::Sample;

/// How many guests run at the same time.
pub(crate) const GUESTS: usize = 4;

/// Name of the segment with the root.
pub(crate) const ROOT_SEGMENT: &str = "DEBIAN";

/// Runs the demo and prints its table.
///
/// # Errors
///
/// When DAX is off, a job has a wrong result, or something could not be measured.
pub(crate) fn run(options: &Options) -> Result<()> {
    let paths = Paths::new(options)?;
    let qemu = Qemu::find()?;
    let accel = accel::choose(options.accel, &qemu);
    let host = Host::examine(&qemu, accel, &paths.kernel.image())?;
    println!(
        "Linux {} on QEMU {} ({}), {} processors; guests of 512 MiB with 1 processor",
        host.kernel, host.qemu, host.accel, host.cpus
    );

    install_programs(&paths.root)?;
    let image = Image::save(ROOT_SEGMENT, &paths.root, &paths.output)?;
    println!(
        "Debian root: {:.0} MiB, saved as segment {} and copied to a disk image",
        mib(image.disk_bytes),
        image.name
    );
    let setup = Setup {
        qemu: &qemu,
        accel,
        paths: &paths,
        image: &image,
    };
    let dcss = Fleet::run(&setup, Way::Segment, GUESTS, Cached::All)?;
    let blk = Fleet::run(&setup, Way::Disk, GUESTS, Cached::All)?;
    ensure!(
        dcss.result == blk.result,
        "wrong result: {:?} on a segment, {:?} on a disk",
        dcss.result,
        blk.result
    );
    print!("\n{}", comparison(&dcss, &blk));
    print!("{}", explanation(&dcss, &blk, image.disk_bytes));
    image.remove(&paths.output)
}

/// Puts both ways side by side, one line for each number of guests.
fn comparison(dcss: &Fleet, blk: &Fleet) -> String {
    let mut text = String::new();
    for head in HEADS {
        text.push_str(&line("", &head.map(str::to_owned)));
    }
    let ways = format!("{:>5} {:>5}", Way::Segment.label(), Way::Disk.label());
    text.push_str(&line("guests", &std::array::from_fn(|_| ways.clone())));
    for count in 1..=dcss.samples.len() {
        let ours = figures(dcss, count);
        let theirs = figures(blk, count);
        let cells = std::array::from_fn(|column| format!("{} {}", ours[column], theirs[column]));
        text.push_str(&line(&count.to_string(), &cells));
    }
    text
}

/// Number of pairs of figures in the table.
const PAIRS: usize = 7;

/// What the pairs are.
const HEADS: [[&str; PAIRS]; 2] = [
    [
        "unique MiB",
        "unique MiB",
        "PSS MiB",
        "PSS MiB",
        "host page",
        "guest page",
        "time to 1st",
    ],
    [
        "of memory",
        "of process",
        "of memory",
        "of process",
        "cache MiB",
        "cache MiB",
        "program s",
    ],
];

/// Returns a line of at most 100 characters.
fn line(first: &str, pairs: &[String; PAIRS]) -> String {
    let mut line = format!("{first:>6}");
    for pair in pairs {
        line.push_str(&format!("  {pair:>11}"));
    }
    line.push('\n');
    line
}

/// Returns one way's figures for a number of guests, each five characters wide.
fn figures(fleet: &Fleet, count: usize) -> [String; PAIRS] {
    let Some(sample) = fleet.samples.get(count - 1) else {
        return Default::default();
    };
    let cached: u64 = fleet.file_cache_bytes.iter().take(count).sum();
    let first_program = fleet.first_program.get(count - 1);
    let decimal = |value: f64| format!("{value:>5.1}");
    [
        decimal(sample.mean_mib(|cost| cost.memory.anonymous_bytes)),
        decimal(sample.mean_mib(|cost| cost.process.anonymous_bytes)),
        decimal(sample.mean_mib(|cost| cost.memory.pss_bytes)),
        decimal(sample.mean_mib(|cost| cost.process.pss_bytes)),
        decimal(mib(sample.host_cache_bytes)),
        decimal(mib(cached) / count as f64),
        format!("{:>5.2}", first_program.map_or(0.0, Duration::as_secs_f64)),
    ]
}

/// Says what the table means and what it comes to.
fn explanation(dcss: &Fleet, blk: &Fleet, segment_bytes: u64) -> String {
    let [ours, theirs] = [dcss, blk].map(|fleet| {
        let sample = fleet.samples.last();
        mib(sample.map_or(0, Sample::total_bytes))
    });
    let result = &dcss.result;
    format!(
        "
dcss: root on segment {ROOT_SEGMENT}, EROFS with dax=always. blk: the same image on virtio-blk.
Per guest, mean of those that run: unique = anonymous memory; memory = guest RAM and segment,
process = all of QEMU. Host page cache: of the image file. Guest page cache: data of files.
In the memory of each dcss guest are {:.1} MiB of struct pages for the segment (computed).

All {} guests and the image in the page cache: {ours:.0} MiB (dcss), {theirs:.0} MiB (blk).
Every job read {} files ({:.0} MiB), compiled sources and gave the same result, checked by the host.
",
        mib(struct_page_bytes(segment_bytes)),
        dcss.samples.len(),
        result.files,
        mib(result.bytes),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_the_width_of_a_page() {
        let widest = std::array::from_fn(|_| "999.9 999.9".to_owned());
        assert!(line("guests", &widest).trim_end().len() <= 100);
        assert!(HEADS.iter().flatten().all(|head| head.len() <= 11));
    }
}
