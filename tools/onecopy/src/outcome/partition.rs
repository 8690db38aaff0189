// SPDX-License-Identifier: GPL-2.0

//! Partitions: one that was changed or removed, one in detail, and the list of all.

mod detail;

use std::collections::BTreeMap;
use std::io;
use std::io::Write;
use std::path::PathBuf;

use onecopy_format::segment_space::Name;
use onecopy_partition::Damaged;
use onecopy_partition::Disk;
use onecopy_partition::Partition;
use onecopy_partition::PartitionName;
use onecopy_partition::Resources;
use onecopy_system::guests::Record;
use onecopy_system::MacAddress;
use schemars::JsonSchema;
use serde::Serialize;

use super::table;
use super::table::write_table;
use crate::size;

/// What was done to a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Action {
    /// It was defined.
    Defined,
    /// It has other resources.
    Replaced,
    /// It has another kernel, unless it had that already.
    Upgraded,
    /// It has its previous kernel.
    RolledBack,
}

/// A partition that was changed.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Changed {
    /// What was done.
    pub(crate) action: Action,
    /// Whether anything is different now.
    pub(crate) changed: bool,
    #[serde(skip)]
    pub(crate) from: Option<Name>,
    #[serde(skip)]
    pub(crate) asked_now: bool,
    /// The guest that was started again.
    pub(crate) restarted: Option<String>,
    /// The partition as it is now.
    pub(crate) partition: ListedPartition,
}

/// A partition in detail.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Shown {
    /// The partition.
    pub(crate) partition: ListedPartition,
}

/// A partition that was removed.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Removed {
    /// Name of the partition that was removed.
    #[serde(rename = "removed")]
    pub(crate) partition: PartitionName,
    /// The kernel that served it.
    #[serde(serialize_with = "table::display")]
    #[schemars(with = "String")]
    pub(crate) kernel: Name,
}

/// Everything that `partition list` has found.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PartitionList {
    /// Partitions that can be used.
    pub(crate) partitions: Vec<ListedPartition>,
    /// Those that cannot.
    pub(crate) invalid: Vec<InvalidPartition>,
    /// What the host gives, and what is taken of it.
    #[serde(rename = "inventory")]
    pub(crate) given: Given,
}

/// A partition that can be used.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ListedPartition {
    /// Name of the partition.
    name: PartitionName,
    /// The saved system that serves it.
    #[serde(serialize_with = "table::display")]
    #[schemars(with = "String")]
    kernel: Name,
    /// The one before its last upgrade, for a rollback.
    previous: Option<String>,
    /// When its kernel was set, in seconds since 1970.
    changed_unix_seconds: u64,
    /// `stopped`, `starting` or `running`.
    pub(crate) state: &'static str,
    /// What the next guest is started from; nothing if that cannot be.
    pub(crate) next: Option<NextIpl>,
    /// Why there is nothing to start from.
    pub(crate) error: Option<String>,
    /// The guest that runs in it.
    pub(crate) guest: Option<ServedGuest>,
    /// The file of its resources.
    resources_file: PathBuf,
    /// What its guest has.
    resources: ListedResources,
}

/// What the next guest is started from.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct NextIpl {
    /// The generation of the saved system.
    pub(crate) generation: u64,
    /// What identifies the build of its kernel.
    pub(crate) build_id: Option<String>,
}

/// The guest that runs in a partition.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ServedGuest {
    /// Name of the guest.
    name: String,
    /// The process of its QEMU.
    pid: Option<u32>,
    /// The saved system that it was started from.
    kernel: String,
    /// The generation of that.
    generation: u64,
    /// Of the kernel that it was started from.
    build_id: Option<String>,
    /// What its memory has there, if that was looked at.
    pub(crate) memory_build_id: Option<String>,
    /// Whether the next one is started from the same.
    current: bool,
    /// Its memory.
    memory_bytes: u64,
    /// Its processors.
    cpus: u32,
    /// The addresses of its network cards.
    mac_addresses: Vec<MacAddress>,
    /// Why its memory could not be looked at.
    pub(crate) error: Option<String>,
}

/// What a partition has.
#[derive(Debug, Serialize, JsonSchema)]
struct ListedResources {
    /// Memory.
    memory_bytes: u64,
    /// Processors.
    cpus: u32,
    /// Segments that are attached, as they were typed.
    segments: Vec<String>,
    /// Network cards, as they were typed.
    nics: Vec<String>,
    /// Disks.
    disks: Vec<Disk>,
    /// Host name, if it is not the name of the guest.
    hostname: Option<String>,
    /// The machine-id.
    machine_id: Option<String>,
    /// The trust group that its kernel must have, if one is asked for.
    group: Option<String>,
    /// What is added to the command line, or replaces it.
    parm: Option<String>,
    /// What the guest is told.
    other: BTreeMap<String, String>,
    /// Whether the host's huge pages are not used.
    small_pages: bool,
    /// Whether the guest has a balloon.
    balloon: bool,
    /// Whether it takes messages.
    smsg: bool,
    /// Whether it may have more than the host gives.
    overcommit: bool,
}

