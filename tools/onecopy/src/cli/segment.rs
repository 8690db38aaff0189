// SPDX-License-Identifier: GPL-2.0

//! The verbs about segment spaces in the store.

use clap::Args;
use onecopy_format::segment_space::Name;

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
