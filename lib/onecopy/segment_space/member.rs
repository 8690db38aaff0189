// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Members of a segment space, and the directory entries that describe them.

use super::{
    error::{
        first_nonzero,
        Field,
        FormatError,
        Place,
        Reason, //
    },
    header::Header,
    kind::SegmentType,
    name::{
        Name,
        NAME_BYTES, //
    },
    BLOCK_BYTES,
    DAX_ALIGN_BYTES,
    ENTRY_BYTES, //
};
use core::mem::{
    offset_of,
    size_of, //
};
use zerocopy::little_endian::U64;

/// A directory entry, byte by byte.
#[derive(
    zerocopy_derive::FromBytes,
    zerocopy_derive::IntoBytes,
    zerocopy_derive::Immutable,
    zerocopy_derive::KnownLayout,
    zerocopy_derive::Unaligned,
)]
#[repr(C)]
pub(super) struct RawEntry {
    pub(super) name: [u8; NAME_BYTES],
    kind: u8,
    reserved_9: [u8; 7],
    offset: U64,
    size_bytes: U64,
    generation: U64,
    saved_unix_seconds: U64,
    reserved_48: [u8; 16],
    sha256: [u8; 32],
    reserved_96: [u8; 32],
}

const _: () = {
    assert!(size_of::<RawEntry>() == ENTRY_BYTES);
    assert!(offset_of!(RawEntry, offset) == 16);
    assert!(offset_of!(RawEntry, sha256) == 64);
};

/// A segment of a segment space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The name, unique in the space.
    pub name: Name,
    /// The type.
    pub kind: SegmentType,
    /// Where the extent begins within the space, in bytes; a multiple of [`BLOCK_BYTES`].
    pub offset_bytes: u64,
    /// The size of the extent, in bytes; a multiple of [`BLOCK_BYTES`], at least one block.
    pub size_bytes: u64,
    /// The generation of the space in which the contents were saved last, from 1.
    pub generation: u64,
    /// When the contents were saved, in seconds since 1970-01-01 00:00 UTC; 0 if not known.
    pub saved_unix_seconds: u64,
    /// The SHA-256 digest of the extent; zero for the types that save no data.
    pub sha256: [u8; 32],
}

impl Member {
    /// Returns where the extent ends within the space, in bytes.
    ///
    /// It is exact for a member of a [`Directory`](super::Directory).
    pub const fn end_bytes(&self) -> u64 {
        self.offset_bytes.saturating_add(self.size_bytes)
    }

    /// Returns whether both ends of the extent are aligned for DAX.
    pub const fn dax_aligned(&self) -> bool {
        self.offset_bytes % DAX_ALIGN_BYTES == 0 && self.size_bytes % DAX_ALIGN_BYTES == 0
    }

    /// Checks what does not depend on other members.
    pub(super) fn validate(&self, header: &Header) -> Result<(), Reason> {
        let directory_end_bytes = header.directory_end_bytes();
        let (offset_bytes, size_bytes) = (self.offset_bytes, self.size_bytes);

        Field::Offset.check_multiple(offset_bytes, BLOCK_BYTES)?;
        Field::SizeBytes.check_size(size_bytes, BLOCK_BYTES)?;
        Field::Generation.check_range(self.generation, 1, header.generation)?;
        if offset_bytes < directory_end_bytes {
            return Err(Reason::OverlapsDirectory {
                offset_bytes,
                directory_end_bytes,
            });
        }
        let fits = |end_bytes: u64| end_bytes <= header.space_bytes;
        if !offset_bytes.checked_add(size_bytes).is_some_and(fits) {
            return Err(Reason::ExceedsSpace {
                offset_bytes,
                size_bytes,
                space_bytes: header.space_bytes,
            });
        }
        if !self.kind.saved() && self.sha256 != [0; 32] {
            return Err(Reason::UnexpectedDigest { kind: self.kind });
        }
        Ok(())
    }

    /// Checks that the extent lies after that of the previous member.
    pub(super) fn validate_after(&self, previous: &Self) -> Result<(), Reason> {
        if self.offset_bytes < previous.offset_bytes {
            return Err(Reason::Unsorted {
                offset_bytes: self.offset_bytes,
                previous_offset_bytes: previous.offset_bytes,
            });
        }
        if self.offset_bytes < previous.end_bytes() {
            return Err(Reason::Overlaps {
                offset_bytes: self.offset_bytes,
                other: previous.name,
                other_end_bytes: previous.end_bytes(),
            });
        }
        Ok(())
    }
}

impl RawEntry {
    /// Decodes the entry at `index`, without looking at the extent.
    pub(super) fn decode(&self, index: usize) -> Result<Member, FormatError> {
        let name = Name::from_field(self.name)
            .map_err(|error| Place::Member(index).error(Reason::Name(error)))?;
        let segment = |reason| Place::Segment(name).error(reason);

        self.check_reserved().map_err(segment)?;
        let kind = SegmentType::from_code(self.kind)
            .ok_or(Reason::UnknownType { found: self.kind })
            .map_err(segment)?;
        Ok(Member {
            name,
            kind,
            offset_bytes: self.offset.get(),
            size_bytes: self.size_bytes.get(),
            generation: self.generation.get(),
            saved_unix_seconds: self.saved_unix_seconds.get(),
            sha256: self.sha256,
        })
    }

    fn check_reserved(&self) -> Result<(), Reason> {
        first_nonzero(offset_of!(Self, reserved_9), &self.reserved_9)?;
        first_nonzero(offset_of!(Self, reserved_48), &self.reserved_48)?;
        first_nonzero(offset_of!(Self, reserved_96), &self.reserved_96)
    }

    /// Makes the entry of a member.
    pub(super) fn encode(member: &Member) -> Self {
        Self {
            name: member.name.to_field(),
            kind: member.kind.code(),
            reserved_9: [0; 7],
            offset: member.offset_bytes.into(),
            size_bytes: member.size_bytes.into(),
            generation: member.generation.into(),
            saved_unix_seconds: member.saved_unix_seconds.into(),
            reserved_48: [0; 16],
            sha256: member.sha256,
            reserved_96: [0; 32],
        }
    }
}
