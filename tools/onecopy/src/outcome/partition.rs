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
use serde::Serialize;

use super::table;
use super::table::write_list;
use crate::size;
use crate::DAMAGED;

/// What was done to a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Serialize)]
pub(crate) struct Changed {
    pub(crate) action: Action,
    pub(crate) changed: bool,
    #[serde(skip)]
    pub(crate) from: Option<Name>,
    #[serde(skip)]
    pub(crate) asked_now: bool,
    /// The guest that was started again.
    pub(crate) restarted: Option<String>,
    pub(crate) partition: ListedPartition,
    #[serde(skip)]
    pub(crate) json: bool,
}

/// A partition in detail.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    pub(crate) partition: ListedPartition,
    #[serde(skip)]
    pub(crate) json: bool,
}

/// A partition that was removed.
#[derive(Debug, Serialize)]
pub(crate) struct Removed {
    #[serde(rename = "removed")]
    pub(crate) partition: PartitionName,
    #[serde(serialize_with = "table::display")]
    pub(crate) kernel: Name,
    #[serde(skip)]
    pub(crate) json: bool,
}

/// Everything that `partition list` has found.
#[derive(Debug, Serialize)]
pub(crate) struct PartitionList {
    pub(crate) partitions: Vec<ListedPartition>,
    pub(crate) invalid: Vec<InvalidPartition>,
    #[serde(rename = "inventory")]
    pub(crate) given: Given,
    #[serde(skip)]
    pub(crate) json: bool,
}

/// A partition that can be used.
#[derive(Debug, Serialize)]
pub(crate) struct ListedPartition {
    name: PartitionName,
    #[serde(serialize_with = "table::display")]
    kernel: Name,
    previous: Option<String>,
    changed_unix_seconds: u64,
    pub(crate) state: &'static str,
    pub(crate) next: Option<NextIpl>,
    pub(crate) error: Option<String>,
    pub(crate) guest: Option<ServedGuest>,
    resources_file: PathBuf,
    resources: ListedResources,
}

/// What the next guest is started from.
#[derive(Debug, Serialize)]
pub(crate) struct NextIpl {
    pub(crate) generation: u64,
    pub(crate) build_id: Option<String>,
}

/// The guest that runs in a partition.
#[derive(Debug, Serialize)]
pub(crate) struct ServedGuest {
    name: String,
    pid: Option<u32>,
    kernel: String,
    generation: u64,
    /// Of the kernel that it was started from.
    build_id: Option<String>,
    /// What its memory has there, if that was looked at.
    pub(crate) memory_build_id: Option<String>,
    /// Whether the next one is started from the same.
    current: bool,
    memory_bytes: u64,
    cpus: u32,
    mac_addresses: Vec<MacAddress>,
    pub(crate) error: Option<String>,
}

/// What a partition has.
#[derive(Debug, Serialize)]
struct ListedResources {
    memory_bytes: u64,
    cpus: u32,
    segments: Vec<String>,
    nics: Vec<String>,
    disks: Vec<Disk>,
    hostname: Option<String>,
    machine_id: Option<String>,
    parm: Option<String>,
    other: BTreeMap<String, String>,
    small_pages: bool,
    balloon: bool,
    smsg: bool,
    overcommit: bool,
}

/// A partition that cannot be used.
#[derive(Debug, Serialize)]
pub(crate) struct InvalidPartition {
    name: PartitionName,
    #[serde(serialize_with = "table::display")]
    kernel: Name,
    error: String,
}

/// What the host gives to partitions, and what they have of it.
#[derive(Debug, Serialize)]
pub(crate) struct Given {
    pub(crate) file: Option<PathBuf>,
    pub(crate) memory_bytes: u64,
    pub(crate) cpus: u32,
    pub(crate) segments: Option<Vec<String>>,
    pub(crate) disks: Option<Vec<PathBuf>>,
    pub(crate) taken_memory_bytes: u64,
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
    /// Returns the exit status.
    pub(super) fn exit_status(&self) -> u8 {
        if self.invalid.is_empty() {
            0
        } else {
            DAMAGED
        }
    }

    pub(super) fn render(&self, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
        write_list(out, self, self.json, &self.rows())?;
        if self.json {
            // Everything is in there.
            return Ok(());
        }
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
