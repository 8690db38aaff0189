// SPDX-License-Identifier: GPL-2.0

//! `onecopy smsg`

use std::path::Path;
use std::time::Duration;

use onecopy_system::smsg::Message;
use onecopy_system::smsg::Refused;
use onecopy_system::smsg::Rules;
use onecopy_system::smsg::Sender;
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
    let refused = ask(&running, &sender, text, args.timeout)?;
    Ok(Told::new(guest, &sender, text, refused))
}

/// Tells the driver of segments something in our own name, if the rules in the file at `rules` allow it.
/// Returns why it has refused, if it has.
pub(super) fn tell_driver(
    running: &Running,
    words: &str,
    rules: &Path,
    timeout: Duration,
) -> anyhow::Result<Option<Refused>> {
    let text: Message = format!("DCSS {words}").parse()?;
    let sender = Sender::default();
    Rules::read(rules)?.check(&sender, &running.record().guest, &text, rules)?;
    Ok(ask(running, &sender, &text, timeout)?)
}

fn ask(
    running: &Running,
    sender: &Sender,
    text: &Message,
    timeout: Duration,
) -> onecopy_system::Result<Option<Refused>> {
    match running.smsg(sender, text, timeout) {
        Ok(()) => Ok(None),
        Err(Error::Smsg {
            source: SmsgError::Refused(refused),
            ..
        }) => Ok(Some(refused)),
        Err(error) => Err(error),
    }
}
