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
use crate::outcome::SystemList;

pub(in crate::commands) fn run(
    args: &QueryNssArgs,
    systems: &Systems,
    guests: &Guests,
) -> anyhow::Result<SystemList> {
    let mut list = SystemList::default();
    let records = visible(guests)?;
    let names = match args.name {
        Some(name) => vec![name],
        None => systems.names()?,
    };
    for name in names {
        // A skeleton goes after its generation has come: in this order we see one of them.
        let is_defined = add_skeleton(systems, name, &mut list);
        let generations = systems.generations(name)?;
        if generations.is_empty() && !is_defined {
            // The error for a name that was asked for and does not exist says which do.
            systems.acquire(name)?;
        }
        for generation in generations {
            match examine(systems, name, generation, args.verify, &records) {
                Ok(system) => list.systems.push(system),
                Err(error) => list.invalid.push(InvalidSystem {
                    name,
                    generation: Some(generation),
                    error: format!("{error:#}"),
                }),
            }
        }
    }
    Ok(list)
}

/// Adds the skeleton of a name, and says whether there is one.
fn add_skeleton(systems: &Systems, name: Name, list: &mut SystemList) -> bool {
    match systems.definition(name) {
        Ok(None) => return false,
        Ok(Some(definition)) => {
            let skeleton = ListedSkeleton::new(definition, systems.skeleton(name));
            list.skeletons.push(skeleton);
        }
        Err(error) => list.invalid.push(InvalidSystem {
            name,
            generation: None,
            error: format!("{:#}", anyhow::Error::from(error)),
        }),
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
