// SPDX-License-Identifier: GPL-2.0

//! Removing generations that nobody uses, and skeletons.

use std::io;

use onecopy_directory::Directory;

use super::hold::seize;
use super::skeleton;
use super::Shelf;
use crate::error::Error;
use crate::lock::Lock;
use crate::publish::beside;
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
        let right = self.lock()?;
        let directory = right.directory();
        let current = directory.remove_file(CURRENT);
        current.map_err(Error::io("remove", &directory.path(CURRENT)))?;
        let skeleton = skeleton::remove(directory);
        Ok(Some(Purged {
            skeleton: skeleton.map_err(Error::io("remove the skeleton in", &self.directory))?,
            ..self.remove_unused_in(directory)?
        }))
    }

    /// Removes the generations that new guests do not get and nobody uses, and what killed processes
    /// have left.
    ///
    /// # Errors
    ///
    /// When a file cannot be removed.
    pub fn remove_unused(&self) -> Result<Purged> {
        if self.look()?.is_none() {
            return Ok(Purged::default());
        }
        let right = self.lock()?;
        self.remove_unused_in(right.directory())
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
        let Some(directory) = self.look()? else {
            return Ok(Vec::new());
        };
        // Nobody publishes meanwhile: a generation has its name before it is current.
        let _lock = Lock::exclusive_in(&directory)?;
        let current = self.current_in(&directory)?;
        let mut unused = Vec::new();
        for generation in self.form.generations(&directory)? {
            let name = self.form.file_name(generation);
            if current != Some(generation) && seize(&directory, &name)?.is_some() {
                unused.push(generation);
            }
        }
        Ok(unused)
    }

    /// The caller has the lock of the name, in this directory.
    fn remove_unused_in(&self, directory: &Directory) -> Result<Purged> {
        let mut purged = Purged::default();
        let current = self.current_in(directory)?;
        for generation in self.form.generations(directory)? {
            if current == Some(generation) {
                continue;
            }
            if self.remove(directory, generation)? {
                purged.removed.push(generation);
            } else {
                purged.pending.push(generation);
            }
        }
        self.forget_group(directory)?;
        Ok(purged)
    }

    /// Removes a generation unless somebody uses it, and says whether it is gone.
    fn remove(&self, directory: &Directory, generation: u64) -> Result<bool> {
        let name = self.form.file_name(generation);
        let Some(_seized) = seize(directory, &name)? else {
            return Ok(false);
        };
        let remove = || -> io::Result<()> {
            match self.form {
                Form::Segment => {
                    directory.remove_file(&name)?;
                    directory.remove_file(beside(generation))?;
                }
                Form::System => {
                    // It disappears as a whole.
                    let hidden = format!("{HIDDEN}{generation}");
                    directory.rename(&name, &hidden)?;
                    directory.remove_tree(&hidden)?;
                }
            }
            Ok(())
        };
        remove().map_err(Error::io("remove", &directory.path(&name)))?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
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

    #[test]
    fn a_purge_removes_links_and_not_what_they_lead_to() {
        let (root, shelf) = shelf(&[1], 1);
        let outside = root.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("f"), "secret").unwrap();
        symlink(outside.join("f"), shelf.path(2)).unwrap();
        symlink("nowhere", shelf.path(3)).unwrap();
        fs::remove_file(shelf.attributes_path(1)).unwrap();
        symlink(outside.join("f"), shelf.attributes_path(1)).unwrap();
        symlink(outside.join("f"), shelf.skeleton()).unwrap();
        assert_eq!(shelf.unused().unwrap(), [2, 3]);
        let purged = shelf.purge().unwrap().unwrap();
        assert_eq!((purged.removed, purged.skeleton), (vec![1, 2, 3], true));
        let name = "LX".parse().unwrap();
        let system = Shelf::new(root.path(), Form::System, name);
        system.create().unwrap();
        symlink(&outside, system.path(1)).unwrap();
        fs::create_dir(system.path(2)).unwrap();
        symlink(&outside, system.path(2).join("out")).unwrap();
        assert_eq!(system.purge().unwrap().unwrap().removed, [1, 2]);
        assert_eq!(system.look().unwrap().unwrap().names().unwrap(), [".lock"]);
        assert_eq!(fs::read_to_string(outside.join("f")).unwrap(), "secret");
    }

    #[test]
    fn nothing_is_done_in_what_a_link_leads_to() {
        let (root, shelf) = shelf(&[1, 2], 2);
        let moved = root.path().join("moved");
        fs::rename(shelf.directory(), &moved).unwrap();
        symlink(&moved, shelf.directory()).unwrap();
        let before = fs::read_dir(&moved).unwrap().count();
        for error in [
            shelf.purge().unwrap_err(),
            shelf.remove_unused().unwrap_err(),
            shelf.unused().unwrap_err(),
            shelf.leftovers().unwrap_err(),
            shelf.define("text").unwrap_err(),
            shelf.lock().unwrap_err(),
            shelf.current().unwrap_err(),
        ] {
            let said = error.to_string();
            assert!(
                said.contains("USR is a symbolic link, which is not"),
                "{said}"
            );
        }
        assert_eq!(fs::read_dir(&moved).unwrap().count(), before);
    }
}
