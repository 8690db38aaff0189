// SPDX-License-Identifier: GPL-2.0

//! The verbs about saved systems and their guests.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::Subcommand;
use onecopy_format::segment_space::Name;
use onecopy_machine::accel::Choice;
use onecopy_partition::PartitionName;
use onecopy_system::GuestName;

use super::defsys::LayoutArgs;
use super::resources::ResourceArgs;
use super::segment::PurgeSegArgs;

/// Save a kernel as a new generation of a saved system.
///
/// The kernel is booted until it is about to start its first user process; what memory then holds
/// is saved. Guests that are running keep the generation that they have; guests that are started
/// later get the new one. A system that was defined with the verb defsys is saved as it was defined;
/// options that say something else are refused. With --running a guest is saved instead, which must be
/// what was defined.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy savesys LX73 --initrd initrd.img
  onecopy savesys LX73 --kernel bzImage --initrd initrd.img
  onecopy savesys LX73 --kernel vmlinux --memory 1G --append 'init=/bin/sh'
  onecopy savesys WARM --running web")]
pub(crate) struct SavesysArgs {
    /// Name of the saved system: 1 to 8 of A-Z 0-9 _ -
    pub(crate) name: Name,

    #[command(flatten)]
    pub(crate) layout: LayoutArgs,

    /// Initial RAM file system. The kernel has its root file system when it is saved, so without
    /// this there must be another one that all guests can share
    #[arg(long, value_name = "FILE")]
    pub(crate) initrd: Option<PathBuf>,

    /// More of the kernel command line
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) append: Option<String>,

    /// Make text and read-only data ROM for the guests; their kernels refuse who would change it
    #[arg(long)]
    pub(crate) protect: bool,

    /// Save this guest, with its user processes, as soon as it asks for it by writing 1 to
    /// /sys/kernel/shared_kernel/save; it ends
    #[arg(long, value_name = "GUEST",
          conflicts_with_all = ["kernel", "memory", "kernel_memory", "group", "initrd", "append", "protect",
                                "cpu", "accel"])]
    pub(crate) running: Option<GuestName>,

    /// Processor model; the best that the accelerator offers by default
    #[arg(long, value_name = "MODEL")]
    pub(crate) cpu: Option<String>,

    /// Accelerator: auto, kvm or tcg; guests get the same
    #[arg(long, value_name = "ACCEL", default_value = "auto")]
    pub(crate) accel: Choice,

    /// Give up when the kernel is not at its save point, or the running guest has not asked to be
    /// saved, after this many seconds
    #[arg(long, value_name = "SECS", default_value = "60", value_parser = parse_seconds)]
    pub(crate) timeout: Duration,

    /// The emulator
    #[arg(long, value_name = "FILE", env = "ONECOPY_QEMU")]
    pub(crate) qemu: Option<PathBuf>,
}

/// Start a guest from a saved system.
///
/// The command ends as soon as the guest's kernel has its identity: name, random seed, time,
/// machine-id. The guest runs on; see the verbs query guests, console and logoff. With --foreground
/// it is connected to standard input and output instead, as with the verb boot. A restricted system
/// needs --as, with a name that it was defined with.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy ipl LX73
  onecopy ipl LX73 --as web --memory 1G --cpus 2 --segment USR
  onecopy ipl LX73 --nic user --nic tap,ifname=tap0,script=no,mac=52:54:00:12:34:56
  onecopy ipl LX73 --parm 'systemd.unit=rescue.target' --resource role=db --foreground
  onecopy ipl --partition web")]
pub(crate) struct IplArgs {
    /// Name of the saved system
    #[arg(required_unless_present = "partition")]
    pub(crate) name: Option<Name>,

    /// Start the guest in this partition: from its kernel, with its resources; see the verb
    /// partition
    #[arg(long, value_name = "PARTITION", conflicts_with_all = ["name", "ResourceArgs"])]
    pub(crate) partition: Option<PartitionName>,

    /// Name of the guest; by default that of the partition, or that of the system with a number
    #[arg(long = "as", value_name = "GUEST")]
    pub(crate) guest: Option<GuestName>,

    #[command(flatten)]
    pub(crate) resources: ResourceArgs,

    /// Accelerator: auto, kvm or tcg; it must be that of the saved system
    #[arg(long, value_name = "ACCEL", default_value = "auto")]
    pub(crate) accel: Choice,

    /// Give up when the guest does not have its identity after this many seconds
    #[arg(long, value_name = "SECS", default_value = "60", value_parser = parse_seconds)]
    pub(crate) timeout: Duration,

    /// Connect the console to standard input and output, until the guest ends; Ctrl-C ends it
    #[arg(long)]
    pub(crate) foreground: bool,

    /// The emulator
    #[arg(long, value_name = "FILE", env = "ONECOPY_QEMU")]
    pub(crate) qemu: Option<PathBuf>,
}

/// Connect standard input and output to the console of a guest.
///
/// Ctrl-] leaves it. At the end of standard input the console is left as soon as the guest says
/// nothing for a second.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy console web
  echo uptime | onecopy console web")]
pub(crate) struct ConsoleArgs {
    /// Name of the guest
    pub(crate) guest: GuestName,
}

/// End a guest.
///
/// Its power button is pressed, and after some seconds its power is cut.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy logoff web
  onecopy logoff web --now")]
pub(crate) struct LogoffArgs {
    /// Name of the guest
    pub(crate) guest: GuestName,

    /// Cut the power at once
    #[arg(long, conflicts_with = "grace")]
    pub(crate) now: bool,

    /// How many seconds the guest has after its power button was pressed
    #[arg(long, value_name = "SECS", default_value = "5", value_parser = parse_seconds)]
    pub(crate) grace: Duration,
}

/// What can be removed.
#[derive(Debug, Subcommand)]
pub(crate) enum PurgeCommand {
    Nss(PurgeNssArgs),
    Seg(PurgeSegArgs),
}

/// Remove a saved system, and what was defined and not saved yet.
///
/// No new guest gets it. What guests are using stays until the last of them has ended (class P).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy purge nss LX73")]
pub(crate) struct PurgeNssArgs {
    /// Name of the saved system
    pub(crate) name: Name,
}

/// Show saved systems.
///
/// Class S was defined and not saved yet, class A is what new guests get, class R is what those on
/// its list get, and class P stays only until its last guest has ended. Ranges are page numbers in
/// hexadecimal: EW is saved and each guest's own, SR is saved and shared, EN is not saved.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy query nss
  onecopy query nss LX73 --verify
  onecopy query nss --json")]
pub(crate) struct QueryNssArgs {
    /// Only this saved system
    pub(crate) name: Option<Name>,

    /// Compute the digest of every file again; a wrong one makes the exit status 6
    #[arg(long)]
    pub(crate) verify: bool,
}

/// Show the guests that were started from saved systems.
///
/// For each range of memory: what the guest shares with all others, and what exists only because of
/// it. In ranges of type SR the latter should be nothing; pages to which the guest's kernel has
/// written are unshared.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy query guests
  onecopy query guests --json")]
pub(crate) struct QueryGuestsArgs {}

pub(super) fn parse_seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
        _ => Err("1 to 86400 seconds are expected".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_of_seconds() {
        assert_eq!(parse_seconds("60"), Ok(Duration::from_secs(60)));
        for text in ["0", "-1", "1.5", "", "86401"] {
            assert!(parse_seconds(text).is_err(), "{text}");
        }
    }
}
