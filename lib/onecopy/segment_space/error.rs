// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What can be wrong with a segment space.

use super::{
    kind::SegmentType,
    name::{
        Name,
        NameError, //
    },
};

mod display;

// The values of Linux. They are written out because neither the kernel's nor libc's bindings are
// there for both users of this code.
const EIO: i32 = 5;
const EBUSY: i32 = 16;
const EEXIST: i32 = 17;
const ENODEV: i32 = 19;
pub(super) const EINVAL: i32 = 22;
const ENOSPC: i32 = 28;
const ERANGE: i32 = 34;
pub(super) const ENAMETOOLONG: i32 = 36;
const EOPNOTSUPP: i32 = 95;

/// Why a segment space is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatError {
    /// The part of the space that is at fault.
    pub place: Place,
    /// What is wrong with it.
    pub reason: Reason,
}

/// A part of a segment space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The header.
    Header,
    /// The directory as a whole.
    Directory,
    /// The member whose directory entry has this index, from 0, and no valid name.
    Member(usize),
    /// The member with this name.
    Segment(Name),
}

/// A field of the header or of a directory entry that holds a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The size of the header.
    HeaderBytes,
    /// The size of the space.
    SpaceBytes,
    /// The generation of the space or of the contents of a member.
    Generation,
    /// The number of members.
    MemberCount,
    /// The size of a directory entry.
    EntryBytes,
    /// Where the directory begins.
    DirectoryOffset,
    /// Where an extent begins.
    Offset,
    /// The size of an extent.
    SizeBytes,
}

/// What is wrong with a part of a segment space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "the names say what was found and what was expected instead"
)]
pub enum Reason {
    /// The magic number is another one.
    NotSegmentSpace { found: [u8; 8] },
    /// The version is 1 in big-endian order.
    WrongEndian { found: u32 },
    /// The version is not 1.
    UnsupportedVersion { found: u32 },
    /// A flag is set that version 1 does not have.
    UnsupportedFlags { found: u32 },
    /// The input or the device ends before the part does.
    Truncated { found_bytes: u64, needed_bytes: u64 },
    /// The checksum is not that of the contents.
    Checksum { found: u32, computed: u32 },
    /// A field does not have the only value that version 1 allows.
    Unexpected {
        field: Field,
        found: u64,
        expected: u64,
    },
    /// A field is below its minimum or above its maximum.
    OutOfRange {
        field: Field,
        found: u64,
        min: u64,
        max: u64,
    },
    /// A size is zero.
    Zero { field: Field },
    /// An offset or a size is not a multiple of what it has to be.
    Misaligned {
        field: Field,
        found: u64,
        multiple_of: u64,
    },
    /// There is no type with that code.
    UnknownType { found: u8 },
    /// A reserved byte of the header or entry is set; it is the first one.
    ReservedNotZero { offset_bytes: usize, found: u8 },
    /// There is a digest of a segment without saved data.
    UnexpectedDigest { kind: SegmentType },
    /// The name is none.
    Name(NameError),
    /// The space is larger than the device.
    ExceedsDevice { space_bytes: u64, device_bytes: u64 },
    /// The extent ends after the space does, or after the last offset that 64 bits can hold.
    ExceedsSpace {
        offset_bytes: u64,
        size_bytes: u64,
        space_bytes: u64,
    },
    /// The extent begins before the directory ends.
    OverlapsDirectory {
        offset_bytes: u64,
        directory_end_bytes: u64,
    },
    /// The extent begins before that of the previous member ends.
    Overlaps {
        offset_bytes: u64,
        other: Name,
        other_end_bytes: u64,
    },
    /// The extent begins before that of the previous member begins.
    Unsorted {
        offset_bytes: u64,
        previous_offset_bytes: u64,
    },
    /// Two members, given by the indices of their entries, have the same name.
    Duplicate { first: usize, second: usize },
    /// What is to be encoded does not fit into the buffer of the caller.
    BufferTooSmall { found_bytes: u64, needed_bytes: u64 },
}

