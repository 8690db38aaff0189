// SPDX-License-Identifier: GPL-2.0

//! `onecopy query guests`

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
    let listed = collector.list(&found.guests)?.into_iter();
    Ok(GuestList {
        guests: listed.map(ListedGuest::new).collect(),
        invalid: found.unknown.into_iter().map(InvalidGuest::new).collect(),
    })
}
