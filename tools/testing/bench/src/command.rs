// SPDX-License-Identifier: GPL-2.0

//! The command line.

use std::path::PathBuf;

use clap::Args;
use clap::Parser;
use clap::Subcommand;
use onecopy_machine::accel::Choice;

/// Shows and measures what sharing programs among guests saves.
#[derive(Debug, Parser)]
#[command(name = "onecopy-bench", version)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where "make baremetal" puts the guest.
const BAREMETAL: &str = "build/baremetal/release/onecopy-baremetal";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Starts four guests of a saved system on one segment, boots four on it and four on a disk, and
    /// compares them.
    Demo,
    /// Checks with a guest without an operating system what balloon drivers rely on in the device.
    BalloonContract {
        /// The guest without an operating system.
        #[arg(long, value_name = "FILE", default_value = BAREMETAL)]
        baremetal: PathBuf,
    },
    /// Measures the balloon driver and writes build/bench/cmm.json.
    Cmm {
        /// Fail if a figure misses its bar.
        #[arg(long)]
        check: bool,
        /// The guest without an operating system.
        #[arg(long, value_name = "FILE", default_value = BAREMETAL)]
        baremetal: PathBuf,
    },
    /// Measures guests that are started from a saved system and writes build/bench/ipl.json.
    Ipl(Ipl),
    /// Measures the resource manager and writes build/bench/vmrm.json.
    Vmrm {
        /// Fail if a figure misses its bar.
        #[arg(long)]
        check: bool,
        /// Squeeze guests in an inner host, even where a group can be limited here.
        #[arg(long)]
        inner: bool,
    },
    /// Squeezes guests, as the inner host of the command vmrm.
    #[command(hide = true)]
    Squeeze,
    /// Measures the segment driver and writes build/bench/dcss.json.
    Dcss {
        /// Fail if a figure misses its bar.
        #[arg(long)]
        check: bool,
    },
}

/// What to measure of guests that are started from a saved system.
#[derive(Debug, Args)]
pub(crate) struct Ipl {
    /// Fail if a figure misses its bar; starts may miss theirs once.
    #[arg(long)]
    pub(crate) check: bool,
    /// How long a guest that was used does nothing at least before its pages are counted. With less
    /// than the default the name of the figure says how long it was.
    #[arg(long, value_name = "SECONDS", default_value_t = LONG_IDLE_SECONDS)]
    pub(crate) idle: u64,
    /// How often sixteen guests are measured; 0 leaves them out.
    #[arg(long, value_name = "ROUNDS", default_value_t = 5)]
    pub(crate) sixteen: usize,
}

/// After this time without work a kernel has done all that it does only then.
pub(crate) const LONG_IDLE_SECONDS: u64 = 600;

/// What all commands need.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The directory of everything that is built.
    #[arg(long, global = true, value_name = "DIR", default_value = "build")]
    pub(crate) build: PathBuf,
    /// Where the guests' kernel was built [default: BUILD/kernel].
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) kernel: Option<PathBuf>,
    /// The guests' root file system [default: BUILD/root/debian].
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// What executes the guests' code: auto, kvm or tcg. Instructions are always counted by tcg.
    #[arg(long, global = true, default_value = "auto")]
    pub(crate) accel: Choice,
}
