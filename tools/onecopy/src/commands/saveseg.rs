// SPDX-License-Identifier: GPL-2.0

//! `onecopy saveseg`

use std::fs;
use std::path::Path;

use anyhow::bail;
use anyhow::Context;
use onecopy_format::segment_space::Name;
use onecopy_store::MemberContent;
use onecopy_store::MemberSource;
use onecopy_store::Ownership;
use onecopy_store::SpaceBuilder;
use onecopy_store::Store;
use onecopy_system::GuestName;
use onecopy_system::Running;
use onecopy_system::SpaceDefinition;
use onecopy_system::SpaceWishes;

use super::attach::check_store;
use super::Places;
use crate::boot;
use crate::cli::SavesegArgs;
use crate::outcome::Saved;
use crate::progress::Line;

pub(super) fn run(args: &SavesegArgs, places: &Places) -> anyhow::Result<Saved> {
    let store = &places.store;
    if let Some(guest) = &args.from_guest {
        return from_guest(args.name, guest, places);
    }
    let defined = SpaceDefinition::take(store, args.name)?;
    let mut builder = SpaceBuilder::new(args.name).group(args.group.clone());
    if args.all_root {
        builder = builder.ownership(Ownership::Root);
    }
    let wishes = wishes(args, defined.as_ref().map(|(definition, _)| definition))?;
    save(builder, wishes.clone().sources(), wishes, defined, store)
}

/// Saves what a guest has written, with the types that there were unless others were defined.
fn from_guest(name: Name, guest: &GuestName, places: &Places) -> anyhow::Result<Saved> {
    let running = Running::find(&places.guests, guest)?;
    check_store(&running, &places.store)?;
    let interrupt = boot::watch_signals()?;
    let copy = running.copy_space(name, &interrupt)?;
    interrupt.check()?;
    let space = copy.space();
    let defined = SpaceDefinition::take(&places.store, space.name())?;
    let wishes = SpaceWishes {
        members: copy.contents().to_vec(),
        kind: None,
    };
    let sources = space.members().iter().map(|member| MemberSource {
        name: member.name,
        kind: member.kind,
        content: match wishes.content_of(member.name) {
            Some(content) => content.clone(),
            None => MemberContent::Nothing {
                size_bytes: member.size_bytes,
            },
        },
    });
    let sources = sources.collect();
    // Meanwhile the segment space may have gone, and one of another group come.
    let builder = SpaceBuilder::new(space.name()).group(Some(running.record().group.clone()));
    save(builder, sources, wishes, defined, &places.store)
}

/// Saves members as they were defined, or as they are.
fn save(
    mut builder: SpaceBuilder,
    undefined: Vec<MemberSource>,
    wishes: SpaceWishes,
    defined: Option<(SpaceDefinition, String)>,
    store: &Store,
) -> anyhow::Result<Saved> {
    let definition = defined.as_ref().map(|(definition, _)| definition);
    let restricted = definition.is_some_and(|definition| definition.restricted);
    let sources = match definition {
        Some(definition) => wishes.sources_of(definition)?,
        None => undefined,
    };
    for source in sources {
        builder = builder.member(source);
    }
    if let Some((definition, text)) = defined {
        builder = as_defined(builder, &definition)?.skeleton(Some(text));
    }
    let mut line = Line::new();
    let space = builder.save(store, &mut |progress| line.show(progress))?;
    Ok(Saved {
        name: space.name(),
        generation: space.generation(),
        members: space.members().len(),
        size_bytes: space.size_bytes(),
        path: space.path().to_owned(),
        restricted,
    })
}

/// Gives a segment space the sizes that were defined, and its guests.
fn as_defined(
    mut builder: SpaceBuilder,
    definition: &SpaceDefinition,
) -> anyhow::Result<SpaceBuilder> {
    for member in &definition.members {
        if let Some(size_bytes) = member.size_bytes {
            builder = builder.size(member.name, size_bytes);
        }
    }
    Ok(builder.attributes(definition.attributes()?))
}

/// Returns what was given. What is given without a name is the only member that there is.
fn wishes(args: &SavesegArgs, definition: Option<&SpaceDefinition>) -> anyhow::Result<SpaceWishes> {
    let only = match definition.map(|definition| definition.members.as_slice()) {
        Some([member]) => member.name,
        _ => args.name,
    };
    let mut members = Vec::new();
    if let Some(directory) = &args.from_dir {
        members.push((only, MemberContent::Directory(directory.clone())));
    } else if let Some(image) = &args.from_image {
        members.push((only, MemberContent::Image(image.clone())));
    }
    for member in &args.members {
        members.push((member.name, content_of(&member.path)?));
    }
    if members.is_empty() && definition.is_none() {
        bail!(
            "Nothing says what {} holds: it was not defined; --from-dir, --from-image or --member does",
            args.name
        );
    }
    Ok(SpaceWishes {
        members,
        kind: args.kind,
    })
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
