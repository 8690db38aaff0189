// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Segment spaces: files of named, saved segments that guests share.
//!
//! A space begins with a [`Header`] and a [`Directory`] that lists its members: name, type,
//! extent, generation and digest of each. `Documentation/filesystems/segment-space.rst` describes
//! the bytes.
//!
//! To read a space:
//!
//! 1. Copy the first [`HEADER_BYTES`] bytes of the device; what the host maps into a guest can
//!    change between a check and a use.
//! 2. [`Header::parse`] says whether it is a segment space, and how long its directory is.
//! 3. Copy [`Header::directory_len_bytes`] bytes from [`Header::directory_offset_bytes`].
//! 4. [`Directory::parse`] validates everything; its [members](Directory::members) need no check.
//!
//! To write one, put the extents in place, then what [`encode()`] makes at offset 0.
//!
//! Out of scope: reading extents and computing their SHA-256 digests.

mod crc32c;
mod directory;
mod encode;
mod error;
mod header;
mod kind;
mod member;
mod name;

pub use self::{
    crc32c::crc32c,
    directory::Directory,
    encode::{
        encode,
        encoded_bytes, //
    },
    error::{
        Field,
        FormatError,
        Place,
        Reason, //
    },
    header::Header,
    kind::SegmentType,
    member::Member,
    name::{
        Name,
        NameError,
        NAME_BYTES, //
    },
};

/// The first eight bytes of every segment space.
pub const MAGIC: [u8; 8] = *b"1COPYSEG";

/// The version of the format that is read and written.
pub const VERSION: u32 = 1;

/// The size of the header, and the offset of the directory, in bytes.
pub const HEADER_BYTES: usize = 4096;

/// The size of a directory entry, in bytes.
pub const ENTRY_BYTES: usize = 128;

/// The largest number of members of a segment space; the smallest is 1.
pub const MEMBERS_MAX: usize = 512;

/// What offsets and sizes of members are multiples of, in bytes.
pub const BLOCK_BYTES: u64 = 4096;

/// What the size of a space is a multiple of, and the ends of a member that can have DAX, in bytes.
///
/// It is the size of a subsection of the memory map and of a large page.
pub const DAX_ALIGN_BYTES: u64 = 2 << 20;
