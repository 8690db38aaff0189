// SPDX-License-Identifier: GPL-2.0

//! What this host has: the inventory where nobody wrote one.

use std::fs;
use std::io;
use std::thread;

use crate::inventory::Inventory;

const MEMORY: &str = "/proc/meminfo";
const CPUS: &str = "/sys/devices/system/cpu/online";

/// What the host keeps for itself at most, in MiB; an eighth of its memory if that is less.
const RESERVE_MIB: u64 = 1024;

/// Returns the memory of the host without a reserve, its processors, and all segments and disks.
pub(crate) fn inventory() -> io::Result<Inventory> {
    let text = fs::read_to_string(MEMORY)?;
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "it does not say MemTotal");
    let total_mib = total_mib(&text).ok_or_else(invalid)?;
    Ok(Inventory {
        memory_mib: total_mib.saturating_sub(RESERVE_MIB.min(total_mib / 8)),
        cpus: cpus()?,
        segments: None,
        disks: None,
    })
}

/// Returns the file that the amounts are from, for complaints about it.
pub(crate) fn source() -> &'static str {
    MEMORY
}

/// Where the file is missing, as in some containers, we count what we may run on.
fn cpus() -> io::Result<u32> {
    let online = fs::read_to_string(CPUS).ok();
    match online.as_deref().and_then(count) {
        Some(count) => Ok(count),
        None => Ok(u32::try_from(thread::available_parallelism()?.get()).unwrap_or(u32::MAX)),
    }
}

/// Reads the text of `/proc/meminfo`.
fn total_mib(text: &str) -> Option<u64> {
    let mut lines = text.lines();
    let total = lines.find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib >> 10)
}

/// Counts the numbers in a list such as `0-3,8`.
fn count(text: &str) -> Option<u32> {
    let range = |range: &str| -> Option<u32> {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        last.checked_sub(first)?.checked_add(1)
    };
    text.trim()
        .split(',')
        .map(range)
        .try_fold(0_u32, |sum, count| sum.checked_add(count?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_whole_mib() {
        let text = "MemTotal:       16384000 kB\nMemFree:        1 kB\n";
        assert_eq!(total_mib(text), Some(16000));
        for text in ["", "MemFree: 1 kB\n", "MemTotal: x kB\n", "MemTotal: 1\n"] {
            assert_eq!(total_mib(text), None, "{text}");
        }
    }

    #[test]
    fn processors_are_counted() {
        for (text, expected) in [
            ("0\n", Some(1)),
            ("0-1\n", Some(2)),
            ("0-3,8,10-11", Some(7)),
            ("", None),
            ("3-1", None),
            ("0-4294967295", None),
            ("0,,1", None),
        ] {
            assert_eq!(count(text), expected, "{text}");
        }
    }

    #[test]
    fn this_host_gives_something_and_keeps_some() {
        let given = inventory().unwrap();
        let total = total_mib(&fs::read_to_string(MEMORY).unwrap()).unwrap();
        assert!(given.cpus > 0);
        assert!((1..total).contains(&given.memory_mib), "{given:?}");
        assert!(total - given.memory_mib <= RESERVE_MIB);
    }
}
