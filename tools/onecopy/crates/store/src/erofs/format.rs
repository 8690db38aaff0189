// SPDX-License-Identifier: GPL-2.0

//! The part of the EROFS on-disk format that finding file data needs.
//!
//! Format: `fs/erofs/erofs_fs.h` and `Documentation/filesystems/erofs.rst` of Linux.

use zerocopy::little_endian::U16;
use zerocopy::little_endian::U32;
use zerocopy::little_endian::U64;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;
use zerocopy::Unaligned;

/// Size of a block, of memory; the only one that direct access knows.
pub(super) const BLOCK_LEN: usize = 4096;

/// Size of a block, in the image.
pub(super) const BLOCK_BYTES: u64 = BLOCK_LEN as u64;

/// Offset of the superblock in the first block.
pub(super) const SUPER_START: usize = 1024;

/// Offset of the superblock in the image.
pub(super) const SUPER_OFFSET: u64 = SUPER_START as u64;

/// Magic number of the superblock.
pub(super) const MAGIC: u32 = 0xe0f5_e1e2;

/// The superblock has a checksum.
pub(super) const COMPAT_CHECKSUM: u32 = 0x1;

/// Incompatible features that change nothing here: padding of LZ4 data, of which there is none,
/// and chunk-based files.
pub(super) const INCOMPAT_UNDERSTOOD: u32 = 0x1 | 0x4;

/// Inodes lie at multiples of this, counted by their number.
pub(super) const INODE_SLOT_BYTES: u64 = 32;

/// Block address that stands for a hole.
pub(super) const HOLE: u32 = u32::MAX;

/// The start of the superblock.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct SuperBlock {
    pub(super) magic: U32,
    pub(super) checksum: U32,
    pub(super) feature_compat: U32,
    pub(super) block_bits: u8,
    pub(super) extension_slots: u8,
    pub(super) root_nid: U16,
    pub(super) inodes: U64,
    pub(super) build_time: U64,
    pub(super) build_time_nsec: U32,
    pub(super) blocks: U32,
    pub(super) meta_block: U32,
    pub(super) xattr_block: U32,
    pub(super) uuid: [u8; 16],
    pub(super) volume_name: [u8; 16],
    pub(super) feature_incompat: U32,
}

/// The start of an inode, common to its two sizes.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct InodeStart {
    format: U16,
    xattr_count: U16,
    mode: U16,
    _nlink_or_start: U16,
    size: U64,
    /// Address of the data, or the format of the chunks.
    pub(super) data: U32,
}

/// Offset of [`InodeStart::data`] in an inode.
pub(super) const INODE_DATA_OFFSET: u64 = 16;

/// How the data of an inode is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Consecutive blocks.
    Plain,
    /// Consecutive blocks, and what is left behind the inode.
    Inline,
    /// Chunks, each with an address of its own.
    Chunks,
    /// Compressed or unknown.
    Other(u16),
}

impl InodeStart {
    /// Whether the inode has 64 bytes instead of 32.
    fn extended(self) -> bool {
        self.format.get() & 1 != 0
    }

    /// Returns how the data is stored.
    pub(super) fn layout(self) -> Layout {
        // Bits above the layout belong to later versions of the format.
        match self.format.get() >> 1 {
            0 => Layout::Plain,
            2 => Layout::Inline,
            4 => Layout::Chunks,
            other => Layout::Other(other),
        }
    }

    /// Returns the size of the data in bytes.
    pub(super) fn size_bytes(self) -> u64 {
        if self.extended() {
            self.size.get()
        } else {
            self.size.get() & u64::from(u32::MAX)
        }
    }

    /// Returns the number of bytes of the inode and its extended attributes.
    pub(super) fn head_bytes(self) -> u64 {
        let inode = if self.extended() { 64 } else { 32 };
        let xattrs = match self.xattr_count.get() {
            0 => 0,
            count => 12 + 4 * (u64::from(count) - 1),
        };
        inode + xattrs
    }

    /// Whether this is a directory.
    pub(super) fn is_directory(self) -> bool {
        self.mode.get() & 0o170_000 == 0o040_000
    }

    /// Whether this is a regular file or a symbolic link: something with data.
    pub(super) fn has_file_data(self) -> bool {
        matches!(self.mode.get() & 0o170_000, 0o100_000 | 0o120_000)
    }
}

/// A directory entry, followed elsewhere in its block by the name.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Dirent {
    pub(super) nid: U64,
    pub(super) name_offset: U16,
    _file_type: u8,
    _reserved: u8,
}

/// Returns the number of bytes per chunk of a chunk-based inode.
pub(super) fn chunk_bytes(data: u32) -> Option<u64> {
    const BITS_MASK: u32 = 0x1f;

    // The other bits announce larger addresses, which need another form of the map.
    (data & !BITS_MASK == 0).then(|| BLOCK_BYTES << (data & BITS_MASK))
}

const _: () = assert!(size_of::<SuperBlock>() == 84);
const _: () = assert!(size_of::<InodeStart>() == 20);
const _: () = assert!(size_of::<Dirent>() == 12);

#[cfg(test)]
mod tests {
    use super::*;

    fn inode(format: u16, xattr_count: u16) -> InodeStart {
        let mut bytes = [0xff; 20];
        bytes[..2].copy_from_slice(&format.to_le_bytes());
        bytes[2..4].copy_from_slice(&xattr_count.to_le_bytes());
        bytes[8..12].copy_from_slice(&7u32.to_le_bytes());
        InodeStart::read_from_bytes(&bytes).unwrap()
    }

    #[test]
    fn short_and_long_inodes_are_told_apart() {
        assert_eq!(inode(0, 0).head_bytes(), 32);
        assert_eq!(inode(1, 0).head_bytes(), 64);
        assert_eq!(inode(0, 1).head_bytes(), 44);
        assert_eq!(inode(0, 3).head_bytes(), 52);
        assert_eq!(inode(0, 0).size_bytes(), 7);
        assert_eq!(inode(1, 0).size_bytes(), 0xffff_ffff_0000_0007);
    }

    #[test]
    fn unknown_format_bits_are_not_taken_for_a_layout() {
        assert_eq!(inode(4 << 1, 0).layout(), Layout::Chunks);
        assert_eq!(inode(1 << 4, 0).layout(), Layout::Other(8));
        assert_eq!(chunk_bytes(9), Some(2 << 20));
        assert_eq!(chunk_bytes(0x20), None);
    }
}
