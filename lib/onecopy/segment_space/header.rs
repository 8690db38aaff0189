// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The header of a segment space.

use super::{
    crc32c::crc32c,
    error::{
        first_nonzero,
        len_bytes,
        Field,
        FormatError,
        Place,
        Reason, //
    },
    name::{
        Name,
        NAME_BYTES, //
    },
    DAX_ALIGN_BYTES,
    ENTRY_BYTES,
    HEADER_BYTES,
    MAGIC,
    MEMBERS_MAX,
    VERSION, //
};
use core::mem::{
    offset_of,
    size_of, //
};
use zerocopy::{
    little_endian::{
        U32,
        U64, //
    },
    FromBytes,
    IntoBytes, //
};

/// The constants as the header holds them.
#[allow(clippy::cast_possible_truncation, reason = "4096 and 128 fit")]
const HEADER_BYTES_U32: u32 = HEADER_BYTES as u32;
#[allow(clippy::cast_possible_truncation, reason = "4096 and 128 fit")]
const ENTRY_BYTES_U32: u32 = ENTRY_BYTES as u32;

/// What the checksum of the header covers.
#[derive(
    zerocopy_derive::FromBytes,
    zerocopy_derive::IntoBytes,
    zerocopy_derive::Immutable,
    zerocopy_derive::KnownLayout,
    zerocopy_derive::Unaligned,
)]
#[repr(C)]
struct Covered {
    magic: [u8; 8],
    version: U32,
    header_bytes: U32,
    space_bytes: U64,
    generation: U64,
    name: [u8; NAME_BYTES],
    member_count: U32,
    entry_bytes: U32,
    directory_offset: U64,
    directory_crc32c: U32,
    flags: U32,
    reserved_64: [u8; 4028],
}

/// A header, byte by byte.
#[derive(
    zerocopy_derive::FromBytes,
    zerocopy_derive::IntoBytes,
    zerocopy_derive::Immutable,
    zerocopy_derive::KnownLayout,
    zerocopy_derive::Unaligned,
)]
#[repr(C)]
pub(super) struct RawHeader {
    covered: Covered,
    header_crc32c: U32,
}

const _: () = {
    assert!(size_of::<RawHeader>() == HEADER_BYTES);
    assert!(offset_of!(Covered, reserved_64) == 64);
    assert!(offset_of!(RawHeader, header_crc32c) == 4092);
};

/// The values of a valid header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name of the segment space.
    pub name: Name,
    /// The generation of the space, from 1; every save makes a new one.
    pub generation: u64,
    /// The size of the whole space, in bytes; a multiple of [`DAX_ALIGN_BYTES`].
    pub space_bytes: u64,
    /// The number of members, 1..=[`MEMBERS_MAX`].
    pub member_count: u32,
    pub(super) directory_crc32c: u32,
}

impl Header {
    /// Decodes and validates the header that `bytes` begins with.
    ///
    /// `device_bytes` is the size of the device or file that holds the space; it may be larger than
    /// the space. Only an error with errno `ENODEV` says that this is no segment space at all.
    pub fn parse(bytes: &[u8], device_bytes: u64) -> Result<Self, FormatError> {
        let at_header = |reason| Place::Header.error(reason);
        let raw = RawHeader::read(bytes, device_bytes)?;

        // Other versions may have their checksum elsewhere.
        raw.check_version().map_err(at_header)?;
        Place::Header.check_crc32c(raw.header_crc32c.get(), crc32c(raw.covered.as_bytes()))?;
        let header = raw.covered.decode().map_err(at_header)?;
        header.validate().map_err(at_header)?;
        header.check_device(device_bytes)?;
        Ok(header)
    }

    /// Returns where the directory begins, in bytes.
    pub const fn directory_offset_bytes(&self) -> u64 {
        // CAST: `usize` has at most 64 bits.
        HEADER_BYTES as u64
    }

    /// Returns the size of the directory, in bytes; at most 64 KiB.
    pub const fn directory_len_bytes(&self) -> u64 {
        // CAST: as above, and widening.
        (self.member_count as u64).saturating_mul(ENTRY_BYTES as u64)
    }

    /// Returns where the directory ends and extents may begin, in bytes.
    pub const fn directory_end_bytes(&self) -> u64 {
        self.directory_offset_bytes()
            .saturating_add(self.directory_len_bytes())
    }

