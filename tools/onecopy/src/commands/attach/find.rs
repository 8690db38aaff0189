// SPDX-License-Identifier: GPL-2.0

//! From the names of segments to the segment spaces that a guest gets.
//!
//! Only those are taken into use. What else is in the store is looked at if a name is not that of a segment
//! space, and not even held: whoever saves or purges it does not notice. A segment space of a wanted name that
//! is broken is a failure: the guest does not get another one's member of that name instead.

use std::sync::Arc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use onecopy_format::segment_space::Name;
use onecopy_store::Error;
use onecopy_store::Group;
use onecopy_store::Space;
use onecopy_store::Store;
use onecopy_system::GuestName;
use onecopy_system::Rules;

use crate::remark;
use crate::segments::are_named;
use crate::segments::first_names;
use crate::segments::Attachment;
use crate::segments::Candidate;
use crate::segments::SegmentError;
use crate::segments::Wanted;

/// How long generations may be replaced between our look and our hold.
const TAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The pause before the next look.
const RETRY: Duration = Duration::from_millis(20);

/// What a guest gets, and the segment spaces of that, which are held for it.
#[derive(Debug, Default)]
pub(in crate::commands) struct Attached {
    pub(in crate::commands) attachment: Attachment,
    pub(in crate::commands) spaces: Vec<Arc<Space>>,
}

/// Finds the segments among those in the store that a guest of this trust group may have.
pub(in crate::commands) fn attach(
    wanted: &[Wanted],
    root_segment: Option<Name>,
    guest: Option<&GuestName>,
    group: &Group,
    store: &Store,
) -> anyhow::Result<Attached> {
    if wanted.is_empty() && root_segment.is_none() {
        return Ok(Attached::default());
    }
    let doing = || format!("Cannot attach segments from {}", store.root().display());
    let start = Instant::now();
    loop {
        let seen = look(wanted, root_segment, store).with_context(doing)?;
        let attachment = Attachment::new(&seen, wanted, root_segment, group).with_context(doing)?;
        if let Some(spaces) = hold(&attachment.names, &seen, store).with_context(doing)? {
            for space in &spaces {
                let rules = Rules::of(store, space.name(), space.generation())?;
                rules.admit(space.name(), guest).with_context(doing)?;
            }
            return Ok(Attached { attachment, spaces });
        }
        if start.elapsed() >= TAKE_TIMEOUT {
            let names: Vec<&str> = attachment.names.iter().map(Name::as_str).collect();
            let spaces = names.join(", ");
            return Err(SegmentError::Changing { spaces }).with_context(doing);
        }
        thread::sleep(RETRY);
    }
}

/// Looks at the segment spaces that have what is wanted, and at all others unless their names say that.
fn look(
    wanted: &[Wanted],
    root_segment: Option<Name>,
    store: &Store,
) -> onecopy_store::Result<Vec<Candidate>> {
    let mut likely = first_names(wanted, root_segment);
    likely.sort_unstable();
    likely.dedup();
    let mut seen = Vec::new();
    for &name in &likely {
        seen.extend(candidate(name, store)?);
    }
    if !are_named(&seen, wanted, root_segment) {
        let mut others = store.names()?;
        others.retain(|name| !likely.contains(name));
        seen.extend(others.iter().filter_map(|&name| usable(name, store)));
        seen.sort_unstable_by_key(Candidate::name);
    }
    Ok(seen)
}

/// Looks at the segment space of this name; [`None`] if there is none.
fn candidate(name: Name, store: &Store) -> onecopy_store::Result<Option<Candidate>> {
    match store.current(name) {
        Ok(space) => Ok(Some(Candidate::new(&space, store.group(name)?))),
        Err(Error::NotFound { .. } | Error::NotSaved(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// As [`candidate`], of a segment space that nobody has named: a broken one does not concern a guest that
/// does not use it, and one that does is told that there is no such segment.
fn usable(name: Name, store: &Store) -> Option<Candidate> {
    candidate(name, store).unwrap_or_else(|error| {
        remark::make(&format!("ignored: {:#}", anyhow::Error::from(error)));
        None
    })
}

/// Takes segment spaces into use; [`None`] if one of them is not what was seen any more.
fn hold(
    names: &[Name],
    seen: &[Candidate],
    store: &Store,
) -> onecopy_store::Result<Option<Vec<Arc<Space>>>> {
    let mut held = Vec::new();
    for &name in names {
        let space = store.acquire(name)?;
        // The group stays while the generation does.
        if !seen.contains(&Candidate::new(&space, store.group(name)?)) {
            return Ok(None);
        }
        held.push(Arc::new(space));
    }
    Ok(Some(held))
}
