// SPDX-License-Identifier: GPL-2.0

//! Kinds of file systems.

/// A file system, by what it means for files that guests map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filesystem {
    /// On a disk of this host.
    Local(&'static str),
    /// In memory.
    Memory(&'static str),
    /// On another host, or in another process.
    Remote(&'static str),
    /// Layers of others.
    Overlay,
    /// Another one, by its number.
    Other(u64),
}

impl Filesystem {
    /// Tells the kind by the magic number of statfs(2).
    pub fn of_magic(magic: u64) -> Self {
        match magic {
            0xef53 => Self::Local("ext4"),
            0x5846_5342 => Self::Local("xfs"),
            0x9123_683e => Self::Local("btrfs"),
            0xf2f5_2010 => Self::Local("f2fs"),
            0xca45_1a4e => Self::Local("bcachefs"),
            0x2fc1_2fc1 => Self::Local("zfs"),
            0x0102_1994 => Self::Memory("tmpfs"),
            0x8584_58f6 => Self::Memory("ramfs"),
            0x6969 => Self::Remote("nfs"),
            0x0102_1997 => Self::Remote("9p"),
            0x6573_5546 => Self::Remote("fuse"),
            0xff53_4d42 => Self::Remote("cifs"),
            0xfe53_4d42 => Self::Remote("smb"),
            0x00c3_6400 => Self::Remote("ceph"),
            0x794c_7630 => Self::Overlay,
            other => Self::Other(other),
        }
    }

    /// Returns its name.
    pub fn name(self) -> String {
        match self {
            Self::Local(name) | Self::Memory(name) | Self::Remote(name) => name.to_owned(),
            Self::Overlay => "overlayfs".to_owned(),
            Self::Other(magic) => format!("file system {magic:#x}"),
        }
    }
}
