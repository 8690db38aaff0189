// SPDX-License-Identifier: GPL-2.0

//! The mappings of a process, as `/proc/PID/smaps` lists them.

use std::fs;
use std::io;
use std::ops::AddAssign;
use std::path::PathBuf;

/// Sizes of a mapping or of several together, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Address space.
    pub virtual_bytes: u64,
    /// Resident pages, each counted in full.
    pub rss_bytes: u64,
    /// Resident pages, each divided by the number of processes that map it.
    pub pss_bytes: u64,
    /// Resident pages that only this process maps.
    pub private_bytes: u64,
    /// Pages that belong to no file: what exists only because of this process.
    pub anonymous_bytes: u64,
    /// Pages in swap.
    pub swap_bytes: u64,
}

impl AddAssign for Sizes {
    fn add_assign(&mut self, other: Self) {
        self.virtual_bytes += other.virtual_bytes;
        self.rss_bytes += other.rss_bytes;
        self.pss_bytes += other.pss_bytes;
        self.private_bytes += other.private_bytes;
        self.anonymous_bytes += other.anonymous_bytes;
        self.swap_bytes += other.swap_bytes;
    }
}

/// One mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// Address after the last.
    pub end: u64,
    /// Whether stores reach the file.
    pub shared: bool,
    /// Whether the process may store.
    pub writable: bool,
    /// Offset in the file, in bytes.
    pub offset_bytes: u64,
    /// The file, or a name in brackets, if there is one.
    pub path: Option<PathBuf>,
    /// What it costs.
    pub sizes: Sizes,
}

impl Mapping {
    /// Reads the mappings of a process.
    ///
    /// # Errors
    ///
    /// When the process has ended or belongs to somebody else.
    pub fn of_process(pid: u32) -> io::Result<Vec<Self>> {
        // Paths may hold any bytes; a replaced one cannot collide with a range of memory.
        let bytes = fs::read(format!("/proc/{pid}/smaps"))?;
        Ok(Self::parse_list(&String::from_utf8_lossy(&bytes)))
    }

    /// Reads the text of an `smaps` file.
    pub fn parse_list(text: &str) -> Vec<Self> {
        let mut mappings: Vec<Self> = Vec::new();
        for line in text.lines() {
            if let Some(mapping) = Self::parse_head(line) {
                mappings.push(mapping);
            } else if let Some(mapping) = mappings.last_mut() {
                mapping.sizes.parse_field(line);
            }
        }
        mappings
    }

    /// Reads a line like `7f00-7f08 r--s 00001000 fd:00 42   /srv/a b.seg`.
    fn parse_head(line: &str) -> Option<Self> {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let mut words = rest.splitn(4, ' ');
        let permissions = words.next()?;
        let offset = words.next()?;
        let _device = words.next()?;
        let (_inode, path) = words.next()?.split_once(' ').unwrap_or_default();
        let path = path.trim_start();
        Some(Self {
            start: u64::from_str_radix(start, 16).ok()?,
            end: u64::from_str_radix(end, 16).ok()?,
            shared: permissions.ends_with('s'),
            writable: permissions.get(1..2) == Some("w"),
            offset_bytes: u64::from_str_radix(offset, 16).ok()?,
            path: (!path.is_empty()).then(|| PathBuf::from(path)),
            sizes: Sizes::default(),
        })
    }
}

impl Sizes {
    /// Reads the sum over all mappings of a process, which is faster than all of them.
    ///
    /// # Errors
    ///
    /// When the process has ended or belongs to somebody else.
    pub fn of_process(pid: u32) -> io::Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let mut sizes = Self::default();
        text.lines().for_each(|line| sizes.parse_field(line));
        Ok(sizes)
    }

    /// Reads a line like `Rss:    12 kB`; other lines change nothing.
    fn parse_field(&mut self, line: &str) {
        let Some((name, value)) = line.split_once(':') else {
            return;
        };
        let Some(kib) = value.trim().strip_suffix(" kB") else {
            return;
        };
        let Ok(kib) = kib.parse::<u64>() else { return };
        let bytes = kib * 1024;
        match name {
            "Size" => self.virtual_bytes += bytes,
            "Rss" => self.rss_bytes += bytes,
            "Pss" => self.pss_bytes += bytes,
            "Private_Clean" | "Private_Dirty" => self.private_bytes += bytes,
            "Anonymous" => self.anonymous_bytes += bytes,
            "Swap" => self.swap_bytes += bytes,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
7f0000000000-7f0000200000 r--s 00001000 fd:00 42                         /srv/a b.seg
Size:               2048 kB
KernelPageSize:        4 kB
Rss:                1024 kB
Pss:                 256 kB
Shared_Clean:        768 kB
Private_Clean:       200 kB
Private_Dirty:        56 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd sh mr
7f0010000000-7f0010001000 rw-p 00000000 00:00 0
Size:                  4 kB
Rss:                   4 kB
Pss:                   4 kB
Private_Dirty:         4 kB
Anonymous:             4 kB
";

    #[test]
    fn mappings_and_their_sizes_are_read() {
        let [file, anonymous] = Mapping::parse_list(TEXT).try_into().unwrap();
        assert_eq!(file.path, Some(PathBuf::from("/srv/a b.seg")));
        assert!(file.shared && !file.writable);
        assert_eq!(file.offset_bytes, 0x1000);
        assert_eq!(file.end - file.start, file.sizes.virtual_bytes);
        assert_eq!(file.sizes.rss_bytes, 1024 << 10);
        assert_eq!(file.sizes.pss_bytes, 256 << 10);
        assert_eq!(file.sizes.private_bytes, 256 << 10);
        assert_eq!(anonymous.path, None);
        assert!(anonymous.writable && !anonymous.shared);
        assert_eq!(anonymous.sizes.anonymous_bytes, 4096);
    }

    #[test]
    fn our_own_mappings_are_readable() {
        let mappings = Mapping::of_process(std::process::id()).unwrap();
        let total = mappings
            .iter()
            .map(|mapping| mapping.sizes.rss_bytes)
            .sum::<u64>();
        assert!(total > 0);
        let stack = mappings
            .iter()
            .find(|m| m.path == Some(PathBuf::from("[stack]")));
        assert!(stack.is_some_and(|mapping| mapping.sizes.anonymous_bytes > 0));
        let sum = Sizes::of_process(std::process::id()).unwrap();
        assert!(sum.pss_bytes > 0 && sum.pss_bytes <= sum.rss_bytes);
        assert!(sum.anonymous_bytes > 0);
    }
}
