// SPDX-License-Identifier: GPL-2.0

//! `onecopy query guests`

use onecopy_system::guests::Record;
use onecopy_system::Guests;
use onecopy_system::RangeUsage;
use onecopy_system::Running;
use onecopy_system::Systems;

use crate::cli::QueryGuestsArgs;
use crate::outcome::GuestList;
use crate::outcome::ListedGuest;

pub(in crate::commands) fn run(
    args: &QueryGuestsArgs,
    guests: &Guests,
) -> anyhow::Result<GuestList> {
    let records = guests.list()?;
    Ok(GuestList {
        guests: records
            .iter()
            .map(|record| examine(record, guests))
            .collect(),
        json: args.json,
    })
}

/// A guest that does not answer is shown all the same: it may be starting, or ending just now.
fn examine(record: &Record, guests: &Guests) -> ListedGuest {
    match measure(record, guests) {
        Ok((state, usage)) => ListedGuest::new(record, state, usage),
        Err(error) => ListedGuest::silent(record, format!("{error:#}")),
    }
}

fn measure(record: &Record, guests: &Guests) -> anyhow::Result<(String, Vec<RangeUsage>)> {
    let running = Running::find(guests, &record.guest)?;
    let systems = Systems::open(&record.store);
    let generation = systems.generation(record.system, record.generation)?;
    let usage = running.usage_of(&generation.manifest().ranges)?;
    Ok((running.state()?, usage))
}
