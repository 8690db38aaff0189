// SPDX-License-Identifier: GPL-2.0

//! The verbs about partitions.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::Subcommand;
use onecopy_format::segment_space::Name;
use onecopy_partition::PartitionName;

use super::resources::ResourceArgs;
use super::system::parse_seconds;

/// What can be done with partitions.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  onecopy partition define web --kernel LX73 --memory 1G --cpus 2 --segment USR
  onecopy ipl --partition web
  onecopy partition upgrade web --kernel LX74 --now
  onecopy partition rollback web --now
  onecopy partition list")]
pub(crate) enum PartitionCommand {
    Define(Box<DefineArgs>),
    Show(ShowArgs),
    List(ListArgs),
    Upgrade(UpgradeArgs),
    Rollback(RollbackArgs),
    Remove(RemoveArgs),
}

/// Define a partition: a kernel, and what its guest has.
///
/// The resources become a file, which may be edited. A machine-id and MAC addresses that are not
/// given are drawn once: they stay over IPLs and upgrades. What all partitions have together must
/// not be more than the host gives, unless --overcommit says so.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy partition define web --kernel LX73
  onecopy partition define web --kernel LX73 --memory 1G --cpus 2 --segment USR --nic user
  onecopy partition define db --kernel LX73 --disk /srv/db.img --resource role=db --overcommit
  onecopy partition define web --replace --memory 2G
  onecopy partition define web --kernel LX73 --from web.toml --json")]
pub(crate) struct DefineArgs {
    /// Name of the partition: 1 to 64 of a-z A-Z 0-9 . _ -, and the first is a letter or a digit
    pub(crate) partition: PartitionName,

    /// The saved system that serves it
    #[arg(long, value_name = "NAME", required_unless_present = "replace")]
    pub(crate) kernel: Option<Name>,

    /// Give a partition that there is these resources, all of them anew; the kernel, the machine-id
    /// and MAC addresses stay
    #[arg(long)]
    pub(crate) replace: bool,

    /// Take the resources from this file, as it would be in the store
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ResourceArgs", "overcommit"])]
    pub(crate) from: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) resources: ResourceArgs,

    /// Let the partition have more than the host gives
    #[arg(long)]
    pub(crate) overcommit: bool,
}

/// Show a partition, and which kernel serves it.
///
/// Of a guest that runs in it, the build-id of its kernel is read from the guest's memory.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy partition show web
  onecopy partition show web --json")]
pub(crate) struct ShowArgs {
    /// Name of the partition
    pub(crate) partition: PartitionName,
}

/// Show all partitions, and what the host gives to them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy partition list
  onecopy partition list --json")]
pub(crate) struct ListArgs {}

/// Show all partitions, as the verb partition list does.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy query partitions
  onecopy query partitions --json")]
pub(crate) struct QueryPartitionsArgs {}

/// Let another kernel serve a partition.
///
/// Only the identifier of the kernel changes; the resources stay. It takes effect at the next IPL,
/// or with --now at once: the guest is ended and started again. If it cannot be started from the new
/// kernel, the partition has the old one again, and its guest is started from that.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy partition upgrade web --kernel LX74
  onecopy partition upgrade web --kernel LX74 --now --grace 30")]
pub(crate) struct UpgradeArgs {
    /// Name of the partition
    pub(crate) partition: PartitionName,

    /// The saved system that is to serve it
    #[arg(long, value_name = "NAME")]
    pub(crate) kernel: Name,

    #[command(flatten)]
    pub(crate) reipl: ReiplArgs,
}

/// Give a partition back the kernel that it had before its last upgrade.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy partition rollback web
  onecopy partition rollback web --now")]
pub(crate) struct RollbackArgs {
    /// Name of the partition
    pub(crate) partition: PartitionName,

    #[command(flatten)]
    pub(crate) reipl: ReiplArgs,
}

/// How a changed kernel takes effect.
#[derive(Debug, Args)]
pub(crate) struct ReiplArgs {
    /// End the guest that runs in the partition, and start it again from the new kernel
    #[arg(long)]
    pub(crate) now: bool,

    /// How many seconds the guest has after its power button was pressed
    #[arg(long, value_name = "SECS", default_value = "5", requires = "now",
          value_parser = parse_seconds)]
    pub(crate) grace: Duration,

    /// Give up when the new guest does not have its identity after this many seconds
    #[arg(long, value_name = "SECS", default_value = "60", requires = "now",
          value_parser = parse_seconds)]
    pub(crate) timeout: Duration,
}

/// Remove a partition that no guest runs in, with its resources.
///
/// The saved system and the images of disks stay.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy partition remove web")]
pub(crate) struct RemoveArgs {
    /// Name of the partition
    pub(crate) partition: PartitionName,
}
