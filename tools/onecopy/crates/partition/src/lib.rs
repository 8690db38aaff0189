// SPDX-License-Identifier: GPL-2.0

//! Partitions of a host: machines that exist also while no guest runs in them.
//!
//! A store has one table, which says for each partition which saved kernel serves it and where its
//! resources are. Any number of kernels serve any number of partitions; another kernel for a
//! partition is another identifier in the table, and nothing else.
//!
//! ```text
//! ROOT/partitions/table.toml            partition -> kernel, previous kernel, file of resources
//!                 resources/WEB.toml    memory, processors, segments, disks ... of one partition
//!                 inventory.toml        what the host gives to all of them, if that is limited
//! ```
//!
//! - [`Table`] and [`Inventory`] are pure: what may change how, and what fits.
//! - [`Resources`] is the form of one file, for people too: complaints name line and column.
//! - [`Partitions`] keeps the files. Each change is one file that is replaced as a whole, under the
//!   lock of the directory; a kill or a full disk leaves the old state or the new one. Files are
//!   opened below the directory without following links.
//!
//! Starting a guest in a partition is what the command does, with the crate `onecopy-system`.

mod error;
mod form;
mod host;
mod inventory;
mod name;
mod partitions;
mod resources;
mod rules;
mod table;

pub use onecopy_store::Kind;

pub use self::error::Error;
pub use self::form::FormError;
pub use self::inventory::Inventory;
pub use self::inventory::Shortage;
pub use self::inventory::Total;
pub use self::name::PartitionName;
pub use self::name::PartitionNameError;
pub use self::partitions::Damaged;
pub use self::partitions::Definition;
pub use self::partitions::Listed;
pub use self::partitions::Origin;
pub use self::partitions::Partition;
pub use self::partitions::Partitions;
pub use self::partitions::Upgrade;
pub use self::resources::Disk;
pub use self::resources::Resources;
pub use self::rules::PARTITION_KEY;
pub use self::table::Entry;
pub use self::table::Table;

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;
