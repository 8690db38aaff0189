// SPDX-License-Identifier: GPL-2.0

//! The segments of a guest.

use anyhow::Context;
use onecopy_format::segment_space::Name;
use onecopy_store::Group;
use onecopy_store::Store;

use crate::segments::Attachment;
use crate::segments::Candidate;
use crate::segments::Wanted;

/// Finds the segments of a guest of this trust group among those in the store.
pub(super) fn attach(
    wanted: &[Wanted],
    root_segment: Option<Name>,
    group: &Group,
    store: &Store,
) -> anyhow::Result<Attachment> {
    let mut candidates = Vec::new();
    for name in store.names()? {
        match store
            .group(name)
            .and_then(|group| Ok((store.current(name)?, group)))
        {
            Ok((space, group)) => candidates.push(Candidate::new(&space, group)),
            // One broken segment space does not concern a guest that does not use it; one that
            // does is told that there is no such segment.
            Err(error) => eprintln!("onecopy: ignored: {:#}", anyhow::Error::from(error)),
        }
    }
    let root = store.root().display();
    Attachment::new(&candidates, wanted, root_segment, group)
        .with_context(|| format!("Cannot attach segments from {root}"))
}
