// SPDX-License-Identifier: GPL-2.0

//! What there is to know of a partition: its line, what it has, and the guest that runs in it.

use onecopy_partition::Origin;
use onecopy_partition::Partition;
use onecopy_partition::Partitions;
use onecopy_partition::Total;
use onecopy_system::guests::Record;
use onecopy_system::Running;
use onecopy_system::Systems;

use crate::commands::Places;
use crate::outcome::Given;
use crate::outcome::ListedPartition;
use crate::outcome::NextIpl;
use crate::outcome::ServedGuest;

const MIB: u64 = 1 << 20;

/// Looks at a partition without touching its guest.
pub(super) fn briefly(partition: &Partition, places: &Places) -> anyhow::Result<ListedPartition> {
    let root = places.partitions.root();
    let record = places.guests.serving(partition.name.as_guest(), root)?;
    let mut listed = ListedPartition::new(partition);
    match next(partition, &places.systems) {
        Ok(next) => listed.next = Some(next),
        Err(error) => listed.error = Some(format!("{:#}", anyhow::Error::from(error))),
    }
    if let Some(record) = record {
        listed.state = if record.ready { "running" } else { "starting" };
        let build_id = build_id(&record).unwrap_or_default();
        let next = listed.next.as_ref();
        let next = next.map(|next| (partition.entry.kernel, next.generation));
        listed.guest = Some(ServedGuest::new(&record, build_id, next));
    }
    Ok(listed)
}

/// Looks into the memory of the guest too.
pub(super) fn closely(partition: &Partition, places: &Places) -> anyhow::Result<ListedPartition> {
    let mut listed = briefly(partition, places)?;
    let root = places.partitions.root();
    let record = places.guests.serving(partition.name.as_guest(), root)?;
    if let (Some(guest), Some(record)) = (&mut listed.guest, record) {
        match memory_build_id(&record, places) {
            Ok(found) => guest.memory_build_id = found,
            // It may be ending just now, or be somebody else's.
            Err(error) => guest.error = Some(format!("{:#}", anyhow::Error::from(error))),
        }
    }
    Ok(listed)
}

/// Returns what the host gives, and what partitions have of it.
pub(super) fn given(
    partitions: &Partitions,
    listed: &[Partition],
) -> Result<Given, onecopy_partition::Error> {
    let (inventory, origin) = partitions.inventory()?;
    let taken = Total::of(listed.iter().map(|partition| &partition.resources));
    Ok(Given {
        file: match origin {
            Origin::Host => None,
            Origin::File(path) => Some(path),
        },
        memory_bytes: inventory.memory_mib.saturating_mul(MIB),
        cpus: inventory.cpus,
        segments: inventory
            .segments
            .map(|names| names.iter().map(ToString::to_string).collect()),
        disks: inventory.disks.map(|paths| paths.into_iter().collect()),
        taken_memory_bytes: taken.memory_mib.saturating_mul(MIB),
        taken_cpus: taken.cpus,
    })
}

/// Returns what a guest would be started from now.
fn next(partition: &Partition, systems: &Systems) -> onecopy_system::Result<NextIpl> {
    let generation = systems.acquire(partition.entry.kernel)?;
    let manifest = generation.manifest();
    Ok(NextIpl {
        generation: manifest.generation,
        build_id: manifest.kernel.build_id.clone(),
    })
}

/// Returns the build-id of the kernel that a guest was started from.
fn build_id(record: &Record) -> onecopy_system::Result<Option<String>> {
    let generation = Systems::open(&record.store).generation(record.system, record.generation)?;
    Ok(generation.manifest().kernel.build_id.clone())
}

fn memory_build_id(record: &Record, places: &Places) -> onecopy_system::Result<Option<String>> {
    let generation = Systems::open(&record.store).generation(record.system, record.generation)?;
    Running::find(&places.guests, &record.guest)?.build_id(&generation)
}
