// SPDX-License-Identifier: GPL-2.0

//! What fills the ranges of guest memory, without who else has it.

use std::io;
use std::ops::AddAssign;

use super::pagemap::Pagemap;
use super::RamBlock;
use super::Usage;

/// Pages of some memory by kind, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pages {
    /// Those in memory.
    pub resident_bytes: u64,
    /// Those of them that belong to no file: what exists only because of this process.
    pub anonymous_bytes: u64,
    /// Those in swap.
    pub swap_bytes: u64,
}

impl AddAssign for Pages {
    fn add_assign(&mut self, other: Self) {
        self.resident_bytes += other.resident_bytes;
        self.anonymous_bytes += other.anonymous_bytes;
        self.swap_bytes += other.swap_bytes;
    }
}

/// What fills one range of guest memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockPages {
    /// QEMU's name of the range.
    pub name: String,
    /// What fills it.
    pub pages: Pages,
}

impl BlockPages {
    /// Returns what fills the ranges of a guest's memory, by the process of its QEMU and the answer to
    /// [`Usage::query`]. It takes a small part of the time of [`Usage::of_process`], unless the kernel
    /// is older than Linux 6.7.
    ///
    /// # Errors
    ///
    /// When the process has ended or belongs to somebody else.
    pub fn of_process(pid: u32, answer: &str) -> io::Result<Vec<Self>> {
        match scan(pid, &RamBlock::parse_list(answer)) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                Ok(Usage::of_process(pid, answer)?.pages())
            }
            scanned => scanned,
        }
    }
}

fn scan(pid: u32, blocks: &[RamBlock]) -> io::Result<Vec<BlockPages>> {
    let mut pagemap = Pagemap::of_process(pid)?;
    let count = |block: &RamBlock| {
        Ok(BlockPages {
            name: block.name.clone(),
            pages: pagemap.count(block.addresses())?,
        })
    };
    blocks.iter().map(count).collect()
}
