// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The messages: part, field, what was found and what was expected.

use super::{
    super::{
        MAGIC,
        VERSION, //
    },
    Field,
    FormatError,
    Place,
    Reason, //
};
use core::fmt;

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

impl core::error::Error for FormatError {}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("header"),
            Self::Directory => f.write_str("directory"),
            Self::Member(index) => write!(f, "member #{index}"),
            Self::Segment(name) => write!(f, "segment {name}"),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A number as people know it: places and sizes in hexadecimal, the rest in decimal.
struct Value(Field, u64);

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Field::SpaceBytes | Field::DirectoryOffset | Field::Offset | Field::SizeBytes => {
                write!(f, "{:#x}", self.1)
            }
            Field::HeaderBytes | Field::EntryBytes | Field::Generation | Field::MemberCount => {
                write!(f, "{}", self.1)
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSegmentSpace { .. }
            | Self::WrongEndian { .. }
            | Self::UnsupportedVersion { .. }
            | Self::UnsupportedFlags { .. } => self.fmt_foreign(f),
            Self::Truncated { .. } | Self::Checksum { .. } | Self::BufferTooSmall { .. } => {
                self.fmt_damage(f)
            }
            Self::ExceedsDevice { .. }
            | Self::ExceedsSpace { .. }
            | Self::OverlapsDirectory { .. }
            | Self::Overlaps { .. }
            | Self::Unsorted { .. } => self.fmt_extent(f),
            _ => self.fmt_field(f),
        }
    }
}

impl Reason {
    /// The space is none, or one of another kind.
    fn fmt_foreign(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotSegmentSpace { found } => {
                let (found, expected) = (found.escape_ascii(), MAGIC.escape_ascii());
                write!(f, "magic is \"{found}\", not \"{expected}\"")
            }
            Self::WrongEndian { found } => {
                write!(f, "version {found:#010x} is {VERSION} in big-endian order")
            }
            Self::UnsupportedVersion { found } => write!(f, "version is {found}, not {VERSION}"),
            Self::UnsupportedFlags { found } => write!(f, "flags {found:#x} are unknown"),
            _ => Err(fmt::Error),
        }
    }

    /// Bytes are missing or damaged.
    fn fmt_damage(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated {
                found_bytes,
                needed_bytes,
            } => write!(
                f,
                "truncated: {found_bytes} of {needed_bytes} bytes are there"
            ),
            Self::Checksum { found, computed } => write!(
                f,
                "checksum is {found:#010x}, that of the contents is {computed:#010x}"
            ),
            Self::BufferTooSmall {
                found_bytes,
                needed_bytes,
            } => write!(
                f,
                "buffer has {found_bytes} bytes, {needed_bytes} are needed"
            ),
            _ => Err(fmt::Error),
        }
    }

    /// An extent is where it cannot be.
    fn fmt_extent(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ExceedsDevice {
                space_bytes,
                device_bytes,
            } => write!(
                f,
                "space_bytes {space_bytes:#x} exceeds the device, {device_bytes:#x}"
            ),
            Self::ExceedsSpace {
                offset_bytes,
                size_bytes,
                space_bytes,
            } => write!(
                f,
                "offset {offset_bytes:#x} plus size_bytes {size_bytes:#x} exceeds the space, \
                 {space_bytes:#x}"
            ),
            Self::OverlapsDirectory {
                offset_bytes,
                directory_end_bytes,
            } => write!(
                f,
                "offset {offset_bytes:#x} is before the end of the directory, \
                 {directory_end_bytes:#x}"
            ),
            Self::Overlaps {
                offset_bytes,
                other,
                other_end_bytes,
            } => write!(
                f,
                "offset {offset_bytes:#x} is before the end of segment {other}, \
                 {other_end_bytes:#x}"
            ),
            Self::Unsorted {
                offset_bytes,
                previous_offset_bytes,
            } => write!(
                f,
                "offset {offset_bytes:#x} is not sorted: it comes after {previous_offset_bytes:#x}"
            ),
            _ => Err(fmt::Error),
        }
    }

    /// A field has a value that it cannot have.
    fn fmt_field(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Unexpected {
                field,
                found,
                expected,
            } => write!(
                f,
                "{field} is {}, not {}",
                Value(field, found),
                Value(field, expected)
            ),
            Self::OutOfRange {
                field,
                found,
                min,
                max,
            } => write!(f, "{field} {} is not in {min}..={max}", Value(field, found)),
            Self::Zero { field } => write!(f, "{field} is zero"),
            Self::Misaligned {
                field,
                found,
                multiple_of,
            } => write!(
                f,
                "{field} {} is not a multiple of {multiple_of}",
                Value(field, found)
            ),
            Self::UnknownType { found } => write!(f, "type {found} is not in 0..=6"),
            Self::ReservedNotZero {
                offset_bytes,
                found,
            } => write!(f, "reserved byte {offset_bytes} is {found:#04x}, not zero"),
            Self::UnexpectedDigest { kind } => {
                write!(f, "sha256 is not zero although type {kind} saves no data")
            }
            Self::Duplicate { first, second } => {
                write!(
                    f,
                    "name is that of both member #{first} and member #{second}"
                )
            }
            Self::Name(error) => write!(f, "{error}"),
            _ => Err(fmt::Error),
        }
    }
}
