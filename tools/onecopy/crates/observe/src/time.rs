// SPDX-License-Identifier: GPL-2.0

//! Points in time, as they are shown.

use std::time::Duration;
use std::time::UNIX_EPOCH;

/// Writes a time as `2026-01-31 12:00:00 UTC`; one beyond the year 9999 as a number.
pub fn utc(unix_ms: u64) -> String {
    let unix_seconds = unix_ms / 1000;
    match UNIX_EPOCH.checked_add(Duration::from_secs(unix_seconds)) {
        // The formatter knows years up to 9999 and panics beyond.
        Some(time) if unix_seconds < 253_402_300_800 => {
            let text = humantime::format_rfc3339_seconds(time).to_string();
            format!("{} UTC", text.replace('T', " ").trim_end_matches('Z'))
        }
        _ => unix_seconds.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_utc_and_absurd_ones_as_numbers() {
        assert_eq!(utc(1_800_000_000_999), "2027-01-15 08:00:00 UTC");
        assert_eq!(utc(u64::MAX), (u64::MAX / 1000).to_string());
    }
}