impl FormatError {
    /// Returns the positive errno that a driver returns.
    pub const fn errno(&self) -> i32 {
        match &self.reason {
            Reason::NotSegmentSpace { .. } => ENODEV,
            Reason::WrongEndian { .. }
            | Reason::UnsupportedVersion { .. }
            | Reason::UnsupportedFlags { .. } => EOPNOTSUPP,
            Reason::Truncated { .. } | Reason::Checksum { .. } => EIO,
            Reason::ExceedsDevice { .. } | Reason::ExceedsSpace { .. } => ERANGE,
            Reason::OverlapsDirectory { .. } | Reason::Overlaps { .. } => EBUSY,
            Reason::Duplicate { .. } => EEXIST,
            Reason::BufferTooSmall { .. } => ENOSPC,
            Reason::Name(error) => error.errno(),
            Reason::Unexpected { .. }
            | Reason::OutOfRange { .. }
            | Reason::Zero { .. }
            | Reason::Misaligned { .. }
            | Reason::UnknownType { .. }
            | Reason::ReservedNotZero { .. }
            | Reason::UnexpectedDigest { .. }
            | Reason::Unsorted { .. } => EINVAL,
        }
    }
}

impl Place {
    pub(super) const fn error(self, reason: Reason) -> FormatError {
        FormatError {
            place: self,
            reason,
        }
    }

    pub(super) fn check_crc32c(self, found: u32, computed: u32) -> Result<(), FormatError> {
        match found == computed {
            true => Ok(()),
            false => Err(self.error(Reason::Checksum { found, computed })),
        }
    }
}

impl Field {
    pub(super) fn check_equal(self, found: u64, expected: u64) -> Result<(), Reason> {
        match found == expected {
            true => Ok(()),
            false => Err(Reason::Unexpected {
                field: self,
                found,
                expected,
            }),
        }
    }

    pub(super) fn check_range(self, found: u64, min: u64, max: u64) -> Result<(), Reason> {
        match (min..=max).contains(&found) {
            true => Ok(()),
            false => Err(Reason::OutOfRange {
                field: self,
                found,
                min,
                max,
            }),
        }
    }

    /// Checks an offset.
    pub(super) fn check_multiple(self, found: u64, multiple_of: u64) -> Result<(), Reason> {
        match found.checked_rem(multiple_of) {
            Some(0) => Ok(()),
            _ => Err(Reason::Misaligned {
                field: self,
                found,
                multiple_of,
            }),
        }
    }

    /// Checks a size, which is not zero.
    pub(super) fn check_size(self, found: u64, multiple_of: u64) -> Result<(), Reason> {
        match found {
            0 => Err(Reason::Zero { field: self }),
            _ => self.check_multiple(found, multiple_of),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::HeaderBytes => "header_bytes",
            Self::SpaceBytes => "space_bytes",
            Self::Generation => "generation",
            Self::MemberCount => "member_count",
            Self::EntryBytes => "entry_bytes",
            Self::DirectoryOffset => "directory_offset",
            Self::Offset => "offset",
            Self::SizeBytes => "size_bytes",
        }
    }
}

/// Checks reserved bytes, which begin `offset_bytes` into their structure.
pub(super) fn first_nonzero(offset_bytes: usize, reserved: &[u8]) -> Result<(), Reason> {
    match reserved
        .iter()
        .zip(offset_bytes..)
        .find(|(byte, _)| **byte != 0)
    {
        None => Ok(()),
        Some((found, offset_bytes)) => Err(Reason::ReservedNotZero {
            offset_bytes,
            found: *found,
        }),
    }
}

pub(super) const fn len_bytes(bytes: &[u8]) -> u64 {
    // CAST: `usize` has at most 64 bits.
    bytes.len() as u64
}
