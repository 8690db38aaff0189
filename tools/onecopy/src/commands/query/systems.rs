// SPDX-License-Identifier: GPL-2.0

//! `onecopy query nss`

use onecopy_format::segment_space::Name;
use onecopy_system::guests::Record;
use onecopy_system::Guests;
use onecopy_system::Systems;

use super::visible;
use crate::cli::QueryNssArgs;
use crate::outcome::InvalidSystem;
use crate::outcome::ListedSkeleton;
use crate::outcome::ListedSystem;
use crate::outcome::Part;
use crate::outcome::SystemList;

pub(in crate::commands) fn run(
    args: &QueryNssArgs,
    systems: &Systems,
    guests: &Guests,
) -> anyhow::Result<SystemList> {
    let mut list = SystemList::default();
    let records = visible(guests)?;
    if let Some(name) = args.name {
        add(args, systems, name, &records, &mut list)?;
        return Ok(list);
    }
    for name in systems.names()? {
        // One that cannot be looked at does not hide the others.
        if let Err(error) = add(args, systems, name, &records, &mut list) {
            let invalid = InvalidSystem::new(name, Part::Whole, &error);
            list.invalid.push(invalid);
        }
    }
    Ok(list)
}

/// Adds what there is of a name.
fn add(
    args: &QueryNssArgs,
    systems: &Systems,
    name: Name,
    records: &[Record],
    list: &mut SystemList,
) -> anyhow::Result<()> {
    // What cannot be looked at at all is said once.
    systems.generations(name)?;
    // A skeleton goes after its generation has come: in this order we see one of them.
    let is_defined = add_skeleton(systems, name, list);
    let generations = systems.generations(name)?;
    if args.name.is_some() && generations.is_empty() && !is_defined {
        // The error for a name that was asked for and does not exist says which do.
        systems.acquire(name)?;
    }
    for generation in generations {
        match examine(systems, name, generation, args.verify, records) {
            Ok(system) => list.systems.push(system),
            Err(error) => {
                let part = Part::Generation(generation);
                list.invalid.push(InvalidSystem::new(name, part, &error));
            }
        }
    }
    Ok(())
}

/// Adds the skeleton of a name, and says whether there is one.
fn add_skeleton(systems: &Systems, name: Name, list: &mut SystemList) -> bool {
    match systems.definition(name) {
        Ok(None) => return false,
        Ok(Some(definition)) => {
            let skeleton = ListedSkeleton::new(definition, systems.skeleton(name));
            list.skeletons.push(skeleton);
        }
        Err(error) => {
            let invalid = InvalidSystem::new(name, Part::Skeleton, &error.into());
            list.invalid.push(invalid);
        }
    }
    true
}

fn examine(
    systems: &Systems,
    name: Name,
    generation: u64,
    verify: bool,
    records: &[Record],
) -> anyhow::Result<ListedSystem> {
    let opened = systems.generation(name, generation)?;
    let class = systems.class(&opened)?;
    let is_user = |record: &&Record| {
        record.system == name && record.generation == generation && record.store == systems.root()
    };
    let users = records.iter().filter(is_user);
    let users = users.map(|record| record.guest.to_string()).collect();
    let checks = if verify { Some(opened.check()?) } else { None };
    Ok(ListedSystem::new(&opened, class, users, checks.as_deref()))
}
