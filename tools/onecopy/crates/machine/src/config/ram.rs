// SPDX-License-Identifier: GPL-2.0

//! RAM that is composed of ranges, each of a kind of its own.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::options::Access;
use crate::options::MemoryBackendFile;
use crate::options::MemoryBackendRam;
use crate::options::NumaNode;
use crate::options::Switch;

/// What a range of RAM is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backing {
    /// Anonymous memory, which the host can take back.
    Anonymous,
    /// A file of the size of the range.
    File {
        /// The file.
        path: PathBuf,
        /// Who sees what the guest stores there.
        access: Access,
    },
}

/// A range of RAM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RamRange {
    /// Name of the range in the machine; QEMU's name of the memory block.
    pub id: String,
    /// Size in bytes, a multiple of 2 MiB.
    pub size_bytes: u64,
    /// What it is made of.
    pub backing: Backing,
}

/// Adds the back ends of the ranges, and the nodes that string them together.
pub(super) fn add_ranges(ranges: &[RamRange], max_cpus: u32, args: &mut Vec<OsString>) {
    for (node, range) in (0..).zip(ranges) {
        range.add_backend(args);
        NumaNode {
            node,
            memdev: range.id.clone(),
            max_cpus,
        }
        .add_to(args);
    }
}

impl RamRange {
    fn add_backend(&self, args: &mut Vec<OsString>) {
        match &self.backing {
            Backing::Anonymous => MemoryBackendRam {
                id: self.id.clone(),
                size_bytes: self.size_bytes,
            }
            .add_to(args),
            Backing::File { path, access } => {
                MemoryBackendFile::segment(&self.id, path, self.size_bytes, *access).add_to(args);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_strung_together_and_the_first_has_the_processors() {
        let ranges = [
            RamRange {
                id: "ew0".to_owned(),
                size_bytes: 16 << 20,
                backing: Backing::File {
                    path: "/s/ew-0.img".into(),
                    access: Access::Private,
                },
            },
            RamRange {
                id: "ram".to_owned(),
                size_bytes: 2 << 20,
                backing: Backing::Anonymous,
            },
        ];
        let mut args = Vec::new();
        add_ranges(&ranges, 4, &mut args);
        assert_eq!(
            args,
            [
                "-object",
                "memory-backend-file,id=ew0,mem-path=/s/ew-0.img,size=16777216,share=off,\
                 readonly=on,rom=off,align=2097152",
                "-numa",
                "node,nodeid=0,cpus=0-3,memdev=ew0",
                "-object",
                "memory-backend-ram,id=ram,size=2097152",
                "-numa",
                "node,nodeid=1,memdev=ram",
            ]
        );
    }
}
