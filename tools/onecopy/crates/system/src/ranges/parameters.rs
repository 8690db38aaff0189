// SPDX-License-Identifier: GPL-2.0

//! What a kernel is told of the ranges, on its command line.

use super::Range;

/// The part of the kernel's part that is left to what is not the kernel's, in bytes.
const SPARE_BYTES: u64 = 8 << 20;

/// Returns what keeps the kernel's allocations in its part, and the balloon out of it: parameters
/// of the kernel's command line.
pub(crate) fn parameters(ranges: &[Range]) -> String {
    let core_bytes = kernel_bytes(ranges).saturating_sub(SPARE_BYTES);
    format!(
        "kernelcore={}M numa=off cmm.keep={}",
        core_bytes >> 20,
        keep(ranges)
    )
}

/// Returns the size of the kernel's part. Where everything is saved, all of it is the kernel's.
pub(crate) fn kernel_bytes(ranges: &[Range]) -> u64 {
    let rest = ranges.iter().find(|range| !range.kind.saved());
    let end = ranges.last().map_or(0, |range| range.end);
    rest.map_or(end, |range| range.start)
}

/// Returns the memory that the host cannot take back, because it is in read-only files, as the
/// balloon's driver wants it.
pub fn keep(ranges: &[Range]) -> String {
    let mut kept: Vec<(u64, u64)> = Vec::new();
    for range in ranges.iter().filter(|range| range.kind.saved()) {
        match kept.last_mut() {
            Some((_, end)) if *end == range.start => *end = range.end,
            _ => kept.push((range.start, range.end)),
        }
    }
    let words = kept
        .iter()
        .map(|(start, end)| format!("{start:x}-{:x}", end.saturating_sub(1)));
    words.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ranges::notation::parse;

    #[test]
    fn a_kernel_is_told_its_part_and_what_the_host_cannot_take_back() {
        let usual = "0-FFF EW 1000-17FF SR 1800-5FFF EW 6000-1FDFF EN 1FE00-1FFFF EW";
        let told = |text: &str| parameters(&parse(text).unwrap());
        assert_eq!(
            told(usual),
            "kernelcore=88M numa=off cmm.keep=0-5ffffff,1fe00000-1fffffff"
        );
        assert_eq!(
            told("0-FFF EW 1000-17FF SR 1800-1FFFF EW"),
            "kernelcore=504M numa=off cmm.keep=0-1fffffff"
        );
    }
}
