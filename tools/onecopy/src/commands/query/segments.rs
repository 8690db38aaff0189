// SPDX-License-Identifier: GPL-2.0

//! `onecopy query seg`

use onecopy_format::segment_space::Name;
use onecopy_store::holders;
use onecopy_store::Space;
use onecopy_store::Store;
use onecopy_system::guests::Record;
use onecopy_system::Guests;
use onecopy_system::Rules;
use onecopy_system::SpaceDefinition;

use super::visible;
use crate::cli::QuerySegArgs;
use crate::outcome::InvalidSpace;
use crate::outcome::ListedSpace;
use crate::outcome::ListedUser;
use crate::outcome::Segments;
use crate::outcome::SpaceSkeleton;
use crate::outcome::View;
use crate::progress::Line;

pub(in crate::commands) fn run(
    args: &QuerySegArgs,
    store: &Store,
    guests: &Guests,
) -> anyhow::Result<Segments> {
    let mut segments = Segments::new(if args.users {
        View::Users
    } else {
        View::Members
    });
    let records = visible(guests)?;
    if let Some(name) = args.name {
        add(args, store, name, &records, &mut segments)?;
        return Ok(segments);
    }
    for name in store.all_names()? {
        // One that cannot be looked at does not hide the others.
        if let Err(error) = add(args, store, name, &records, &mut segments) {
            segments.invalid.push(InvalidSpace::new(name, &error));
        }
    }
    Ok(segments)
}

/// Adds what there is of a name.
fn add(
    args: &QuerySegArgs,
    store: &Store,
    name: Name,
    records: &[Record],
    segments: &mut Segments,
) -> anyhow::Result<()> {
    let shelf = store.shelf(name);
    // What cannot be looked at at all is said once.
    shelf.look()?;
    // A skeleton goes after its generation has come: in this order we see one of them.
    let is_defined = add_skeleton(store, name, segments);
    let generations = shelf.generations()?;
    let current = shelf.current()?;
    let is_missing = generations.is_empty() && !is_defined;
    if args.name.is_some() && (is_missing || current.is_some()) {
        // A segment space that was asked for by name and is missing or invalid is an error.
        store.current(name)?;
    }
    for &generation in &generations {
        let is_current = current == Some(generation);
        match examine(store, name, generation, is_current, args.verify, records) {
            Ok(space) => segments.spaces.push(space.among(&generations)),
            // Its last user has gone just now.
            Err(_) if !shelf.path(generation).exists() => {}
            Err(error) => segments.invalid.push(InvalidSpace::new(name, &error)),
        }
    }
    Ok(())
}

/// Adds the skeleton of a name, and says whether there is one.
fn add_skeleton(store: &Store, name: Name, segments: &mut Segments) -> bool {
    match SpaceDefinition::of(store, name) {
        Ok(None) => return false,
        Ok(Some(definition)) => {
            let path = store.shelf(name).skeleton();
            segments
                .skeletons
                .push(SpaceSkeleton::new(&definition, path));
        }
        Err(error) => segments
            .invalid
            .push(InvalidSpace::new(name, &error.into())),
    }
    true
}

fn examine(
    store: &Store,
    name: Name,
    generation: u64,
    is_current: bool,
    verify: bool,
    records: &[Record],
) -> anyhow::Result<ListedSpace> {
    let space = store.generation(name, generation)?;
    let rules = Rules::of(store, name, generation)?;
    let class = rules.class(is_current);
    let users = users(store, &space, records);
    let checks = if verify { Some(check(&space)?) } else { None };
    Ok(ListedSpace::new(
        &space,
        store.group(name)?,
        &rules,
        class,
        users,
        checks.as_deref(),
    ))
}

/// Returns the guests that have the generation, and the processes that hold it for nobody of them.
fn users(store: &Store, space: &Space, records: &[Record]) -> Vec<ListedUser> {
    let mut users = Vec::new();
    // Where locks are not listed, guests are known all the same.
    let mut others = holders(space.path()).unwrap_or_default();
    for record in records {
        if let Some(attachment) = record.uses(space.name(), space.generation(), store.root()) {
            users.push(ListedUser::guest(&record.guest, attachment));
            let keepers = [Some(record.keeper), record.qemu];
            others.retain(|pid| keepers.iter().flatten().all(|keeper| keeper.pid != *pid));
        }
    }
    users.extend(others.into_iter().map(ListedUser::process));
    users
}

fn check(space: &Space) -> anyhow::Result<Vec<onecopy_store::MemberCheck>> {
    let mut line = Line::new();
    Ok(space.verify(&mut |progress| line.show(progress))?)
}
