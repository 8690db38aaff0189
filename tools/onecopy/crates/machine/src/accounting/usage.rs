// SPDX-License-Identifier: GPL-2.0

//! The cost of a guest by range of its memory.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use super::BlockPages;
use super::Mapping;
use super::Pages;
use super::RamBlock;
use super::Sizes;
use crate::qmp::commands::HumanMonitorCommand;

/// The cost of one range of guest memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockUsage {
    /// QEMU's name of the range; empty for a memory back end that is a device's.
    pub name: String,
    /// The file that the range maps, if any.
    pub file: Option<PathBuf>,
    /// What it costs.
    pub sizes: Sizes,
}

/// The cost of a guest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// The ranges of guest memory, in QEMU's order.
    pub blocks: Vec<BlockUsage>,
    /// Everything else of the QEMU process: its code, heap, translation buffer.
    pub overhead: Sizes,
}

impl Usage {
    /// Attributes the mappings of a process to the ranges of its guest's memory.
    pub fn of(mappings: &[Mapping], blocks: &[RamBlock]) -> Self {
        let mut usage = Self {
            blocks: blocks
                .iter()
                .map(|block| BlockUsage {
                    name: block.name.clone(),
                    file: None,
                    sizes: Sizes::default(),
                })
                .collect(),
            overhead: Sizes::default(),
        };
        for mapping in mappings {
            let index = blocks
                .iter()
                .position(|block| block.holds(mapping.start, mapping.end));
            match index.and_then(|index| usage.blocks.get_mut(index)) {
                Some(block) => {
                    block.sizes += mapping.sizes;
                    block.file = block.file.take().or_else(|| mapping.path.clone());
                }
                None => usage.overhead += mapping.sizes,
            }
        }
        usage
    }

    /// Returns the question whose answer [`Self::of_process`] needs.
    pub fn query() -> HumanMonitorCommand {
        HumanMonitorCommand {
            command_line: "info ramblock".to_owned(),
        }
    }

    /// Returns what a guest costs, by the process of its QEMU and the answer to [`Self::query`].
    ///
    /// # Errors
    ///
    /// When the process has ended or belongs to somebody else.
    pub fn of_process(pid: u32, answer: &str) -> io::Result<Self> {
        let mappings = Mapping::of_process(pid)?;
        Ok(Self::of(&mappings, &RamBlock::parse_list(answer)))
    }

    /// Returns what fills the ranges of guest memory.
    pub fn pages(&self) -> Vec<BlockPages> {
        let pages = |block: &BlockUsage| BlockPages {
            name: block.name.clone(),
            pages: Pages {
                resident_bytes: block.sizes.rss_bytes,
                anonymous_bytes: block.sizes.anonymous_bytes,
                swap_bytes: block.sizes.swap_bytes,
            },
        };
        self.blocks.iter().map(pages).collect()
    }

    /// Returns the range that maps `path`.
    pub fn of_file(&self, path: &Path) -> Option<&BlockUsage> {
        self.blocks
            .iter()
            .find(|block| block.file.as_deref() == Some(path))
    }

    /// Returns the sum over all ranges of guest memory.
    pub fn guest(&self) -> Sizes {
        self.blocks.iter().fold(Sizes::default(), |mut sum, block| {
            sum += block.sizes;
            sum
        })
    }

    /// Returns the sum over the whole QEMU process.
    pub fn process(&self) -> Sizes {
        let mut sum = self.guest();
        sum += self.overhead;
        sum
    }

    /// Returns the bytes of guest memory that exist only because of this guest.
    pub fn unique_bytes(&self) -> u64 {
        self.guest().anonymous_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(start: u64, end: u64, anonymous_bytes: u64) -> Mapping {
        let sizes = Sizes {
            virtual_bytes: end - start,
            anonymous_bytes,
            ..Sizes::default()
        };
        Mapping {
            start,
            end,
            shared: false,
            writable: true,
            offset_bytes: 0,
            path: None,
            sizes,
        }
    }

    #[test]
    fn mappings_are_attributed_to_the_range_that_holds_them() {
        let block = |name: &str, host_address, size_bytes| RamBlock {
            name: name.to_owned(),
            host_address,
            size_bytes,
        };
        let blocks = [block("ram", 0x1000, 0x2000), block("seg0", 0x8000, 0x1000)];
        let mappings = [
            mapping(0x1000, 0x2000, 5),
            mapping(0x2000, 0x3000, 7),
            mapping(0x8000, 0x9000, 0),
            mapping(0x2000, 0x4000, 11),
        ];
        let usage = Usage::of(&mappings, &blocks);
        assert_eq!(usage.blocks[0].sizes.anonymous_bytes, 12);
        assert_eq!(usage.blocks[0].sizes.virtual_bytes, 0x2000);
        assert_eq!(usage.blocks[1].sizes.virtual_bytes, 0x1000);
        assert_eq!(
            usage.overhead.anonymous_bytes, 11,
            "sticks out of its range"
        );
        assert_eq!(usage.unique_bytes(), 12);
    }

    #[test]
    fn a_range_is_found_by_its_file() {
        let block = RamBlock {
            name: String::new(),
            host_address: 0,
            size_bytes: 0x1000,
        };
        let mut segment = mapping(0, 0x1000, 0);
        segment.path = Some(PathBuf::from("/s/1.seg"));
        let usage = Usage::of(&[segment], &[block]);
        assert!(usage.of_file(Path::new("/s/1.seg")).is_some());
        assert!(usage.of_file(Path::new("/s/2.seg")).is_none());
    }
}
