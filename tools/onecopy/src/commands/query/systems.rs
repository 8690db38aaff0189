// SPDX-License-Identifier: GPL-2.0

//! `onecopy query nss`

use onecopy_format::segment_space::Name;
use onecopy_system::guests::Record;
use onecopy_system::Guests;
use onecopy_system::Systems;

use crate::cli::QueryNssArgs;
use crate::outcome::InvalidSystem;
use crate::outcome::ListedSystem;
use crate::outcome::SystemList;

pub(in crate::commands) fn run(
    args: &QueryNssArgs,
    systems: &Systems,
    guests: &Guests,
) -> anyhow::Result<SystemList> {
    let mut list = SystemList::new(args.json);
    let records = guests.list()?;
    let names = match args.name {
        Some(name) => vec![name],
        None => systems.names()?,
    };
    for name in names {
        let generations = systems.generations(name)?;
        if generations.is_empty() {
            // The error for a name that was asked for and does not exist says which do.
            systems.acquire(name)?;
        }
        for generation in generations {
            match examine(systems, name, generation, args.verify, &records) {
                Ok(system) => list.systems.push(system),
                Err(error) => list.invalid.push(InvalidSystem {
                    name,
                    generation,
                    error: format!("{error:#}"),
                }),
            }
        }
    }
    Ok(list)
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