    /// Checks the values that version 1 leaves open.
    pub(super) fn validate(&self) -> Result<(), Reason> {
        let members_max = u64::try_from(MEMBERS_MAX).unwrap_or(u64::MAX);

        Field::SpaceBytes.check_size(self.space_bytes, DAX_ALIGN_BYTES)?;
        Field::Generation.check_range(self.generation, 1, u64::MAX)?;
        Field::MemberCount.check_range(self.member_count.into(), 1, members_max)
    }

    fn check_device(&self, device_bytes: u64) -> Result<(), FormatError> {
        let needed_bytes = self.directory_end_bytes();
        let space_bytes = self.space_bytes;

        if device_bytes < needed_bytes {
            return Err(Place::Directory.error(Reason::Truncated {
                found_bytes: device_bytes,
                needed_bytes,
            }));
        }
        if device_bytes < space_bytes {
            return Err(Place::Header.error(Reason::ExceedsDevice {
                space_bytes,
                device_bytes,
            }));
        }
        Ok(())
    }
}

impl RawHeader {
    /// Finds the header of something that has the magic number.
    fn read(bytes: &[u8], device_bytes: u64) -> Result<&Self, FormatError> {
        match bytes.first_chunk() {
            Some(found) if *found != MAGIC => {
                return Err(Place::Header.error(Reason::NotSegmentSpace { found: *found }));
            }
            _ => {}
        }
        let found_bytes = device_bytes.min(len_bytes(bytes));
        let needed_bytes = HEADER_BYTES_U32.into();
        match Self::ref_from_prefix(bytes) {
            Ok((raw, _)) if found_bytes >= needed_bytes => Ok(raw),
            _ => Err(Place::Header.error(Reason::Truncated {
                found_bytes,
                needed_bytes,
            })),
        }
    }

    fn check_version(&self) -> Result<(), Reason> {
        match self.covered.version.get() {
            VERSION => Ok(()),
            found if found.swap_bytes() == VERSION => Err(Reason::WrongEndian { found }),
            found => Err(Reason::UnsupportedVersion { found }),
        }
    }

    /// Writes the header with its checksum over all bytes of `self`.
    ///
    /// It is done in place, as 4 KiB are too much for a kernel stack.
    pub(super) fn encode(&mut self, header: &Header) {
        let covered = &mut self.covered;

        covered.magic = MAGIC;
        covered.version = VERSION.into();
        covered.header_bytes = HEADER_BYTES_U32.into();
        covered.space_bytes = header.space_bytes.into();
        covered.generation = header.generation.into();
        covered.name = header.name.to_field();
        covered.member_count = header.member_count.into();
        covered.entry_bytes = ENTRY_BYTES_U32.into();
        covered.directory_offset = header.directory_offset_bytes().into();
        covered.directory_crc32c = header.directory_crc32c.into();
        covered.flags = 0.into();
        covered.reserved_64.fill(0);
        self.header_crc32c = crc32c(self.covered.as_bytes()).into();
    }
}

impl Covered {
    /// Decodes the values that vary.
    fn decode(&self) -> Result<Header, Reason> {
        self.check_fixed()?;
        Ok(Header {
            name: Name::from_field(self.name).map_err(Reason::Name)?,
            generation: self.generation.get(),
            space_bytes: self.space_bytes.get(),
            member_count: self.member_count.get(),
            directory_crc32c: self.directory_crc32c.get(),
        })
    }

    /// Checks the values that version 1 fixes, flags first: they may change what the others mean.
    fn check_fixed(&self) -> Result<(), Reason> {
        match self.flags.get() {
            0 => {}
            found => return Err(Reason::UnsupportedFlags { found }),
        }
        Field::HeaderBytes.check_equal(self.header_bytes.get().into(), HEADER_BYTES_U32.into())?;
        Field::EntryBytes.check_equal(self.entry_bytes.get().into(), ENTRY_BYTES_U32.into())?;
        Field::DirectoryOffset.check_equal(self.directory_offset.get(), HEADER_BYTES_U32.into())?;
        first_nonzero(offset_of!(Self, reserved_64), &self.reserved_64)
    }
}