/// A partition that cannot be used.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct InvalidPartition {
    /// Name of the partition.
    name: PartitionName,
    /// The saved system that serves it.
    #[serde(serialize_with = "table::display")]
    #[schemars(with = "String")]
    kernel: Name,
    /// Why it cannot be used.
    error: String,
}

/// What the host gives to partitions, and what they have of it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Given {
    /// The file that says it; nothing if all that the host has is given.
    pub(crate) file: Option<PathBuf>,
    /// Memory that there is for partitions.
    pub(crate) memory_bytes: u64,
    /// Processors that there are for partitions.
    pub(crate) cpus: u32,
    /// Segments that partitions may attach; nothing if all.
    pub(crate) segments: Option<Vec<String>>,
    /// Disks that partitions may have; nothing if all.
    pub(crate) disks: Option<Vec<PathBuf>>,
    /// Memory that partitions have.
    pub(crate) taken_memory_bytes: u64,
    /// Processors that partitions have.
    pub(crate) taken_cpus: u64,
}

impl ListedPartition {
    /// A partition of which no guest is known yet.
    pub(crate) fn new(partition: &Partition) -> Self {
        let entry = &partition.entry;
        Self {
            name: partition.name.clone(),
            kernel: entry.kernel,
            previous: entry.previous.map(|previous| previous.to_string()),
            changed_unix_seconds: entry.changed_unix_seconds,
            state: "stopped",
            next: None,
            error: None,
            guest: None,
            resources_file: partition.path.clone(),
            resources: ListedResources::new(&partition.resources),
        }
    }

    fn row(&self) -> Vec<String> {
        let guest = self.guest.as_ref();
        let system = |guest: &ServedGuest| format!("{} {}", guest.kernel, guest.generation);
        let of_guest = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        vec![
            self.name.to_string(),
            self.kernel.to_string(),
            of_guest(self.previous.clone()),
            self.state.to_owned(),
            of_guest(guest.map(|guest| guest.name.clone())),
            of_guest(guest.map(system)),
            size::show(self.resources.memory_bytes),
            self.resources.cpus.to_string(),
        ]
    }
}

impl ServedGuest {
    /// A guest whose kernel has this build-id. `next` is what the next one is started from.
    pub(crate) fn new(
        record: &Record,
        build_id: Option<String>,
        next: Option<(Name, u64)>,
    ) -> Self {
        Self {
            name: record.guest.to_string(),
            pid: record.qemu.map(|qemu| qemu.pid),
            kernel: record.system.to_string(),
            generation: record.generation,
            build_id,
            memory_build_id: None,
            current: next == Some((record.system, record.generation)),
            memory_bytes: record.memory_bytes,
            cpus: record.cpus,
            mac_addresses: record.mac_addresses.clone(),
            error: None,
        }
    }
}

impl ListedResources {
    fn new(resources: &Resources) -> Self {
        let Resources {
            segments,
            nics,
            disks,
            hostname,
            machine_id,
            group,
            parm,
            other,
            ..
        } = resources.clone();
        Self {
            memory_bytes: resources.memory_bytes(),
            cpus: resources.cpus.get(),
            segments,
            nics,
            disks,
            hostname,
            machine_id,
            group,
            parm,
            other,
            small_pages: resources.small_pages,
            balloon: resources.balloon,
            smsg: resources.smsg,
            overcommit: resources.overcommit,
        }
    }
}

impl From<Damaged> for InvalidPartition {
    fn from(damaged: Damaged) -> Self {
        Self {
            name: damaged.name,
            kernel: damaged.entry.kernel,
            error: format!("{:#}", anyhow::Error::from(damaged.error)),
        }
    }
}

impl PartitionList {
    /// Whether nothing is invalid.
    pub(super) fn is_sound(&self) -> bool {
        self.invalid.is_empty()
    }

    pub(super) fn render(&self, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
        write_table(out, &self.rows())?;
        let given = &self.given;
        writeln!(
            out,
            "Partitions have {} of {} and {} of {} processors{}",
            size::show(given.taken_memory_bytes),
            size::show(given.memory_bytes),
            given.taken_cpus,
            given.cpus,
            match &given.file {
                Some(file) => format!(" that {} gives", file.display()),
                None => " that the host gives".to_owned(),
            }
        )?;
        for partition in &self.partitions {
            if let Some(error) = &partition.error {
                writeln!(err, "onecopy: {}: {error}", partition.name)?;
            }
        }
        for invalid in &self.invalid {
            writeln!(err, "onecopy: {}: {}", invalid.name, invalid.error)?;
        }
        Ok(())
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let title = [
            "PARTITION",
            "KERNEL",
            "PREVIOUS",
            "STATE",
            "GUEST",
            "RUNS",
            "MEMORY",
            "CPUS",
        ];
        let title = title.map(str::to_owned).to_vec();
        let rows = self.partitions.iter().map(ListedPartition::row);
        [title].into_iter().chain(rows).collect()
    }
}
