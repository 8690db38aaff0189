// SPDX-License-Identifier: GPL-2.0

//! The host's memory.

use std::fs;
use std::io;
use std::thread::available_parallelism;

use crate::HostSample;
use crate::Pressure;
use crate::Stall;

/// Reads what the kernel says in `/proc`.
///
/// # Errors
///
/// When `/proc` is not mounted. A kernel without pressure stall information is no error.
pub(crate) fn sample() -> io::Result<HostSample> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let pressure = fs::read_to_string("/proc/pressure/memory").ok();
    let bytes = |name| field(&meminfo, name).unwrap_or_default();
    Ok(HostSample {
        cpus: available_parallelism().map_or(1, |cpus| cpus.get().try_into().unwrap_or(u32::MAX)),
        memory_total_bytes: bytes("MemTotal"),
        memory_available_bytes: bytes("MemAvailable"),
        swap_total_bytes: bytes("SwapTotal"),
        swap_free_bytes: bytes("SwapFree"),
        memory_pressure: pressure.as_deref().and_then(parse_pressure),
    })
}

/// Reads one line of `/proc/meminfo`, in bytes.
fn field(meminfo: &str, name: &str) -> Option<u64> {
    let value = meminfo
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kib: u64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1024)
}

/// Reads the text of `/proc/pressure/memory`.
fn parse_pressure(text: &str) -> Option<Pressure> {
    let stall = |name: &str| -> Option<Stall> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let value = |key: &str| -> Option<f64> {
            let mut words = line.split_whitespace();
            words.find_map(|word| word.strip_prefix(key))?.parse().ok()
        };
        Some(Stall {
            avg10_percent: value("avg10=")?,
            avg60_percent: value("avg60=")?,
            total_seconds: value("total=")? / 1e6,
        })
    };
    Some(Pressure {
        some: stall("some ")?,
        full: stall("full ")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_names() {
        let text = "MemTotal:  100 kB\nMemAvailable:      40 kB\nHugePages_Total:  7\n";
        assert_eq!(field(text, "MemAvailable"), Some(40 << 10));
        for name in ["Mem", "SwapFree", "HugePages_Total"] {
            assert_eq!(field(text, name), None, "{name}");
        }
    }

    #[test]
    fn pressure_is_read_with_its_units() {
        let text = "some avg10=1.25 avg60=0.50 avg300=0.10 total=2500000\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=10\n";
        let pressure = parse_pressure(text).unwrap();
        assert_eq!(pressure.some.avg10_percent, 1.25);
        assert_eq!(pressure.some.total_seconds, 2.5);
        assert_eq!(pressure.full.total_seconds, 1e-5);
        assert_eq!(parse_pressure("some avg10=x"), None);
    }

    #[test]
    fn this_host_has_memory() {
        let host = sample().unwrap();
        assert!(host.memory_available_bytes > 0);
        assert!(host.memory_available_bytes <= host.memory_total_bytes);
    }
}
