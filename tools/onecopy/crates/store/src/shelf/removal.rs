// SPDX-License-Identifier: GPL-2.0

//! Removing generations that nobody uses, and skeletons.

use std::fs;
use std::io;
use std::path::Path;

use super::hold::seize;
use super::Shelf;
use crate::error::Error;
use crate::lock::Lock;
use crate::publish::remove_if_there;
use crate::publish::Form;
use crate::publish::CURRENT;
use crate::Result;

/// Hidden names of generations that are being removed: what a killed process leaves of one is
/// removed as a draft is.
const HIDDEN: &str = ".draft-removed-";

/// What a purge has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Purged {
    /// Generations that are gone.
    pub removed: Vec<u64>,
    /// Generations that stay until their last guest has ended.
    pub pending: Vec<u64>,
    /// Whether a skeleton is gone.
    pub skeleton: bool,
}

impl Shelf {
    /// Purges the name: no new guest gets it, its skeleton is removed, and so are its generations as
    /// soon as nobody uses them. [`None`] if there is nothing.
    ///
    /// # Errors
    ///
    /// When a file cannot be removed.
    pub fn purge(&self) -> Result<Option<Purged>> {
        if !self.is_defined() && self.generations()?.is_empty() {
            return Ok(None);
        }
        let _right = self.lock()?;
        let current = self.directory.join(CURRENT);
        remove_if_there(&current).map_err(Error::io("remove", &current))?;
        let skeleton = self.remove_skeleton();
        Ok(Some(Purged {
            skeleton: skeleton.map_err(Error::io("remove the skeleton in", &self.directory))?,
            ..self.remove_unused_locked()?
        }))
    }

    /// Removes the generations that new guests do not get and nobody uses, and what killed processes
    /// have left.
    ///
    /// # Errors
    ///
    /// When a file cannot be removed.
    pub fn remove_unused(&self) -> Result<Purged> {
        if !self.directory.exists() {
            return Ok(Purged::default());
        }
        let _right = self.lock()?;
        self.remove_unused_locked()
    }

    /// Removes a generation that we have used, and all others as [`Self::remove_unused`] does, unless new
    /// guests get it: then there is nothing to do.
    ///
    /// # Errors
    ///
    /// When a file cannot be removed.
    pub fn leave(&self, generation: u64) -> Result<()> {
        if self.current()? != Some(generation) {
            self.remove_unused()?;
        }
        Ok(())
    }

    /// Returns the generations that [`Self::remove_unused`] would remove. Nothing is changed.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read or locked.
    pub fn unused(&self) -> Result<Vec<u64>> {
        if !self.directory.exists() {
            return Ok(Vec::new());
        }
        // Nobody publishes meanwhile: a generation has its name before it is current.
        let _lock = Lock::exclusive(&self.directory)?;
        let current = self.current()?;
        let mut unused = Vec::new();
        for generation in self.generations()? {
            let path = self.path(generation);
            if current != Some(generation)
                && seize(&path).map_err(Error::io("lock", &path))?.is_some()
            {
                unused.push(generation);
            }
        }
        Ok(unused)
    }

    /// The caller has the lock of the name.
    fn remove_unused_locked(&self) -> Result<Purged> {
        let mut purged = Purged::default();
        let current = self.current()?;
        for generation in self.generations()? {
            if current == Some(generation) {
                continue;
            }
            let path = self.path(generation);
            let hidden = self.directory.join(format!("{HIDDEN}{generation}"));
            let removed = self
                .remove(generation, &path, &hidden)
                .map_err(Error::io("remove", &path))?;
            if removed {
                purged.removed.push(generation);
            } else {
                purged.pending.push(generation);
            }
        }
        self.forget_group()?;
        Ok(purged)
    }

    /// Removes a generation unless somebody uses it, and says whether it is gone.
    fn remove(&self, generation: u64, path: &Path, hidden: &Path) -> io::Result<bool> {
        let Some(_lock) = seize(path)? else {
            return Ok(false);
        };
        match self.form {
            Form::Segment => {
                fs::remove_file(path)?;
                remove_if_there(&self.attributes_path(generation))?;
            }
            Form::System => {
                // It disappears as a whole.
                fs::rename(path, hidden)?;
                fs::remove_dir_all(hidden)?;
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::shelf::hold;

    fn shelf(generations: &[u64], current: u64) -> (tempfile::TempDir, Shelf) {
        let directory = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(directory.path(), Form::Segment, "USR".parse().unwrap());
        shelf.create().unwrap();
        for generation in generations {
            fs::write(shelf.path(*generation), "").unwrap();
            fs::write(shelf.attributes_path(*generation), "").unwrap();
        }
        let link = shelf.directory().join(CURRENT);
        symlink(Form::Segment.file_name(current), link).unwrap();
        (directory, shelf)
    }

    #[test]
    fn a_file_stays_for_as_long_as_somebody_holds_it() {
        let (_directory, shelf) = shelf(&[1, 2, 3], 3);
        let file = File::open(shelf.path(2)).unwrap();
        assert!(hold(&file, &shelf.path(2)).unwrap());
        assert_eq!(shelf.unused().unwrap(), [1]);
        let purged = shelf.remove_unused().unwrap();
        assert_eq!((purged.removed, purged.pending), (vec![1], vec![2]));
        assert!(!shelf.attributes_path(1).exists());
        let purged = shelf.purge().unwrap().unwrap();
        assert_eq!((purged.removed, purged.pending), (vec![3], vec![2]));
        assert_eq!(shelf.current().unwrap(), None);
        assert!(shelf.attributes_path(2).exists());
        drop(file);
        assert_eq!(shelf.remove_unused().unwrap().removed, [2]);
        assert_eq!(shelf.purge().unwrap(), None);
    }

    #[test]
    fn what_goes_while_it_is_taken_is_not_taken() {
        let (_directory, shelf) = shelf(&[1], 1);
        let taken = shelf.take(|generation| {
            let path = shelf.path(generation);
            let file = File::open(&path).map_err(Error::io("open", &path))?;
            shelf.purge()?;
            Ok::<_, Error>(hold(&file, &path)?.then_some(generation))
        });
        assert_eq!(taken.unwrap(), None);
    }
}
