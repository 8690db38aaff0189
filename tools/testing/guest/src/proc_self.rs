// SPDX-License-Identifier: GPL-2.0

//! What the kernel says about this process: faults, mappings, and which memory is behind them.

use std::fs;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::Failure;

const PAGE_BYTES: u64 = 4096;

/// Page faults so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Faults {
    /// Faults that needed no I/O.
    pub(crate) minor: u64,
    /// Faults that did.
    pub(crate) major: u64,
}

impl Faults {
    /// Returns the faults of this process.
    pub(crate) fn now() -> Result<Self, Failure> {
        let stat = fs::read_to_string("/proc/self/stat")?;
        Self::parse(&stat).ok_or_else(|| Failure::other("/proc/self/stat is not understood"))
    }

    /// Reads `PID (NAME) STATE ...`, where the name may hold anything.
    fn parse(stat: &str) -> Option<Self> {
        let mut words = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        // Fields 10 and 12 of proc(5); the first word here is field 3.
        let minor = words.nth(7)?.parse().ok()?;
        let major = words.nth(1)?.parse().ok()?;
        Some(Self { minor, major })
    }
}

/// Returns the lines of `smaps` that belong to mappings of `path`.
pub(crate) fn smaps_of(path: &Path) -> Result<Vec<String>, Failure> {
    let name = path.to_string_lossy();
    let mut chosen = false;
    let mut lines = Vec::new();
    for line in fs::read_to_string("/proc/self/smaps")?.lines() {
        if is_head(line) {
            chosen = line.ends_with(name.as_ref());
        }
        if chosen {
            lines.push(line.to_owned());
        }
    }
    Ok(lines)
}

/// Whether a line of `smaps` begins a mapping: `START-END ...`, against `Name:  value`.
fn is_head(line: &str) -> bool {
    let range = line.split(' ').next().unwrap_or_default();
    range.split_once('-').is_some_and(|(start, end)| {
        [start, end]
            .iter()
            .all(|word| u64::from_str_radix(word, 16).is_ok())
    })
}

/// Returns the physical addresses of the pages that this process has mapped of `path`.
///
/// Pages that were not touched have none. Needs `CAP_SYS_ADMIN`; the kernel says 0 otherwise.
pub(crate) fn physical_addresses(path: &Path) -> Result<Vec<u64>, Failure> {
    let pagemap = File::open("/proc/self/pagemap")?;
    let mut addresses = Vec::new();
    for line in smaps_of(path)?.iter().filter(|line| is_head(line)) {
        let range = line
            .split(' ')
            .next()
            .and_then(|range| range.split_once('-'));
        let (start, end) = range.unwrap_or_default();
        let page = |word| u64::from_str_radix(word, 16).unwrap_or_default() / PAGE_BYTES;
        for page in page(start)..page(end) {
            let mut entry = [0; 8];
            pagemap.read_exact_at(&mut entry, page * 8)?;
            addresses.extend(physical_address(u64::from_le_bytes(entry)));
        }
    }
    Ok(addresses)
}

/// Decodes an entry of `pagemap`: bit 63 says that the page is there, bits 0 to 54 which it is.
fn physical_address(entry: u64) -> Option<u64> {
    (entry >> 63 == 1).then_some((entry & ((1 << 55) - 1)) * PAGE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_found_behind_any_name() {
        let stat = "12 (a) b) S 1 12 12 0 -1 4194560 321 0 45 0 1 2";
        assert_eq!(
            Faults::parse(stat),
            Some(Faults {
                minor: 321,
                major: 45
            })
        );
        assert!(Faults::now().unwrap().minor > 0);
    }

    #[test]
    fn heads_of_mappings_are_told_from_fields() {
        assert!(is_head("7f00-7f80 r-xp 00000000 00:00 0  /a"));
        assert!(!is_head("Size:   4 kB") && !is_head("VmFlags: rd ex"));
    }

    #[test]
    fn our_own_program_is_mapped() {
        let exe = fs::read_link("/proc/self/exe").unwrap();
        let lines = smaps_of(&exe).unwrap();
        assert!(
            lines.iter().any(|line| line.starts_with("Rss:")),
            "{lines:?}"
        );
        assert!(!physical_addresses(&exe).unwrap().is_empty());
    }

    #[test]
    fn only_present_pages_have_an_address() {
        assert_eq!(physical_address(1 << 63 | 0x12), Some(0x12000));
        assert_eq!(physical_address(0x12), None);
    }
}
