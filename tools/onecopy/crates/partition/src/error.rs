// SPDX-License-Identifier: GPL-2.0

//! What can go wrong with partitions.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use onecopy_directory::failure;
use onecopy_format::segment_space::Name;
use onecopy_store::listed;
use onecopy_store::Kind;
use onecopy_system::GuestName;

use crate::form::FormError;
use crate::inventory::Shortage;
use crate::name::PartitionName;

/// A failure of an operation on partitions.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be used, or is held by another process.
    #[error(transparent)]
    Directory(#[from] onecopy_directory::Error),
    /// Guests cannot be listed.
    #[error(transparent)]
    System(#[from] onecopy_system::Error),
    /// A file is damaged.
    #[error("{} cannot be used; correct it there, or bring back an older one", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: FormError,
    },
    /// The table says that there is a file, and there is none.
    #[error("{} is missing: the resources of partition {partition}; bring it back, or define them anew with --replace", .path.display())]
    NoResources {
        /// The partition.
        partition: PartitionName,
        /// The file.
        path: PathBuf,
    },
    /// A value breaks a rule.
    #[error("Partition {partition} cannot be defined so: {reason}")]
    Invalid {
        /// The partition.
        partition: PartitionName,
        /// The field, and what is wrong with it.
        reason: String,
    },
    /// There is no partition of this name.
    #[error("There is no partition {partition}; {}", listed(.existing, "none is defined"))]
    Unknown {
        /// The name asked for.
        partition: PartitionName,
        /// The names that exist.
        existing: Vec<PartitionName>,
    },
    /// There is one already.
    #[error("There is a partition {0} already; --replace gives it other resources, and the verb partition upgrade another kernel")]
    Exists(PartitionName),
    /// Resources are replaced, and the kernel is not.
    #[error("Partition {partition} has kernel {kernel}; --replace does not change that, the verb partition upgrade does")]
    OtherKernel {
        /// The partition.
        partition: PartitionName,
        /// Its kernel.
        kernel: Name,
    },
    /// A guest runs in the partition.
    #[error("Partition {partition} is in use by guest {guest}; log that off first")]
    InUse {
        /// The partition.
        partition: PartitionName,
        /// The guest.
        guest: GuestName,
    },
    /// There was no upgrade that could be undone.
    #[error("Partition {partition} has nothing to be rolled back to: it has had {kernel} since it was defined or rolled back")]
    NothingToRollBack {
        /// The partition.
        partition: PartitionName,
        /// Its kernel.
        kernel: Name,
    },
    /// The partition has gone while a guest was being started in it.
    #[error("Partition {0} was removed meanwhile; its guest was ended")]
    Removed(PartitionName),
    /// The host does not give what the partition is to have.
    #[error("Partition {partition} does not fit")]
    Shortage {
        /// The partition.
        partition: PartitionName,
        /// What is missing.
        source: Shortage,
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
            Self::Directory(error) => error.into(),
            Self::System(error) => error.kind(),
            Self::Unknown { .. } => Kind::Unknown,
            Self::Exists(_)
            | Self::OtherKernel { .. }
            | Self::InUse { .. }
            | Self::NothingToRollBack { .. }
            | Self::Removed(_) => Kind::State,
            Self::Shortage { .. } => Kind::Shortage,
            Self::Invalid { .. } => Kind::Failed,
            Self::Damaged { .. } | Self::NoResources { .. } => Kind::Damaged,
        }
    }
}
