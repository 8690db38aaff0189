// SPDX-License-Identifier: GPL-2.0

//! What can go wrong with a store.

use std::fmt;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use onecopy_directory::failure;
use onecopy_format::segment_space::FormatError;
use onecopy_format::segment_space::Name;

use crate::erofs::LayoutError;
use crate::erofs::MkfsError;
use crate::group::Group;
use crate::group::GroupError;
use crate::kind::Kind;

/// A failure of a store operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or a directory cannot be used.
    #[error(transparent)]
    Directory(#[from] onecopy_directory::Error),
    /// The link to the current generation leads to something else.
    #[error("{} leads to {}, which is no generation; make it the name of one, or save the segment space again", .link.display(), .target.display())]
    Target {
        /// The link.
        link: PathBuf,
        /// Where it leads to.
        target: PathBuf,
    },
    /// A segment space has another trust group.
    #[error("Segment space {name} is of trust group {found}, and not {wanted}: guests of {found} have it; save it under another name")]
    OtherGroup {
        /// The segment space.
        name: Name,
        /// Its group.
        found: Group,
        /// The group that was wanted.
        wanted: Group,
    },
    /// The file of a trust group is damaged.
    #[error("{} does not name a trust group", .path.display())]
    Group {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: GroupError,
    },
    /// There is no segment space of this name.
    #[error("There is no segment space {name} in {}; {}", .root.display(), listed(.existing, "nothing has been saved there"))]
    NotFound {
        /// The name asked for.
        name: Name,
        /// The store.
        root: PathBuf,
        /// The names that exist.
        existing: Vec<Name>,
    },
    /// There is only a skeleton of this name.
    #[error("{0} was defined but not saved: run saveseg")]
    NotSaved(Name),
    /// A file is not a valid segment space.
    #[error("{} is not a valid segment space", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: FormatError,
    },
    /// The members do not make a valid segment space.
    #[error("These members do not make a segment space")]
    Members(#[source] FormatError),
    /// A member has no content.
    #[error("Member {member} is empty: {} has no bytes", .path.display())]
    Empty {
        /// The member.
        member: Name,
        /// Where its content should come from.
        path: PathBuf,
    },
    /// A member has more content than room.
    #[error("Member {member} needs {} MiB, and was defined with {} MiB", .needed_bytes >> 20, .size_bytes >> 20)]
    TooLarge {
        /// The member.
        member: Name,
        /// The size that it was given.
        size_bytes: u64,
        /// The size of its content, rounded up to 2 MiB.
        needed_bytes: u64,
    },
    /// A segment space without members was asked for.
    #[error("A segment space needs at least one member")]
    NoMembers,
    /// mkfs.erofs cannot be used, or failed.
    #[error("Cannot make the image of member {member}")]
    Mkfs {
        /// The member.
        member: Name,
        /// What went wrong.
        source: MkfsError,
    },
    /// The image that mkfs.erofs made cannot be aligned.
    #[error("Cannot align the image of member {member}")]
    Layout {
        /// The member.
        member: Name,
        /// What went wrong.
        source: LayoutError,
    },
    /// Somebody else has been publishing a generation for too long.
    #[error("{} is still locked after {} s", .path.display(), .waited.as_secs())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
}

impl Error {
    /// Returns a closure for `map_err` that says what was being done to which file.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        failure(doing, path)
    }

    /// Returns what kind of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotFound { .. } => Kind::Unknown,
            Self::Directory(error) => error.into(),
            Self::Format { .. } | Self::Target { .. } | Self::Group { .. } => Kind::Damaged,
            Self::Locked { .. } | Self::TooLarge { .. } | Self::OtherGroup { .. } => Kind::State,
            Self::Mkfs { source, .. } if source.is_full() => Kind::Shortage,
            _ => Kind::Failed,
        }
    }
}

/// Returns what there is, for an error that did not find something; `none` if there is nothing.
pub fn listed<T: fmt::Display>(names: &[T], none: &str) -> String {
    if names.is_empty() {
        return none.to_owned();
    }
    let names: Vec<String> = names.iter().map(T::to_string).collect();
    format!("there are: {}", names.join(", "))
}
