// SPDX-License-Identifier: GPL-2.0

//! `onecopy query guests`

use std::collections::BTreeMap;

use onecopy_observe::Collector;
use onecopy_system::Guests;

use crate::outcome::GuestList;
use crate::outcome::InvalidGuest;
use crate::outcome::ListedGuest;

/// A guest that does not answer is shown all the same: it may be starting, or ending just now.
pub(in crate::commands) fn run(
    mut collector: Collector,
    guests: &Guests,
) -> anyhow::Result<GuestList> {
    let found = guests.examine()?;
    let mut records: BTreeMap<_, _> = found
        .guests
        .into_iter()
        .map(|record| (record.guest.to_string(), record))
        .collect();
    // One that came or went in between is shown next time.
    let listed = collector.guests()?.into_iter().filter_map(|sample| {
        let record = records.remove(&sample.name)?;
        Some(ListedGuest::new(sample, &record))
    });
    Ok(GuestList {
        guests: listed.collect(),
        invalid: found.unknown.into_iter().map(InvalidGuest::new).collect(),
    })
}
