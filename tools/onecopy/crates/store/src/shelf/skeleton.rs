// SPDX-License-Identifier: GPL-2.0

//! Skeletons: what was defined and not saved yet, class S.
//!
//! A skeleton is a file beside the generations of its name. It comes, goes and is taken under the
//! lock of the name, so a save never sees one that another save is using up. What it says is for others
//! to know.

use std::io;
use std::path::PathBuf;

use onecopy_directory::Directory;

use super::Shelf;
use crate::error::Error;
use crate::publish::beside;
use crate::publish::Publisher;
use crate::Result;

/// Name of the file.
pub(crate) const FILE: &str = "definition.toml";

impl Shelf {
    /// Makes a text the skeleton, in place of one that there is, and returns its path.
    ///
    /// # Errors
    ///
    /// When it cannot be written; the skeleton is then as it was.
    pub fn define(&self, text: &str) -> Result<PathBuf> {
        let right = Publisher::lock_in(self.create()?, self.form)?;
        right.directory().replace(FILE, text)?;
        Ok(self.skeleton())
    }

    /// Reads the skeleton, if there is one.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn definition(&self) -> Result<Option<String>> {
        self.read(FILE)
    }

    /// Returns whether there is a skeleton, perhaps a damaged one.
    pub fn is_defined(&self) -> bool {
        let directory = self.look().ok().flatten();
        directory.is_some_and(|directory| directory.has(FILE))
    }

    /// Returns the path of the skeleton.
    pub fn skeleton(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    /// Removes the skeleton that was saved: the one that `is_saved` finds it is, unless there is
    /// another one by now. The caller has the [lock](Self::lock). If we are killed before, the next save
    /// has the same skeleton again.
    ///
    /// # Errors
    ///
    /// When it cannot be removed.
    pub fn use_up(&self, is_saved: impl FnOnce(&str) -> bool) -> Result<()> {
        let directory = self.open()?;
        // One that cannot be read is not what was saved.
        let text = directory.read(FILE).ok().flatten();
        if is_saved(&text.unwrap_or_default()) {
            remove(&directory).map_err(Error::io("remove", &self.skeleton()))?;
        }
        Ok(())
    }

    /// Reads what is kept beside a generation of a segment space, if there is something.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn attributes(&self, generation: u64) -> Result<Option<String>> {
        self.read(&beside(generation))
    }

    /// Returns the path of what is kept beside a generation of a segment space.
    pub fn attributes_path(&self, generation: u64) -> PathBuf {
        self.directory.join(beside(generation))
    }

    /// Reads a file beside the generations, if it is there; a link is an error.
    fn read(&self, name: &str) -> Result<Option<String>> {
        match self.look()? {
            Some(directory) => Ok(directory.read(name)?),
            None => Ok(None),
        }
    }
}

/// Removes the skeleton, and says whether there was one. The caller has the lock.
pub(super) fn remove(directory: &Directory) -> io::Result<bool> {
    let is_gone = directory.remove_file(FILE)?;
    if is_gone {
        directory.sync()?;
    }
    Ok(is_gone)
}
