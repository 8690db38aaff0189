// SPDX-License-Identifier: GPL-2.0

//! The guest of a partition: what it is started from and what it gets.

use std::fs;
use std::os::unix::fs::FileTypeExt;

use anyhow::bail;
use anyhow::Context;
use onecopy_format::segment_space::Name;
use onecopy_machine::Disk;
use onecopy_machine::Interrupt;
use onecopy_partition::Error;
use onecopy_partition::Kind;
use onecopy_partition::Partition;
use onecopy_partition::PartitionName;
use onecopy_partition::Partitions;
use onecopy_partition::Resources;
use onecopy_partition::PARTITION_KEY;
use onecopy_system::Error as SystemError;
use onecopy_system::Generation;
use onecopy_system::GuestName;
use onecopy_system::IplOptions;
use onecopy_system::NicOptions;
use onecopy_system::ResourceOptions;

use crate::commands::ipl::attached;
use crate::commands::ipl::group_of;
use crate::commands::ipl::Plan;
use crate::commands::Places;
use crate::segments::Wanted;

/// Returns what is started in a partition.
pub(in crate::commands) fn plan(
    partition: &Partition,
    guest: Option<&GuestName>,
    places: &Places,
) -> anyhow::Result<Plan> {
    let (name, resources) = (&partition.name, &partition.resources);
    Ok(Plan {
        options: options(name, partition.entry.kernel, resources, guest, places)?,
        small_pages: resources.small_pages,
    })
}

/// Makes sure that a guest could be started in a partition now, as far as that can be known before.
pub(in crate::commands) fn check_start(
    name: &PartitionName,
    guest: Option<&GuestName>,
    places: &Places,
    interrupt: &Interrupt,
) -> anyhow::Result<()> {
    let partition = places.partitions.find(name)?;
    let root = places.partitions.root();
    if let Some(record) = places.guests.serving(name.as_guest(), root)? {
        return Err(Error::InUse {
            partition: name.clone(),
            guest: record.guest,
        }
        .into());
    }
    let guest = guest.unwrap_or(name.as_guest());
    match places.guests.find(guest) {
        Ok(_) => return Err(SystemError::GuestExists(guest.clone()).into()),
        Err(SystemError::NoGuest { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    places.partitions.admit(&partition)?;
    check(
        name,
        partition.entry.kernel,
        &partition.resources,
        Some(guest),
        places,
        interrupt,
    )?;
    Ok(())
}

/// Makes sure that a partition was not removed while its guest was being started. From when the
/// guest is known on it cannot be.
pub(in crate::commands) fn check_still_there(
    name: &PartitionName,
    partitions: &Partitions,
) -> anyhow::Result<()> {
    match partitions.entry(name) {
        Err(error) if error.kind() == Kind::Unknown => Err(Error::Removed(name.clone()).into()),
        _ => Ok(()),
    }
}

/// Makes sure that a kernel could serve a partition with these resources, and returns the
/// generation that it would be started from.
pub(super) fn check(
    name: &PartitionName,
    kernel: Name,
    resources: &Resources,
    guest: Option<&GuestName>,
    places: &Places,
    interrupt: &Interrupt,
) -> anyhow::Result<Generation> {
    let options = IplOptions {
        interrupt: interrupt.clone(),
        confinement: places.confinement()?,
        ..options(name, kernel, resources, guest, places)?
    };
    Ok(onecopy_system::check(&options, &places.systems)?)
}

fn options(
    name: &PartitionName,
    kernel: Name,
    resources: &Resources,
    guest: Option<&GuestName>,
    places: &Places,
) -> anyhow::Result<IplOptions> {
    // Both have been checked when the resources were read.
    let wanted: Vec<Wanted> = parse_all(&resources.segments)?;
    let nics: Vec<NicOptions> = parse_all(&resources.nics)?;
    let guest = guest.unwrap_or(name.as_guest());
    let group = resources.group.as_deref().map(str::parse).transpose()?;
    let group = group_of(group.as_ref(), &wanted, kernel, places)?;
    let given = attached(
        resources.parm.as_deref(),
        &wanted,
        Some(guest),
        group.as_ref(),
        places,
    )?;
    let others = resources.other.clone().into_iter();
    let partition = (PARTITION_KEY.to_owned(), name.to_string());
    Ok(IplOptions {
        guest: Some(guest.clone()),
        partition: Some(name.as_guest().clone()),
        group,
        memory_bytes: Some(resources.memory_bytes()),
        cpus: resources.cpus.get(),
        segments: given.segments,
        spaces: given.spaces,
        nics,
        balloon: resources.balloon,
        smsg: resources.smsg,
        disks: disks(resources)?,
        resources: ResourceOptions {
            hostname: resources.hostname.clone(),
            machine_id: resources.machine_id.clone(),
            parm: given.parm,
            others: others.chain([partition]).collect(),
        },
        ..IplOptions::new(kernel)
    })
}

fn parse_all<T>(texts: &[String]) -> anyhow::Result<Vec<T>>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let parsed = texts.iter().map(|text| text.parse());
    Ok(parsed.collect::<Result<_, T::Err>>()?)
}

/// A disk that is missing is noticed before a guest is ended for another kernel.
fn disks(resources: &Resources) -> anyhow::Result<Vec<Disk>> {
    let mut disks = Vec::new();
    for disk in &resources.disks {
        let file = disk.file.display();
        let metadata =
            fs::metadata(&disk.file).with_context(|| format!("Cannot use disk {file}"))?;
        let kind = metadata.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            bail!("Cannot use disk {file}: it is neither a file nor a block device");
        }
        disks.push(Disk {
            path: disk.file.clone(),
            read_only: disk.readonly,
        });
    }
    Ok(disks)
}
