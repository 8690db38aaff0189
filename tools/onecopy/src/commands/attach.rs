// SPDX-License-Identifier: GPL-2.0

//! `onecopy attach`, and the segments that a guest gets when it is started.

use std::sync::Arc;

use anyhow::bail;
use anyhow::Context;
use onecopy_format::segment_space::Name;
use onecopy_store::Group;
use onecopy_store::Space;
use onecopy_store::Store;
use onecopy_system::check_non_shared;
use onecopy_system::GuestName;
use onecopy_system::Rules;
use onecopy_system::Running;

use super::Places;
use crate::cli::AttachArgs;
use crate::outcome::AttachedSegments;
use crate::segments::Attachment;
use crate::segments::Candidate;
use crate::segments::Wanted;

/// Attaches a segment to a guest that runs.
pub(super) fn run(args: &AttachArgs, places: &Places) -> anyhow::Result<AttachedSegments> {
    let running = Running::find(&places.guests, &args.guest)?;
    check_store(&running, &places.store)?;
    let wanted = std::slice::from_ref(&args.segment);
    let group = &running.record().group;
    let Attached { attachment, spaces } =
        attach(wanted, None, Some(&args.guest), group, &places.store)?;
    let mut attached = Vec::new();
    for (space, device) in spaces.iter().zip(&attachment.devices) {
        if args.non_shared {
            let rules = Rules::of(&places.store, space.name(), space.generation())?;
            check_non_shared(space, &rules)?;
        }
        attached.push(running.attach(space, device, args.non_shared)?.into());
    }
    Ok(AttachedSegments {
        guest: args.guest.to_string(),
        attached,
        entries: attachment.entries,
    })
}

/// Makes sure that a guest was started from this store: what it has is looked for there.
pub(super) fn check_store(running: &Running, store: &Store) -> anyhow::Result<()> {
    let record = running.record();
    if record.store != store.root() {
        bail!(
            "Guest {} was started from the store {}; --root says which is used",
            record.guest,
            record.store.display()
        );
    }
    Ok(())
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
        let known = store
            .group(name)
            .and_then(|group| Ok((store.acquire(name)?, group)));
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
