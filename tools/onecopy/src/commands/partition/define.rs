// SPDX-License-Identifier: GPL-2.0

//! `onecopy partition define`

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU32;
use std::num::NonZeroU64;
use std::path::absolute;
use std::path::Path;

use anyhow::bail;
use anyhow::Context;
use onecopy_format::segment_space::Name;
use onecopy_machine::Interrupt;
use onecopy_partition::Definition;
use onecopy_partition::Disk;
use onecopy_partition::Error;
use onecopy_partition::Resources;
use onecopy_system::random_machine_id;
use onecopy_system::MacAddress;
use onecopy_system::NicOptions;
use onecopy_system::Systems;

use super::examine;
use super::guest;
use crate::cli::DefineArgs;
use crate::commands::Places;
use crate::outcome::Action;
use crate::outcome::Changed;

const MIB: u64 = 1 << 20;

pub(super) fn run(args: &DefineArgs, places: &Places) -> anyhow::Result<Changed> {
    let (partitions, name) = (&places.partitions, &args.partition);
    let (kernel, old) = match (args.replace, args.kernel) {
        (false, Some(kernel)) => (kernel, None),
        (_, kernel) => {
            let entry = partitions.entry(name)?;
            // Damaged resources can be replaced too.
            let old = partitions.find(name).ok();
            (kernel.unwrap_or(entry.kernel), old.map(|old| old.resources))
        }
    };
    let mut resources = match &args.from {
        Some(path) => read(path)?,
        None => of_arguments(args, kernel, &places.systems)?,
    };
    complete(&mut resources, old.as_ref())?;
    resources.check().map_err(|reason| Error::Invalid {
        partition: name.clone(),
        reason,
    })?;
    // Nothing has to be undone: a signal may end the process.
    guest::check(
        name,
        kernel,
        &resources,
        None,
        places,
        &Interrupt::default(),
    )?;
    let defined = partitions.define(&Definition {
        name: name.clone(),
        kernel,
        resources,
        replace: args.replace,
    })?;
    Ok(Changed {
        action: if args.replace {
            Action::Replaced
        } else {
            Action::Defined
        },
        changed: true,
        from: None,
        asked_now: false,
        restarted: None,
        partition: examine::briefly(&defined, places)?,
    })
}

fn read(path: &Path) -> anyhow::Result<Resources> {
    let text =
        fs::read_to_string(path).with_context(|| format!("Cannot read {}", path.display()))?;
    Resources::parse(&text).map_err(|source| {
        let path = path.to_owned();
        Error::Damaged { path, source }.into()
    })
}

fn of_arguments(args: &DefineArgs, kernel: Name, systems: &Systems) -> anyhow::Result<Resources> {
    let given = &args.resources;
    let memory_bytes = match given.memory {
        Some(bytes) => bytes,
        None => systems.acquire(kernel)?.manifest().machine.memory_bytes,
    };
    let memory_mib = NonZeroU64::new(memory_bytes / MIB).filter(|_| memory_bytes % MIB == 0);
    let memory_mib = memory_mib.context("The memory of a partition is in whole MiB")?;
    let cpus = NonZeroU32::new(given.cpus).context("A partition has a processor at least")?;
    let mut disks = Vec::new();
    for disk in &given.disks {
        disks.push(Disk {
            file: absolute(&disk.0.path)?,
            readonly: disk.0.read_only,
        });
    }
    let mut other = BTreeMap::new();
    for (key, value) in &given.others {
        if other.insert(key.clone(), value.clone()).is_some() {
            bail!("--resource {key} is given twice");
        }
    }
    Ok(Resources {
        segments: given.segments.iter().map(ToString::to_string).collect(),
        nics: given.nics.iter().map(|nic| nic.text.clone()).collect(),
        hostname: given.hostname.clone(),
        machine_id: given.machine_id.clone(),
        group: given.group.as_ref().map(ToString::to_string),
        parm: given.parm.clone(),
        small_pages: given.small_pages,
        balloon: given.balloon,
        smsg: given.smsg,
        overcommit: args.overcommit,
        disks,
        other,
        ..Resources::new(memory_mib, cpus)
    })
}

/// Gives the partition what tells it from others and stays: as before, or drawn now.
fn complete(resources: &mut Resources, old: Option<&Resources>) -> anyhow::Result<()> {
    if resources.machine_id.is_none() {
        let old = old.and_then(|old| old.machine_id.clone());
        resources.machine_id = Some(old.map_or_else(random_machine_id, Ok)?);
    }
    for (index, text) in resources.nics.iter_mut().enumerate() {
        if text.parse::<NicOptions>()?.mac().is_some() {
            continue;
        }
        let old = old.and_then(|old| old.nics.get(index));
        let old = old.and_then(|old| old.parse::<NicOptions>().ok()?.mac());
        let mac = old.map_or_else(MacAddress::random, Ok)?;
        text.push_str(&format!(",mac={mac}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(nics: &[&str]) -> Resources {
        let (memory_mib, cpus) = (NonZeroU64::MIN, NonZeroU32::MIN);
        Resources {
            nics: nics.iter().map(|nic| (*nic).to_owned()).collect(),
            ..Resources::new(memory_mib, cpus)
        }
    }

    #[test]
    fn what_tells_partitions_apart_is_drawn_once_and_stays() {
        let mut first = resources(&["user", "user,mac=02:00:00:00:00:01"]);
        complete(&mut first, None).unwrap();
        assert!(first.nics[0].starts_with("user,mac=02:"), "{first:?}");
        assert_eq!(first.nics[1], "user,mac=02:00:00:00:00:01");
        assert_eq!(first.check(), Ok(()));

        let mut second = resources(&["user,restrict=on", "user", "user"]);
        complete(&mut second, Some(&first)).unwrap();
        assert_eq!(second.machine_id, first.machine_id);
        let mac = |text: &str| text.parse::<NicOptions>().unwrap().mac();
        assert_eq!(mac(&second.nics[0]), mac(&first.nics[0]));
        assert_eq!(mac(&second.nics[1]), mac(&first.nics[1]));
        assert!(mac(&second.nics[2]).is_some());

        let mut other = resources(&["user"]);
        complete(&mut other, None).unwrap();
        assert_ne!(other.machine_id, first.machine_id);
        assert_ne!(mac(&other.nics[0]), mac(&first.nics[0]));
    }
}
