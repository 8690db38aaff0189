// SPDX-License-Identifier: GPL-2.0

//! `onecopy attach`, and the segments that a guest gets when it is started.

use std::sync::Arc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::bail;
use anyhow::Context;
use onecopy_format::segment_space::Name;
use onecopy_machine::Interrupt;
use onecopy_store::Group;
use onecopy_store::Space;
use onecopy_store::Store;
use onecopy_system::check_non_shared;
use onecopy_system::GuestName;
use onecopy_system::Rules;
use onecopy_system::Running;
use onecopy_system::SpaceError;

use super::smsg;
use super::Places;
use crate::boot;
use crate::cli::AttachArgs;
use crate::outcome::AttachedSegments;
use crate::outcome::RefusedEntry;
use crate::segments::Attachment;
use crate::segments::Candidate;
use crate::segments::Wanted;

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

/// What a guest gets, and the segment spaces of that, which are held for it.
#[derive(Debug, Default)]
pub(super) struct Attached {
    pub(super) attachment: Attachment,
    pub(super) spaces: Vec<Arc<Space>>,
}

/// Finds the segments among those in the store that a guest of this trust group may have.
pub(super) fn attach(
    wanted: &[Wanted],
    root_segment: Option<Name>,
    guest: Option<&GuestName>,
    group: &Group,
    store: &Store,
) -> anyhow::Result<Attached> {
    if wanted.is_empty() && root_segment.is_none() {
        return Ok(Attached::default());
    }
    let mut spaces = Vec::new();
    for name in store.names()? {
        // The group stays while the generation does.
        let known = store
            .acquire(name)
            .and_then(|space| Ok((space, store.group(name)?)));
        match known {
            Ok(known) => spaces.push(known),
            // One broken segment space does not concern a guest that does not use it; one that
            // does is told that there is no such segment.
            Err(error) => eprintln!("onecopy: ignored: {:#}", anyhow::Error::from(error)),
        }
    }
    let candidates: Vec<Candidate> = spaces
        .iter()
        .map(|(space, group)| Candidate::new(space, group.clone()))
        .collect();
    let doing = || format!("Cannot attach segments from {}", store.root().display());
    let attachment =
        Attachment::new(&candidates, wanted, root_segment, group).with_context(doing)?;
    let mut held = Vec::new();
    for &name in &attachment.names {
        if let Some(at) = spaces.iter().position(|(space, _)| space.name() == name) {
            let (space, _) = spaces.swap_remove(at);
            let rules = Rules::of(store, name, space.generation())?;
            rules.admit(name, guest).with_context(doing)?;
            held.push(Arc::new(space));
        }
    }
    Ok(Attached {
        attachment,
        spaces: held,
    })
}
