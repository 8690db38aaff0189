// SPDX-License-Identifier: GPL-2.0

//! What can go wrong with the segment spaces of guests.

use std::io;
use std::path::PathBuf;

use onecopy_format::segment_space::Name;
use onecopy_store::Kind;

use crate::error::names;
use crate::guests::GuestName;
use crate::smsg::Refused;

/// What the guest's driver says of a segment that is mounted or open.
const EBUSY: i32 = 16;

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
    #[error("Segment {member} of guest {guest} cannot be copied: {reason}; {}", if *.full {
        "the disk of the store is full"
    } else {
        "can its QEMU write to the store?"
    })]
    NotCopied {
        /// The guest.
        guest: GuestName,
        /// The member.
        member: Name,
        /// QEMU's words.
        reason: String,
        /// Whether the disk has no room for more.
        full: bool,
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
    #[error("Cannot make the copy of {space} in guest {guest} writable{}", if is_denied(.source) {
        ": who attaches it non-shared must be allowed to change the memory of its QEMU, as root or as its user \
         with kernel.yama.ptrace_scope=0"
    } else {
        ""
    })]
    NotWritable {
        /// The guest.
        guest: GuestName,
        /// The segment space.
        space: Name,
        /// Why it cannot.
        source: io::Error,
    },
    /// It is not known where the private copy is.
    #[error("QEMU of guest {guest} has {space} mapped as a private copy {found} times, where it should be {wanted}; start the guest again to attach it")]
    Mapped {
        /// The guest.
        guest: GuestName,
        /// The segment space.
        space: Name,
        /// How often it is mapped.
        found: usize,
        /// How often it should be.
        wanted: usize,
    },
    /// What the guest has is in another store.
    #[error("Guest {guest} was started from the store {}; --root says which is used", .store.display())]
    OtherStore {
        /// The guest.
        guest: GuestName,
        /// Its store.
        store: PathBuf,
    },
    /// The guest does not let go of a segment.
    #[error("Guest {guest} keeps {member}: {refused}")]
    Kept {
        /// The guest.
        guest: GuestName,
        /// The member.
        member: Name,
        /// What it says.
        refused: Refused,
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
            Self::NoPort { .. } | Self::NotCopied { full: true, .. } => Kind::Shortage,
            Self::NotWritable { source, .. } => source.into(),
            Self::Attached { .. }
            | Self::SameMember { .. }
            | Self::Shared { .. }
            | Self::NotNonShared { .. }
            | Self::OtherStore { .. } => Kind::State,
            Self::Kept { refused, .. } if refused.errno == EBUSY => Kind::State,
            Self::Restricted { .. } => Kind::Denied,
            Self::NotAttached { .. }
            | Self::NotCopied { .. }
            | Self::Mapped { .. }
            | Self::Kept { .. } => Kind::Failed,
        }
    }
}

fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
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

#[cfg(test)]
mod tests {
    use super::*;

    fn guest() -> GuestName {
        "web".parse().unwrap()
    }

    fn name() -> Name {
        "USR".parse().unwrap()
    }

    fn not_writable(kind: io::ErrorKind) -> SpaceError {
        SpaceError::NotWritable {
            guest: guest(),
            space: name(),
            source: kind.into(),
        }
    }

    fn not_copied(full: bool) -> SpaceError {
        SpaceError::NotCopied {
            guest: guest(),
            member: name(),
            reason: "no".to_owned(),
            full,
        }
    }

    fn kept(errno: i32) -> SpaceError {
        SpaceError::Kept {
            guest: guest(),
            member: name(),
            refused: Refused {
                errno,
                reason: String::new(),
            },
        }
    }

    #[test]
    fn each_failure_has_a_kind_and_says_what_helps() {
        let other_store = SpaceError::OtherStore {
            guest: guest(),
            store: "/s".into(),
        };
        let mapped = SpaceError::Mapped {
            guest: guest(),
            space: name(),
            found: 2,
            wanted: 1,
        };
        for (error, kind, words) in [
            (
                not_writable(io::ErrorKind::PermissionDenied),
                Kind::Denied,
                "ptrace_scope",
            ),
            (
                not_writable(io::ErrorKind::UnexpectedEof),
                Kind::Failed,
                "writable",
            ),
            (not_copied(true), Kind::Shortage, "store is full"),
            (not_copied(false), Kind::Failed, "can its QEMU write"),
            (other_store, Kind::State, "--root says"),
            (mapped, Kind::Failed, "2 times"),
            (kept(EBUSY), Kind::State, "keeps USR: "),
            (kept(5), Kind::Failed, "keeps USR: "),
        ] {
            let said = error.to_string();
            assert_eq!(error.kind(), kind, "{said}");
            assert!(said.contains(words), "{said}");
        }
        let said = not_writable(io::ErrorKind::UnexpectedEof).to_string();
        assert!(!said.contains("ptrace_scope"), "{said}");
    }
}
