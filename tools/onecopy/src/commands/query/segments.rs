// SPDX-License-Identifier: GPL-2.0

//! `onecopy query seg`

use onecopy_format::segment_space::Name;
use onecopy_store::Space;
use onecopy_store::Store;

use crate::cli::QuerySegArgs;
use crate::outcome::InvalidSpace;
use crate::outcome::ListedSpace;
use crate::outcome::Segments;
use crate::progress::Line;

pub(in crate::commands) fn run(args: &QuerySegArgs, store: &Store) -> anyhow::Result<Segments> {
    let mut segments = Segments::default();
    if let Some(name) = args.name {
        // A segment space that was asked for by name and is missing or invalid is an error.
        segments.spaces.push(examine(store, name, args.verify)?);
        return Ok(segments);
    }
    for name in store.names()? {
        match examine(store, name, args.verify) {
            Ok(space) => segments.spaces.push(space),
            Err(error) => {
                segments.invalid.push(InvalidSpace {
                    name,
                    error: format!("{error:#}"),
                });
            }
        }
    }
    Ok(segments)
}

fn examine(store: &Store, name: Name, verify: bool) -> anyhow::Result<ListedSpace> {
    let space = store.current(name)?;
    let generations = store.generations(name)?;
    let checks = if verify { Some(check(&space)?) } else { None };
    Ok(ListedSpace::new(&space, generations, checks.as_deref()))
}

fn check(space: &Space) -> anyhow::Result<Vec<onecopy_store::MemberCheck>> {
    let mut line = Line::new();
    Ok(space.verify(&mut |progress| line.show(progress))?)
}
