// SPDX-License-Identifier: GPL-2.0

//! What can go wrong with the segment spaces of guests.

use std::io;

use onecopy_format::segment_space::Name;
use onecopy_store::Kind;

use crate::error::names;
use crate::guests::GuestName;

/// Why a segment space cannot be given to a guest, or taken from it.
#[derive(Debug, thiserror::Error)]
pub enum SpaceError {
    /// There is nowhere to plug a device.
    #[error("Guest {guest} has no free port for another device; ipl --segment gives it what it needs from the beginning")]
    NoPort {
        /// The guest.
        guest: GuestName,
    },
    /// The guest has the segment space, perhaps another generation of it.
    #[error("Guest {guest} has {space} already, generation {generation}{}", if *.detached {
        ", which it has detached; another one can be attached when it was started again"
    } else { "" })]
    Attached {
        /// The guest.
        guest: GuestName,
        /// The segment space.
        space: Name,
        /// The generation.
        generation: u64,
        /// Whether the guest has let go of it.
        detached: bool,
    },
    /// The guest would take either of two members.
    #[error("Guest {guest} has a segment {member} already, of segment space {space}; it would take either")]
    SameMember {
        /// The guest.
        guest: GuestName,
        /// The member.
        member: Name,
        /// The segment space that it has it from.
        space: Name,
    },
    /// QEMU refuses the device.
    #[error("Segment space {space} cannot be attached to guest {guest}: {reason}")]
    NotAttached {
        /// The guest.
        guest: GuestName,
        /// The segment space.
        space: Name,
        /// QEMU's words.
        reason: String,
    },
    /// The guest has nothing of this name.
    #[error("Guest {guest} has no segment {name}")]
    NoSegment {
        /// The guest.
        guest: GuestName,
        /// The segment space, or a member.
        name: Name,
    },
    /// The guest has nothing of this name.
    #[error("Guest {guest} has no segment {name}; attach --non-shared gives it a copy of its own")]
    NotHad {
        /// The guest.
        guest: GuestName,
        /// The segment space or the member.
        name: Name,
    },
    /// The guest has what all others have.
    #[error("Guest {guest} has {space} shared, and cannot have changed it; attach --non-shared gives a guest a copy of its own")]
    Shared {
        /// The guest.
        guest: GuestName,
        /// The segment space.
        space: Name,
    },
    /// QEMU cannot write what the guest has.
    #[error(
        "Segment {member} of guest {guest} cannot be copied: {reason}; is there room in the store?"
    )]
    NotCopied {
        /// The guest.
        guest: GuestName,
        /// The member.
        member: Name,
        /// QEMU's words.
        reason: String,
    },
    /// The segment space may not be attached non-shared.
    #[error("{space} cannot be attached non-shared: {reason}")]
    NotNonShared {
        /// The segment space.
        space: Name,
        /// Why.
        reason: String,
    },
    /// The directory in a private copy cannot be changed.
    #[error("Cannot make the copy of {space} in guest {guest} writable: who attaches it non-shared must be allowed to change the memory of its QEMU, as root or as its user with kernel.yama.ptrace_scope=0")]
    NotWritable {
        /// The guest.
        guest: GuestName,
        /// The segment space.
        space: Name,
        /// Why it cannot.
        source: io::Error,
    },
    /// The guest may not attach this segment space.
    #[error("{}", kept_out(.space, .guest.as_ref(), .allow))]
    Restricted {
        /// The segment space.
        space: Name,
        /// The guest, if it has a name already.
        guest: Option<GuestName>,
        /// The guests that may.
        allow: Vec<GuestName>,
    },
}

impl SpaceError {
    /// Returns what kind of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoSegment { .. } | Self::NotHad { .. } => Kind::Unknown,
            Self::NoPort { .. } => Kind::Shortage,
            Self::Attached { .. }
            | Self::SameMember { .. }
            | Self::Shared { .. }
            | Self::NotNonShared { .. }
            | Self::NotWritable { .. } => Kind::State,
            Self::Restricted { .. } => Kind::Denied,
            Self::NotAttached { .. } | Self::NotCopied { .. } => Kind::Failed,
        }
    }
}

fn kept_out(space: &Name, guest: Option<&GuestName>, allow: &[GuestName]) -> String {
    let allow = names(allow);
    match guest {
        Some(guest) => {
            format!("Guest {guest} may not attach {space}, which is restricted to: {allow}")
        }
        None => format!("{space} is restricted to: {allow}; the guest needs one of these names"),
    }
}
