// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Writing headers and directories.

use super::{
    crc32c::crc32c,
    directory::{
        validate_members,
        validate_unique, //
    },
    error::{
        len_bytes,
        FormatError,
        Place,
        Reason, //
    },
    header::{
        Header,
        RawHeader, //
    },
    member::{
        Member,
        RawEntry, //
    },
    name::Name,
    ENTRY_BYTES,
    HEADER_BYTES, //
};
use zerocopy::{
    FromBytes,
    IntoBytes, //
};

/// Returns how many bytes [`encode()`] writes for a number of members: the offset at which the
/// directory ends.
pub const fn encoded_bytes(member_count: usize) -> usize {
    HEADER_BYTES.saturating_add(member_count.saturating_mul(ENTRY_BYTES))
}

/// Writes the header and the directory of a segment space to the beginning of `out`.
///
/// The members have to be sorted by offset. Everything that [`Header::parse`] or
/// [`Directory::parse`](super::Directory::parse) refuses is refused with the same error, before
/// anything is written; an `out` that is too small is `ENOSPC`. Returns the number of bytes
/// written, which is that of [`encoded_bytes`].
pub fn encode(
    name: Name,
    generation: u64,
    space_bytes: u64,
    members: &[Member],
    out: &mut [u8],
) -> Result<usize, FormatError> {
    let mut header = Header {
        name,
        generation,
        space_bytes,
        // More than 2^32 - 1 are refused as 2^32 - 1 are.
        member_count: u32::try_from(members.len()).unwrap_or(u32::MAX),
        directory_crc32c: 0,
    };

    header
        .validate()
        .map_err(|reason| Place::Header.error(reason))?;
    validate_members(&header, members.iter().copied().map(Ok))?;
    validate_unique(members.iter().map(|member| member.name.to_field()))?;

    let (raw_header, entries) = split(members.len(), out)?;
    for (entry, member) in entries.iter_mut().zip(members) {
        *entry = RawEntry::encode(member);
    }
    header.directory_crc32c = crc32c(entries.as_bytes());
    raw_header.encode(&header);
    Ok(encoded_bytes(members.len()))
}

/// Divides `out` into a header and the entries of a directory.
fn split(
    member_count: usize,
    out: &mut [u8],
) -> Result<(&mut RawHeader, &mut [RawEntry]), FormatError> {
    let too_small = Place::Directory.error(Reason::BufferTooSmall {
        found_bytes: len_bytes(out),
        // CAST: `usize` has at most 64 bits.
        needed_bytes: encoded_bytes(member_count) as u64,
    });
    let (header, rest) = RawHeader::mut_from_prefix(out).map_err(|_| too_small)?;
    let (entries, _) =
        <[RawEntry]>::mut_from_prefix_with_elems(rest, member_count).map_err(|_| too_small)?;

    Ok((header, entries))
}
