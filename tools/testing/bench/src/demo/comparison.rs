// SPDX-License-Identifier: GPL-2.0

//! What the demo prints: all ways side by side, and what that means.

use std::time::Duration;

use super::ROOT_SEGMENT;
use crate::fleet::Fleet;
use crate::sample::mib;
use crate::sample::struct_page_bytes;
use crate::sample::Sample;
use crate::way::Way;

/// Number of figures in a line.
const FIGURES: usize = 7;

/// What the figures are, in two lines.
const HEADS: [[&str; FIGURES]; 2] = [
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

/// Returns one line for each number of guests and each way.
pub(super) fn table(fleets: &[Fleet]) -> String {
    let [first, second] = HEADS.map(|head| head.map(str::to_owned));
    let mut text = line("", "", &first) + &line("guests", "way", &second);
    let most = fleets.iter().map(|fleet| fleet.samples.len()).max();
    for count in 1..=most.unwrap_or(0) {
        for (index, fleet) in fleets.iter().enumerate() {
            let number = if index == 0 {
                count.to_string()
            } else {
                String::new()
            };
            text += &line(&number, fleet.way.label(), &figures(fleet, count));
        }
    }
    text
}

/// Returns a line of at most 100 characters.
fn line(guests: &str, way: &str, cells: &[String; FIGURES]) -> String {
    let cells = cells.each_ref().map(|cell| format!(" {cell:>11}"));
    format!("{guests:>6}  {way:<4}{}\n", cells.concat())
}

/// Returns one way's figures for a number of guests.
fn figures(fleet: &Fleet, count: usize) -> [String; FIGURES] {
    let Some(sample) = fleet.samples.get(count - 1) else {
        return Default::default();
    };
    let cached: u64 = fleet.file_cache_bytes.iter().take(count).sum();
    let first_program = fleet.first_program.get(count - 1);
    let decimal = |value: f64| format!("{value:.1}");
    [
        decimal(sample.mean_mib(|cost| cost.memory.anonymous_bytes)),
        decimal(sample.mean_mib(|cost| cost.process.anonymous_bytes)),
        decimal(sample.mean_mib(|cost| cost.memory.pss_bytes)),
        decimal(sample.mean_mib(|cost| cost.process.pss_bytes)),
        decimal(mib(sample.host_cache_bytes)),
        decimal(mib(cached) / count as f64),
        format!("{:.2}", first_program.map_or(0.0, Duration::as_secs_f64)),
    ]
}

/// Says what the table means and what it comes to.
pub(super) fn explanation(fleets: &[Fleet], segment_bytes: u64) -> String {
    let total = |fleet: &Fleet| {
        let bytes = fleet.samples.last().map_or(0, Sample::total_bytes);
        format!("{:.0} MiB ({})", mib(bytes), fleet.way.label())
    };
    let totals: Vec<String> = fleets.iter().map(total).collect();
    let jobs = fleets.first().map_or_else(String::new, |fleet| {
        let result = &fleet.result;
        format!(
            "Every job read {} files ({:.0} MiB), compiled sources and gave the same result, checked by \
             the host.\n",
            result.files,
            mib(result.bytes)
        )
    });
    format!(
        "
ipl: started from a saved system, root on segment {ROOT_SEGMENT}, EROFS with dax=always.
dcss: booted, the same kernel and root. blk: booted, the same image on virtio-blk.
Per guest, mean of those that run: unique = anonymous memory; memory = guest RAM and segment,
process = all of QEMU. Host page cache: of the image, and with ipl of the saved kernel.
Guest page cache: data of files. Time: of the last guest, from the command to start it.
In the memory of each ipl and dcss guest are {:.1} MiB of struct pages for the segment (computed).
{}
All {} guests and what they share in the page cache: {}.
{jobs}",
        mib(struct_page_bytes(segment_bytes)),
        kernel(fleets),
        super::GUESTS,
        totals.join(", "),
    )
}

/// Says what the guests of the saved system share of their kernel.
fn kernel(fleets: &[Fleet]) -> String {
    let fleet = fleets.iter().find(|fleet| fleet.way == Way::Ipl);
    let kernels = fleet.map_or(&[][..], |fleet| &fleet.kernels);
    let shared: u64 = kernels.iter().map(|usage| usage.shared_bytes).sum();
    let unshared: u64 = kernels.iter().map(|usage| usage.unshared_bytes()).sum();
    format!(
        "Of its kernel's text and read-only data each ipl guest shares {:.1} MiB with the others, and all\n\
         together have {} pages of it for themselves.\n",
        mib(shared) / kernels.len().max(1) as f64,
        unshared / 4096
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_the_width_of_a_page() {
        let widest = std::array::from_fn(|_| "99999.9".to_owned());
        assert!(line("guests", "dcss", &widest).trim_end().len() <= 100);
        assert!(HEADS.iter().flatten().all(|head| head.len() <= 11));
    }
}
