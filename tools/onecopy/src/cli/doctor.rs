// SPDX-License-Identifier: GPL-2.0

//! The verb that looks at the host.

use std::path::PathBuf;

use clap::Args;

/// Check this host, and find what a crash has left.
///
/// QEMU, KVM by a trial boot, huge pages, KSM, overcommitment, the file systems of the store and of the
/// run directory, permissions; what each finding means and what to do. Then what belongs to nobody:
/// directories of guests whose keeper was killed, sockets that those have left among the temporary files,
/// QEMUs without a keeper, drafts of killed saves, generations that nobody uses. --clean removes that, and
/// nothing whose owner may live.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: 0 without errors, also when there are warnings; 1 when something does not work, or what a
crash has left could not be examined or removed.

Examples:
  onecopy doctor
  onecopy doctor --clean
  onecopy doctor --json")]
pub(crate) struct DoctorArgs {
    /// Remove what belongs to nobody
    #[arg(long)]
    pub(crate) clean: bool,

    /// The emulator
    #[arg(long, value_name = "FILE", env = "ONECOPY_QEMU")]
    pub(crate) qemu: Option<PathBuf>,
}
