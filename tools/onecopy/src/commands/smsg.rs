// SPDX-License-Identifier: GPL-2.0

//! `onecopy smsg`

use std::path::Path;

use onecopy_system::smsg::Rules;
use onecopy_system::smsg::SmsgError;
use onecopy_system::Error;
use onecopy_system::Guests;
use onecopy_system::Running;

use crate::cli::SmsgArgs;
use crate::outcome::Told;

/// Sends a message, if the rules in the file at `rules` allow it.
pub(super) fn run(args: &SmsgArgs, rules: &Path, guests: &Guests) -> anyhow::Result<Told> {
    let sender = args.from.clone().unwrap_or_default();
    let (guest, text) = (&args.guest, &args.text);
    Rules::read(rules)?.check(&sender, guest, text, rules)?;
    let running = Running::find(guests, guest)?;
    let refused = match running.smsg(&sender, text, args.timeout) {
        Ok(()) => None,
        Err(Error::Smsg {
            source: SmsgError::Refused(refused),
            ..
        }) => Some(refused),
        Err(error) => return Err(error.into()),
    };
    Ok(Told::new(guest, &sender, text, refused))
}
