// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The directory of a segment space.

use super::{
    crc32c::crc32c,
    error::{
        len_bytes,
        FormatError,
        Place,
        Reason, //
    },
    header::Header,
    member::{
        Member,
        RawEntry, //
    },
    name::{
        Name,
        NAME_BYTES, //
    },
};
use core::fmt;
use zerocopy::{
    FromBytes,
    IntoBytes, //
};

/// The directory of a segment space: its members, sorted by offset.
///
/// # Invariants
///
/// Every entry can be decoded; names are unique, extents are in order, do not overlap and lie
/// between the end of the directory and the end of the space.
#[derive(Clone, Copy)]
pub struct Directory<'a> {
    entries: &'a [RawEntry],
}

impl<'a> Directory<'a> {
    /// Validates the directory of the space with the given header.
    ///
    /// `bytes` begins where the directory does; what follows the directory is not looked at.
    pub fn parse(header: &Header, bytes: &'a [u8]) -> Result<Self, FormatError> {
        let truncated = Reason::Truncated {
            found_bytes: len_bytes(bytes),
            needed_bytes: header.directory_len_bytes(),
        };
        let entries = usize::try_from(header.member_count)
            .ok()
            .and_then(|count| <[RawEntry]>::ref_from_prefix_with_elems(bytes, count).ok())
            .map(|(entries, _)| entries)
            .ok_or(Place::Directory.error(truncated))?;

        Place::Directory.check_crc32c(header.directory_crc32c, crc32c(entries.as_bytes()))?;
        validate_members(
            header,
            entries
                .iter()
                .enumerate()
                .map(|(index, entry)| entry.decode(index)),
        )?;
        validate_unique(entries.iter().map(|entry| entry.name))?;
        // INVARIANT: All of it was validated.
        Ok(Self { entries })
    }

    /// Returns the members, sorted by offset.
    pub fn members(&self) -> impl Iterator<Item = Member> + Clone + 'a {
        // By the invariant, no entry is skipped.
        self.entries
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| entry.decode(index).ok())
    }

    /// Returns the member called `name`.
    pub fn find(&self, name: Name) -> Option<Member> {
        self.members().find(|member| member.name == name)
    }

    /// Returns the number of members, 1..=[`MEMBERS_MAX`](super::MEMBERS_MAX).
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether there is no member, which a valid directory never is.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl fmt::Debug for Directory<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.members()).finish()
    }
}

/// Checks all members, each one and its place after the one before.
///
/// As they have to be sorted, looking at neighbours finds every overlap.
pub(super) fn validate_members(
    header: &Header,
    members: impl Iterator<Item = Result<Member, FormatError>>,
) -> Result<(), FormatError> {
    let mut previous: Option<Member> = None;

    for member in members {
        let member = member?;
        member
            .validate(header)
            .and_then(|()| previous.map_or(Ok(()), |previous| member.validate_after(&previous)))
            .map_err(|reason| Place::Segment(member.name).error(reason))?;
        previous = Some(member);
    }
    Ok(())
}

/// Checks that no two of the valid names are equal.
///
/// Comparing every pair needs no memory: at most 130816 comparisons of eight bytes.
pub(super) fn validate_unique(
    mut names: impl Iterator<Item = [u8; NAME_BYTES]> + Clone,
) -> Result<(), FormatError> {
    let mut first: usize = 0;

    while let Some(name) = names.next() {
        if let Some(between) = names.clone().position(|other| other == name) {
            let second = first.saturating_add(between).saturating_add(1);
            let place = Name::from_field(name).map_or(Place::Member(second), Place::Segment);
            return Err(place.error(Reason::Duplicate { first, second }));
        }
        first = first.saturating_add(1);
    }
    Ok(())
}
