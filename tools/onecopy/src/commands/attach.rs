// SPDX-License-Identifier: GPL-2.0

//! The segments of a guest.

use anyhow::Context;
use onecopy_format::segment_space::Name;
use onecopy_store::Store;

use crate::segments::Attachment;
use crate::segments::Candidate;
use crate::segments::Wanted;

/// Finds the segments among those in the store.
pub(super) fn attach(
    wanted: &[Wanted],
    root_segment: Option<Name>,
    store: &Store,
) -> anyhow::Result<Attachment> {
    let mut candidates = Vec::new();
    for name in store.names()? {
        match store.current(name) {
            Ok(space) => candidates.push(Candidate::from(&space)),
            // One broken segment space does not concern a guest that does not use it; one that
            // does is told that there is no such segment.
            Err(error) => eprintln!("onecopy: ignored: {:#}", anyhow::Error::from(error)),
        }
    }
    let root = store.root().display();
    Attachment::new(&candidates, wanted, root_segment)
        .with_context(|| format!("Cannot attach segments from {root}"))
}
