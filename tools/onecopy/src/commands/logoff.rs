// SPDX-License-Identifier: GPL-2.0

//! `onecopy logoff`

use onecopy_machine::Interrupt;
use onecopy_system::Guests;
use onecopy_system::Logoff;
use onecopy_system::Running;

use crate::cli::LogoffArgs;
use crate::outcome::LoggedOff;

pub(super) fn run(args: &LogoffArgs, guests: &Guests) -> anyhow::Result<LoggedOff> {
    let how = if args.now {
        Logoff::Now
    } else {
        Logoff::Grace(args.grace)
    };
    let by_itself = Running::find(guests, &args.guest)?.logoff(how, &Interrupt::default())?;
    Ok(LoggedOff {
        guest: args.guest.to_string(),
        by_itself,
    })
}
