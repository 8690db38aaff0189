// SPDX-License-Identifier: GPL-2.0

//! `onecopy defsys`, and what it has in common with `savesys`.

use std::path::PathBuf;

use clap::Args;
use onecopy_format::segment_space::Name;
use onecopy_store::Group;
use onecopy_system::GuestName;
use onecopy_system::Wishes;

use crate::size;

/// Define a saved system: how memory is divided, and which guests may start from it.
///
/// The definition is kept, as class S, until the verb savesys has saved the system, and replaces one
/// that there is. It is shown in z/VM's words: page numbers are hexadecimal; EW is saved and each
/// guest's own, SR is saved and shared, EN is not saved.
#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("division").required(true).multiple(true)
        .args(["kernel", "ranges"]),
    after_help = "\
Examples:
  onecopy defsys LX73 --kernel vmlinux --dry-run
  onecopy defsys LX73 --kernel bzImage --memory 2G --kernel-memory 128M
  onecopy defsys LX73 --kernel bzImage 0-FFF EW 1000-17FF SR 1800-5FFF EW 6000-1FFFF EN
  onecopy defsys LX73 --kernel bzImage --restricted --allow web --allow db"
)]
pub(crate) struct DefsysArgs {
    /// Name of the saved system: 1 to 8 of A-Z 0-9 _ -
    pub(crate) name: Name,

    /// Divide memory so, instead of as the kernel needs it: pages and their types, in whole segments
    /// of 2 MiB from page 0 to the end
    #[arg(value_name = "RANGES", conflicts_with = "kernel_memory")]
    pub(crate) ranges: Vec<String>,

    #[command(flatten)]
    pub(crate) layout: LayoutArgs,

    /// Let only some guests start from the system: class R
    #[arg(long, requires = "allow")]
    pub(crate) restricted: bool,

    /// Let this guest start from the restricted system
    #[arg(long, value_name = "GUEST", requires = "restricted")]
    pub(crate) allow: Vec<GuestName>,

    /// Only show what would be defined
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// The kernel, and how memory is divided for it.
#[derive(Debug, Args)]
pub(crate) struct LayoutArgs {
    /// Kernel with CONFIG_SHARED_KERNEL: a vmlinux, or a bzImage compressed with gzip or zstd
    #[arg(long, value_name = "FILE")]
    pub(crate) kernel: Option<PathBuf>,

    /// Guest memory, with a unit: K, M, G or T (powers of 1024); 512M by default, unless
    /// ranges or a definition say it
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(crate) memory: Option<u64>,

    /// How much of it is the kernel's own, and saved; 96M or an eighth of the memory by default,
    /// whichever is more, but at most 2G
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(crate) kernel_memory: Option<u64>,

    /// Trust group of the system and of all its guests, which share pages with no others; by default that of
    /// the current generation, or else default
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Option<Group>,
}

impl LayoutArgs {
    /// Returns what was typed, for a definition to decide the rest.
    pub(crate) fn wishes(&self) -> Wishes {
        Wishes {
            kernel: self.kernel.clone(),
            memory_bytes: self.memory,
            kernel_bytes: self.kernel_memory,
            group: self.group.clone(),
        }
    }
}
