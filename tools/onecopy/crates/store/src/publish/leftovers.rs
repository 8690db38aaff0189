// SPDX-License-Identifier: GPL-2.0

//! What killed processes have left in the directory of a name.

use std::path::PathBuf;

use onecopy_directory::Directory;

use super::beside;
use super::Form;
use super::BESIDE;
use super::CURRENT;
use super::NEXT;
use crate::draft;
use crate::error::Error;
use crate::group;
use crate::lock::Lock;
use crate::shelf;
use crate::Result;

/// Removes what killed processes have left in `directory`.
///
/// The caller holds the exclusive lock of the directory.
pub(super) fn remove_leftovers(directory: &Directory, form: Form) -> Result<()> {
    draft::remove_stale(directory)?;
    let unpublished = unpublished(directory, form).map_or(Vec::new(), Unpublished::names);
    // The link that tells of a generation goes last.
    for name in unpublished {
        remove(directory, &name)?;
    }
    for name in orphans(directory, form)? {
        remove(directory, &name)?;
    }
    Ok(())
}

fn remove(directory: &Directory, name: &str) -> Result<()> {
    let removed = directory.remove_tree(name);
    removed.map_err(Error::io("remove", &directory.path(name)))?;
    Ok(())
}

/// Returns what killed processes have left in the directory of a name: what the next [`Publisher`](super::Publisher)
/// removes. Nothing is changed.
///
/// # Errors
///
/// When the directory cannot be read or locked.
pub(crate) fn leftovers(directory: &Directory, form: Form) -> Result<Vec<PathBuf>> {
    let _lock = Lock::exclusive_in(directory)?;
    let mut names = draft::stale(directory)?;
    if let Some(unpublished) = unpublished(directory, form) {
        let there = unpublished.names().into_iter();
        names.extend(there.filter(|name| directory.has(name)));
    }
    names.extend(orphans(directory, form)?);
    names.sort_unstable();
    Ok(names.iter().map(|name| directory.path(name)).collect())
}

/// Returns what was to be kept beside generations that are not there, and the group of nothing.
fn orphans(directory: &Directory, form: Form) -> Result<Vec<String>> {
    let mut orphans = Vec::new();
    if form == Form::System {
        return Ok(orphans);
    }
    for name in directory.names()? {
        let Some(name) = name.to_str() else { continue };
        let stem = name.strip_suffix(BESIDE);
        let Some(generation) = stem.and_then(|stem| stem.parse().ok()) else {
            continue;
        };
        if name == beside(generation) && !directory.has(&form.file_name(generation)) {
            orphans.push(name.to_owned());
        }
    }
    if group::is_orphan(directory, form, directory.has(shelf::SKELETON))? {
        orphans.push(group::FILE.to_owned());
    }
    Ok(orphans)
}

/// What a publication that was killed has left: the link that tells of it, and its generation, if
/// that has a name and was never current.
struct Unpublished {
    generation: Option<String>,
}

impl Unpublished {
    fn names(self) -> Vec<String> {
        let link = [NEXT.to_owned()];
        self.generation.into_iter().chain(link).collect()
    }
}

fn unpublished(directory: &Directory, form: Form) -> Option<Unpublished> {
    let target = directory.read_link(NEXT).ok()??;
    let current = directory.read_link(CURRENT).ok().flatten();
    let generation = form.generation_of(&target);
    let left = generation.filter(|_| current.as_ref() != Some(&target));
    Some(Unpublished {
        generation: left.map(|generation| form.file_name(generation)),
    })
}
