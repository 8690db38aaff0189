// SPDX-License-Identifier: GPL-2.0

//! `onecopy vmrm`

use std::path::PathBuf;

use clap::Args;
use clap::Subcommand;

/// What the resource manager can do.
#[derive(Debug, Subcommand)]
pub(crate) enum VmrmCommand {
    Run(VmrmRunArgs),
    Simulate(VmrmSimulateArgs),
    Check(VmrmCheckArgs),
}

/// Where the configuration is.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// The configuration; by default /etc/onecopy/vmrm.toml, and without that file all guests
    /// with balloons are managed
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Manage the memory of the guests until a signal says to stop.
///
/// In each round the memory of the host and of its guests is looked at. If the host has too little,
/// guests give some that they can do without (SHRINK), and get it back when it has enough. Each
/// decision is written as one line with what it was made of; with --once they are in a table. SIGHUP reads
/// the configuration again. Guests keep what they were told when this ends.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy vmrm run
  onecopy vmrm run --once --dry-run
  onecopy vmrm run --config vmrm.toml --record trace.jsonl --json")]
pub(crate) struct VmrmRunArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,

    /// End after one round; the exit status is 1 if a guest that is managed or named in the
    /// configuration could not be asked or told
    #[arg(long)]
    pub(crate) once: bool,

    /// Tell no guest anything; they are only asked for statistics
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Record what is seen in each round, for the verb vmrm simulate; a trace that is there goes
    /// on
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
}

/// Show what would have become of a recorded host with another configuration.
///
/// Tables show what would have been decided for the host and for guests, and the last line what that came
/// to.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy vmrm simulate trace.jsonl --config new.toml
  onecopy vmrm simulate trace.jsonl --json | tail -n 1")]
pub(crate) struct VmrmSimulateArgs {
    /// What vmrm run --record has written
    pub(crate) trace: PathBuf,

    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// Check a configuration, and show what it means for the guests that run.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy vmrm check
  onecopy vmrm check --config vmrm.toml --json")]
pub(crate) struct VmrmCheckArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}
