// SPDX-License-Identifier: GPL-2.0

//! `onecopy saveseg`

use std::fs;
use std::path::Path;

use anyhow::Context;
use onecopy_format::segment_space::Name;
use onecopy_store::MemberContent;
use onecopy_store::MemberSource;
use onecopy_store::Ownership;
use onecopy_store::SpaceBuilder;
use onecopy_store::Store;

use crate::cli::SavesegArgs;
use crate::outcome::Saved;
use crate::progress::Line;

pub(super) fn run(args: &SavesegArgs, store: &Store) -> anyhow::Result<Saved> {
    let mut builder = SpaceBuilder::new(args.name);
    if args.all_root {
        builder = builder.ownership(Ownership::Root);
    }
    for (name, content) in contents(args)? {
        builder = builder.member(MemberSource {
            name,
            kind: args.kind,
            content,
        });
    }
    store.assign_group(args.name, args.group.as_ref())?;
    let mut line = Line::new();
    let space = builder.save(store, &mut |progress| line.show(progress))?;
    Ok(Saved {
        name: space.name(),
        generation: space.generation(),
        members: space.members().len(),
        size_bytes: space.size_bytes(),
        path: space.path().to_owned(),
    })
}

fn contents(args: &SavesegArgs) -> anyhow::Result<Vec<(Name, MemberContent)>> {
    if let Some(directory) = &args.from_dir {
        return Ok(vec![(
            args.name,
            MemberContent::Directory(directory.clone()),
        )]);
    }
    if let Some(image) = &args.from_image {
        return Ok(vec![(args.name, MemberContent::Image(image.clone()))]);
    }
    args.members
        .iter()
        .map(|member| Ok((member.name, content_of(&member.path)?)))
        .collect()
}

/// A directory is made into an image, anything else is one.
fn content_of(path: &Path) -> anyhow::Result<MemberContent> {
    let metadata =
        fs::metadata(path).with_context(|| format!("Cannot examine {}", path.display()))?;
    Ok(if metadata.is_dir() {
        MemberContent::Directory(path.to_owned())
    } else {
        MemberContent::Image(path.to_owned())
    })
}
