// SPDX-License-Identifier: GPL-2.0

//! The texts of the kernel. Whoever cannot read one says what is missing in it.

use crate::amount::hundredths;

type Result<T> = std::result::Result<T, &'static str>;

/// `/proc/meminfo`
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Meminfo {
    pub(super) total_bytes: u64,
    pub(super) available_bytes: u64,
    pub(super) swap_total_bytes: u64,
    pub(super) swap_free_bytes: u64,
}

/// `/proc/pressure/memory`, or `memory.pressure` of a group: averages over ten seconds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Psi {
    pub(super) some_hundredths: u32,
    pub(super) full_hundredths: Option<u32>,
}

/// `memory.stat` of a group.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CgroupStat {
    /// The page cache, without what is in memory only.
    pub(super) reclaimable_bytes: u64,
}

impl Meminfo {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let field = |name: &'static str| kib(text, name).ok_or(name);
        Ok(Self {
            total_bytes: field("MemTotal")?,
            available_bytes: field("MemAvailable")?,
            swap_total_bytes: field("SwapTotal")?,
            swap_free_bytes: field("SwapFree")?,
        })
    }
}

fn kib(text: &str, name: &str) -> Option<u64> {
    let fields = |line: &'_ str| {
        line.strip_prefix(name)?
            .strip_prefix(':')
            .map(str::to_owned)
    };
    let value = text.lines().find_map(fields)?;
    let number = value.trim().strip_suffix("kB")?.trim();
    number.parse::<u64>().ok()?.checked_mul(1024)
}

impl Psi {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let line = |kind| {
            text.lines()
                .find(|line| line.split(' ').next() == Some(kind))
        };
        Ok(Self {
            some_hundredths: avg10(line("some").ok_or("some")?).ok_or("avg10")?,
            full_hundredths: match line("full") {
                Some(line) => Some(avg10(line).ok_or("avg10")?),
                None => None,
            },
        })
    }
}

fn avg10(line: &str) -> Option<u32> {
    let mut words = line.split_whitespace();
    hundredths(words.find_map(|word| word.strip_prefix("avg10="))?)
}

impl CgroupStat {
    /// Reads the fields whose names begin with `prefix`.
    pub(super) fn parse(text: &str, prefix: &str) -> Result<Self> {
        let field = |name: &'static str| {
            let value = |line: &'_ str| {
                let line = line.strip_prefix(prefix)?.strip_prefix(name)?;
                line.strip_prefix(' ')?.parse().ok()
            };
            text.lines().find_map(value).ok_or(name)
        };
        let [inactive, active]: [u64; 2] = [field("inactive_file")?, field("active_file")?];
        Ok(Self {
            reclaimable_bytes: inactive.saturating_add(active),
        })
    }
}

/// A number alone.
pub(super) fn number(text: &str) -> Result<u64> {
    text.trim().parse().map_err(|_| "number")
}

/// A number, or `max` for none.
pub(super) fn limit(text: &str) -> Result<Option<u64>> {
    if text.trim() == "max" {
        Ok(None)
    } else {
        number(text).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_a_whole() {
        let text = "MemTotalX: 1 kB\nMemTotal:   24684096 kB\nMemAvailable:1 kB\n\
                    SwapTotal: 0 kB\nSwapFree: 0 kB\n";
        let meminfo = Meminfo::parse(text).unwrap();
        assert_eq!(
            (meminfo.total_bytes, meminfo.available_bytes),
            (24_684_096 << 10, 1024)
        );
        assert_eq!(Meminfo::parse("MemTotal: 1\n"), Err("MemTotal"));
        assert_eq!(
            Meminfo::parse("MemTotal: 99999999999999999999 kB\n"),
            Err("MemTotal")
        );
    }

    #[test]
    fn averages_are_read_exactly() {
        let psi = Psi::parse("some avg10=12.34 avg60=1.00 avg300=0.10 total=1\n").unwrap();
        assert_eq!((psi.some_hundredths, psi.full_hundredths), (1234, None));
        assert_eq!(Psi::parse(""), Err("some"));
        assert_eq!(Psi::parse("some avg10=nan\n"), Err("avg10"));
        assert_eq!(
            Psi::parse("some avg10=1.00\nfull avg60=1.00\n"),
            Err("avg10")
        );
    }

    #[test]
    fn groups_say_numbers_or_max() {
        assert_eq!(limit("max\n"), Ok(None));
        assert_eq!(limit("4096\n"), Ok(Some(4096)));
        assert_eq!(limit("-1\n"), Err("number"));
        assert_eq!(
            CgroupStat::parse("inactive_file 1\n", ""),
            Err("active_file")
        );
    }
}
