// SPDX-License-Identifier: GPL-2.0

//! The segments of a guest.

use std::sync::Arc;

use anyhow::Context;
use onecopy_format::segment_space::Name;
use onecopy_store::Space;
use onecopy_store::Store;
use onecopy_system::GuestName;
use onecopy_system::Rules;

use crate::segments::Attachment;
use crate::segments::Candidate;
use crate::segments::Wanted;

/// What a guest gets, and the segment spaces of that, which are held for it.
#[derive(Debug, Default)]
pub(super) struct Attached {
    pub(super) attachment: Attachment,
    pub(super) spaces: Vec<Arc<Space>>,
}

/// Finds the segments among those in the store that a guest may have.
pub(super) fn attach(
    wanted: &[Wanted],
    root_segment: Option<Name>,
    guest: Option<&GuestName>,
    store: &Store,
) -> anyhow::Result<Attached> {
    if wanted.is_empty() && root_segment.is_none() {
        return Ok(Attached::default());
    }
    let mut spaces = Vec::new();
    for name in store.names()? {
        match store.acquire(name) {
            Ok(space) => spaces.push(space),
            // One broken segment space does not concern a guest that does not use it; one that
            // does is told that there is no such segment.
            Err(error) => eprintln!("onecopy: ignored: {:#}", anyhow::Error::from(error)),
        }
    }
    let candidates: Vec<Candidate> = spaces.iter().map(Candidate::from).collect();
    let doing = || format!("Cannot attach segments from {}", store.root().display());
    let attachment = Attachment::new(&candidates, wanted, root_segment).with_context(doing)?;
    let mut held = Vec::new();
    for &name in &attachment.names {
        if let Some(at) = spaces.iter().position(|space| space.name() == name) {
            let space = spaces.swap_remove(at);
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
