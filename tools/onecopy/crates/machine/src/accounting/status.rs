// SPDX-License-Identifier: GPL-2.0

//! A process's memory at a glance: `/proc/PID/status`, which costs nothing to read.

use std::fs;
use std::io;

/// Returns the anonymous memory of a process in bytes, including what is swapped out: of QEMU that
/// is almost all the guest's.
///
/// # Errors
///
/// When there is no such process.
pub fn anonymous_bytes(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    parse(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Nothing for a process that has ended and is only not waited for.
fn parse(text: &str) -> Option<u64> {
    let kib = |name: &str| -> Option<u64> {
        let value = text.lines().find_map(|line| line.strip_prefix(name))?;
        value.trim().strip_suffix("kB")?.trim().parse().ok()
    };
    // A kernel without swap says nothing of it.
    let swapped = kib("VmSwap:").unwrap_or_default();
    kib("RssAnon:")?.checked_add(swapped)?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_and_swapped_pages_count() {
        assert_eq!(
            parse("Name:\tx\nRssAnon:\t    8 kB\nVmSwap:\t 4 kB\n"),
            Some(12 << 10)
        );
        assert_eq!(parse("RssAnon:\t 8 kB\n"), Some(8 << 10));
        assert_eq!(parse("Name:\tx\nState:\tZ (zombie)\n"), None);
        assert!(anonymous_bytes(std::process::id()).unwrap() > 0);
    }
}
