// SPDX-License-Identifier: GPL-2.0

//! What is known of a segment, attached or not.

use crate::{
    onecopy::segment_space::{
        Member,
        Name,
        SegmentType, //
    },
    segment::{
        Dax,
        Segment, //
    },
    space::Space, //
};

/// What is known of a segment.
pub(crate) enum Known<'a> {
    /// The segment belongs to an attached device.
    Attached(&'a Segment),
    /// The segment could be attached.
    Available(&'a Space, &'a Member),
}

impl Known<'_> {
    /// Returns whether the segment belongs to an attached device.
    pub(crate) fn is_attached(&self) -> bool {
        matches!(self, Self::Attached(_))
    }

    /// Returns the type.
    pub(crate) fn kind(&self) -> SegmentType {
        match self {
            Self::Attached(segment) => segment.plan().kind,
            Self::Available(_, member) => member.kind,
        }
    }

    /// Returns the size in bytes: that of the whole device if it is attached.
    pub(crate) fn size_bytes(&self) -> u64 {
        match self {
            Self::Attached(segment) => segment.plan().size_bytes,
            Self::Available(_, member) => member.size_bytes,
        }
    }

    /// Returns the guest-physical address.
    pub(crate) fn address(&self) -> u64 {
        match self {
            Self::Attached(segment) => segment.address(),
            Self::Available(space, member) => space.range.start().wrapping_add(member.offset_bytes),
        }
    }

    /// Returns how many have opened the device.
    pub(crate) fn users(&self) -> usize {
        match self {
            Self::Attached(segment) => segment.users(),
            Self::Available(..) => 0,
        }
    }

    /// Returns the generation in which the segment was saved last.
    pub(crate) fn generation(&self) -> u64 {
        match self {
            Self::Attached(segment) => segment.plan().generation,
            Self::Available(_, member) => member.generation,
        }
    }

    /// Returns whether DAX works.
    pub(crate) fn dax(&self) -> Dax {
        match self {
            Self::Attached(segment) => segment.dax(),
            Self::Available(..) => Dax::NotAttached,
        }
    }

    /// Returns the name of the segment space.
    pub(crate) fn space_name(&self) -> Name {
        match self {
            Self::Attached(segment) => segment.space().name,
            Self::Available(space, _) => space.name,
        }
    }

    /// Returns the names of all segments of the device, in order of their addresses.
    pub(crate) fn names(&self) -> &[Name] {
        match self {
            Self::Attached(segment) => segment.names(),
            Self::Available(_, member) => core::slice::from_ref(&member.name),
        }
    }
}
