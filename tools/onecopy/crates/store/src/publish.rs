// SPDX-License-Identifier: GPL-2.0

//! Giving a complete generation its name: the file of a segment space, the directory of a system.

mod leftovers;
#[cfg(test)]
mod tests;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

use onecopy_directory::Directory;
use onecopy_format::segment_space::Member;

pub(crate) use self::leftovers::leftovers;
use self::leftovers::remove_leftovers;
use crate::draft::Draft;
use crate::draft::Scratch;
use crate::error::Error;
use crate::lock::Lock;
use crate::space::changes_in_place;
use crate::Result;

/// Name of the link to the generation that new guests get.
pub const CURRENT: &str = "current";

/// Name of the link from before the generation gets its name until it is current.
const NEXT: &str = ".current";

/// What the name of what is kept beside a generation ends with.
const BESIDE: &str = ".toml";

/// What a generation is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The file of a segment space, such as `1.seg`.
    Segment,
    /// The directory of a saved system, such as `1`.
    System,
}

impl Form {
    fn suffix(self) -> &'static str {
        match self {
            Self::Segment => ".seg",
            Self::System => "",
        }
    }

    /// Returns the name of the directory in the store where all names are.
    pub(crate) fn parent_name(self) -> &'static str {
        match self {
            Self::Segment => "segments",
            Self::System => "systems",
        }
    }

    /// Returns the directory where all names are, in the store at `root`.
    pub fn parent(self, root: &Path) -> PathBuf {
        root.join(self.parent_name())
    }

    /// Returns the name of a generation in its directory.
    pub fn file_name(self, generation: u64) -> String {
        format!("{generation}{}", self.suffix())
    }

    /// Returns the generation that a name stands for.
    pub fn generation_of(self, name: &Path) -> Option<u64> {
        let name = name.to_str()?;
        let generation = name.strip_suffix(self.suffix())?.parse().ok()?;
        // Other spellings of a number, such as 01.seg, are not ours.
        (name == self.file_name(generation)).then_some(generation)
    }

    /// Returns the generations in `directory`, in ascending order.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub(crate) fn generations(self, directory: &Directory) -> Result<Vec<u64>> {
        let names = directory.names()?.into_iter();
        let mut generations: Vec<u64> = names
            .filter_map(|name| self.generation_of(Path::new(&name)))
            .collect();
        generations.sort_unstable();
        Ok(generations)
    }
}

/// The right to publish generations of one name; one process at a time has it.
#[derive(Debug)]
pub struct Publisher {
    directory: Directory,
    form: Form,
    _lock: Lock,
}

impl Publisher {
    /// Waits for the right, and removes what killed processes have left.
    ///
    /// # Errors
    ///
    /// When somebody else keeps the right for a minute, or leftovers cannot be removed.
    pub(crate) fn lock_in(directory: Directory, form: Form) -> Result<Self> {
        let lock = Lock::exclusive_in(&directory)?;
        remove_leftovers(&directory, form)?;
        Ok(Self {
            directory,
            form,
            _lock: lock,
        })
    }

    /// Returns the directory in which we have the right.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Returns the number that the next generation gets.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn next_generation(&self) -> Result<u64> {
        let generations = self.form.generations(&self.directory)?;
        Ok(generations.last().map_or(1, |last| last + 1))
    }

    /// Writes the draft to disk, with what is to be kept beside it, names it and makes it the current
    /// generation.
    pub(crate) fn publish(
        &self,
        draft: &Draft,
        generation: u64,
        members: &[Member],
        attributes: Option<&str>,
    ) -> Result<PathBuf> {
        let name = self.form.file_name(generation);
        let path = self.directory.path(&name);
        let file = draft.file();
        file.set_permissions(Permissions::from_mode(mode(members)))
            .and_then(|()| file.sync_all())
            .map_err(Error::io("write", &path))?;
        self.make_current(generation, || {
            // Nobody sees the generation without.
            if let Some(text) = attributes {
                self.directory.replace(&beside(generation), text)?;
            }
            let linked = draft.link(&self.directory, &name);
            linked.map_err(Error::io("create", &path))
        })
    }

    /// Names a directory, whose files are complete and on disk, and makes it the current
    /// generation.
    ///
    /// # Errors
    ///
    /// When it cannot be named; the generation that was current still is.
    pub fn publish_directory(&self, draft: &Scratch, generation: u64) -> Result<PathBuf> {
        let name = self.form.file_name(generation);
        let path = self.directory.path(&name);
        self.make_current(generation, || {
            let synced = draft.directory().sync();
            synced
                .and_then(|()| self.directory.rename_to_new(draft.name(), &name))
                .map_err(Error::io("create", &path))
        })
    }

    /// Announces the generation, lets `link` give it its name, and replaces `current`.
    fn make_current(&self, generation: u64, link: impl FnOnce() -> Result<()>) -> Result<PathBuf> {
        let directory = &self.directory;
        let name = self.form.file_name(generation);
        directory
            .make_link(&name, NEXT)
            .map_err(Error::io("create", &directory.path(NEXT)))?;
        if let Err(error) = link() {
            // What has the name, if there is something, is not ours to remove.
            let removed = directory.remove_file(NEXT);
            removed.map_err(Error::io("remove", &directory.path(NEXT)))?;
            return Err(error);
        }
        self.sync()?;
        directory
            .rename(NEXT, CURRENT)
            .map_err(Error::io("replace", &directory.path(CURRENT)))?;
        self.sync()?;
        Ok(directory.path(&name))
    }

    /// Writes the directory itself to disk.
    fn sync(&self) -> Result<()> {
        let synced = self.directory.sync();
        synced.map_err(Error::io("write", self.directory.location()))
    }
}

/// Returns the permissions of a generation: only one that guests store to is writable.
fn mode(members: &[Member]) -> u32 {
    if members.iter().any(changes_in_place) {
        0o644
    } else {
        0o444
    }
}

/// Returns the name of what is kept beside a generation of a segment space.
pub(crate) fn beside(generation: u64) -> String {
    format!("{generation}{BESIDE}")
}
