// SPDX-License-Identifier: GPL-2.0

//! The verb that starts guests from a kernel.

use std::path::PathBuf;

use clap::Args;
use onecopy_format::segment_space::Name;
use onecopy_machine::accel::Choice;
use onecopy_store::Group;

use crate::segments::Wanted;
use crate::size;

/// Start a guest in the foreground.
///
/// The guest's serial console is connected to standard input and output. The exit status is 0
/// when the guest switches itself off, and 1 when it resets, panics, runs into the time limit or
/// is interrupted. Ctrl-C ends the guest at once.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy boot --kernel bzImage --initrd initrd.img --memory 1G
  onecopy boot --kernel bzImage --root-segment ROOT --segment TOOLS
  onecopy boot --kernel bzImage --root-segment ROOT --append init=/bin/sh")]
pub(crate) struct BootArgs {
    /// Kernel to boot: a bzImage or an ELF file with a PVH entry
    #[arg(long, value_name = "FILE")]
    pub(crate) kernel: PathBuf,

    /// Initial RAM file system
    #[arg(long, value_name = "FILE")]
    pub(crate) initrd: Option<PathBuf>,

    /// Guest memory, with a unit: K, M, G or T (powers of 1024)
    #[arg(long, value_name = "SIZE", default_value = "512M", value_parser = size::parse)]
    pub(crate) memory: u64,

    /// Virtual processors
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) cpus: u32,

    /// Attach a segment: a segment space with all its members, a member, or contiguous members
    /// as A:B:C. What the guest writes to members of type SW changes the file, what it writes to
    /// those of type EW is gone with the guest
    #[arg(long = "segment", value_name = "NAME")]
    pub(crate) segments: Vec<Wanted>,

    /// Mount this segment as the root file system
    #[arg(long, value_name = "NAME")]
    pub(crate) root_segment: Option<Name>,

    /// Trust group of the guest, which must be that of all segments
    #[arg(long, value_name = "GROUP", default_value_t)]
    pub(crate) group: Group,

    /// Attach a disk: qcow2 if the name ends so, else raw
    #[arg(long = "disk", value_name = "FILE")]
    pub(crate) disks: Vec<PathBuf>,

    /// More of the kernel command line
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) append: Option<String>,

    /// Accelerator: auto, kvm or tcg
    #[arg(long, value_name = "ACCEL", default_value = "auto")]
    pub(crate) accel: Choice,

    /// Name of the guest
    #[arg(long, value_name = "NAME", default_value = "onecopy")]
    pub(crate) name: String,

    /// End the guest after this many seconds
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: Option<u64>,

    /// Keep the console's output in this file as well
    #[arg(long, value_name = "FILE")]
    pub(crate) console_log: Option<PathBuf>,

    /// The emulator
    #[arg(long, value_name = "FILE", env = "ONECOPY_QEMU")]
    pub(crate) qemu: Option<PathBuf>,
}
