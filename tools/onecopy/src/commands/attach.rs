// SPDX-License-Identifier: GPL-2.0

//! `onecopy attach`

mod find;

use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::bail;
use onecopy_machine::Interrupt;
use onecopy_store::Store;
use onecopy_system::check_non_shared;
use onecopy_system::Rules;
use onecopy_system::Running;
use onecopy_system::SpaceError;

pub(super) use self::find::attach;
pub(super) use self::find::Attached;
use super::smsg;
use super::Places;
use crate::boot;
use crate::cli::AttachArgs;
use crate::outcome::AttachedSegments;
use crate::outcome::RefusedEntry;

/// How long a guest may take to find what was plugged, and to attach it all.
const TELL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long it may take for each segment, however late it is.
const MIN_LEFT: Duration = Duration::from_secs(1);

/// How often it is asked.
const RETRY: Duration = Duration::from_millis(100);

/// What the guest's driver says of a segment that it does not know.
const ENOENT: i32 = 2;

/// What it says of one that it has attached already.
const EEXIST: i32 = 17;

/// Attaches a segment to a guest that runs.
pub(super) fn run(args: &AttachArgs, places: &Places) -> anyhow::Result<AttachedSegments> {
    let running = Running::find(&places.guests, &args.guest)?;
    check_store(&running, &places.store)?;
    let wanted = std::slice::from_ref(&args.segment);
    let group = &running.record().group;
    let Attached { attachment, spaces } =
        attach(wanted, None, Some(&args.guest), group, &places.store)?;
    let mut attached = Vec::new();
    let lock = running.lock_running()?;
    // From here on there is something to clean up.
    let interrupt = boot::watch_signals()?;
    for (space, device) in spaces.iter().zip(&attachment.devices) {
        if args.non_shared {
            let rules = Rules::of(&places.store, space.name(), space.generation())?;
            check_non_shared(space, &rules)?;
        }
        let got = running.attach(&lock, space, device, args.non_shared, &interrupt)?;
        attached.push(got.into());
    }
    let mut outcome = AttachedSegments {
        guest: args.guest.to_string(),
        attached,
        told: Vec::new(),
        entries: attachment.entries,
        refused: Vec::new(),
    };
    if running.takes_messages() {
        tell(&running, &mut outcome, places, &interrupt)?;
    }
    Ok(outcome)
}

/// Tells the guest's driver to attach what it has been given. What it has not attached is left to do in the
/// guest. The time is for all together: others wait for our lock.
fn tell(
    running: &Running,
    outcome: &mut AttachedSegments,
    places: &Places,
    interrupt: &Interrupt,
) -> anyhow::Result<()> {
    let start = Instant::now();
    for entry in std::mem::take(&mut outcome.entries) {
        interrupt.check()?;
        match tell_entry(running, &entry, places, start) {
            Ok(()) => outcome.told.push(entry),
            Err(error) => {
                let reason = format!("{error:#}");
                outcome.entries.push(entry.clone());
                outcome.refused.push(RefusedEntry { entry, reason });
            }
        }
    }
    Ok(())
}

fn tell_entry(
    running: &Running,
    entry: &str,
    places: &Places,
    start: Instant,
) -> anyhow::Result<()> {
    let words = format!("ATTACH {entry}");
    loop {
        let left = TELL_TIMEOUT.saturating_sub(start.elapsed());
        match smsg::tell_driver(running, &words, &places.smsg_rules, left.max(MIN_LEFT))? {
            None => return Ok(()),
            // Somebody in the guest was faster.
            Some(refused) if refused.errno == EEXIST => return Ok(()),
            // The guest finds what is plugged a little later.
            Some(refused) if refused.errno == ENOENT && !left.is_zero() => thread::sleep(RETRY),
            Some(refused) => bail!("{refused}"),
        }
    }
}

/// Makes sure that a guest was started from this store: what it has is looked for there.
pub(super) fn check_store(running: &Running, store: &Store) -> onecopy_system::Result<()> {
    let record = running.record();
    if record.store == store.root() {
        return Ok(());
    }
    Err(SpaceError::OtherStore {
        guest: record.guest.clone(),
        store: record.store.clone(),
    }
    .into())
}
