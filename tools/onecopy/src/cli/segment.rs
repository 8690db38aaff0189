// SPDX-License-Identifier: GPL-2.0

//! The verbs about segment spaces in the store.

use clap::Args;
use onecopy_format::segment_space::Name;
use onecopy_system::GuestName;

use crate::segments::Wanted;

/// Show segment spaces and their members.
///
/// Class S was defined and not saved yet, class A is what new guests get, class R is what those on
/// its list get, and class P stays only until its last guest has ended.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy query seg
  onecopy query seg USR --verify
  onecopy query seg --users
  onecopy query seg --json")]
pub(crate) struct QuerySegArgs {
    /// Only this segment space
    pub(crate) name: Option<Name>,

    /// Show who uses which generation, and how, instead of the members
    #[arg(long)]
    pub(crate) users: bool,

    /// Compute the digest of every member again; a wrong one makes the exit status 6
    #[arg(long)]
    pub(crate) verify: bool,
}

/// Attach a segment to a guest that runs.
///
/// Its segment space is plugged into the guest. There, the segments are attached by their names, as the
/// output says. It stays mapped until the guest ends. A restricted segment space can be attached only to
/// a guest on its list.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy attach web USR
  onecopy attach web PY:GCC
  onecopy attach test USR --non-shared")]
pub(crate) struct AttachArgs {
    /// Name of the guest
    pub(crate) guest: GuestName,

    /// A segment space with all its members, a member, or contiguous members as A:B:C
    pub(crate) segment: Wanted,

    /// Give the guest a private copy, in which it may write to all members; saveseg --from-guest saves
    /// that. Not for segment spaces that are restricted or have a member of type SC
    #[arg(long)]
    pub(crate) non_shared: bool,
}

/// Remove a segment space, and what was defined and not saved yet.
///
/// No new guest gets it. What guests are using stays until the last of them has ended (class P).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy purge seg USR")]
pub(crate) struct PurgeSegArgs {
    /// Name of the segment space
    pub(crate) name: Name,
}
