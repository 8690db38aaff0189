// SPDX-License-Identifier: GPL-2.0

//! Skeletons: what was defined and not saved yet, class S.
//!
//! A skeleton is a file beside the generations of its name. It comes, goes and is taken under the
//! lock of the name, so a save never sees one that another save is using up. What it says is for others
//! to know.

use std::fs;
use std::fs::File;
use std::fs::Permissions;
use std::io;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

use super::Shelf;
use crate::error::Error;
use crate::publish::beside;
use crate::Result;

/// Name of the file.
pub(crate) const FILE: &str = "definition.toml";

/// What files begin with that a killed process may leave; see [`crate::Scratch`].
const DRAFT: &str = ".draft-";

impl Shelf {
    /// Makes a text the skeleton, in place of one that there is, and returns its path.
    ///
    /// # Errors
    ///
    /// When it cannot be written; the skeleton is then as it was.
    pub fn define(&self, text: &str) -> Result<PathBuf> {
        let path = self.skeleton();
        let directory = &self.directory;
        self.create()?;
        let _right = self.lock()?;
        replace(directory, &path, text).map_err(Error::io("write", &path))?;
        Ok(path)
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
        self.skeleton().exists()
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
        let path = self.skeleton();
        let text = fs::read_to_string(&path).unwrap_or_default();
        if is_saved(&text) {
            self.remove_skeleton().map_err(Error::io("remove", &path))?;
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

    /// Removes the skeleton, and says whether there was one. The caller has the lock.
    pub(super) fn remove_skeleton(&self) -> io::Result<bool> {
        match fs::remove_file(self.skeleton()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        }
        File::open(&self.directory)?.sync_all()?;
        Ok(true)
    }

    /// Reads a file beside the generations, if it is there; a link is an error.
    fn read(&self, name: &str) -> Result<Option<String>> {
        match self.look()? {
            Some(directory) => Ok(directory.read(name)?),
            None => Ok(None),
        }
    }
}

/// Replaces a file in one step; its directory is locked.
pub(crate) fn replace(directory: &Path, path: &Path, text: &str) -> io::Result<()> {
    let mut file = tempfile::Builder::new()
        .prefix(DRAFT)
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(directory)?;
    file.as_file_mut().write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(directory)?.sync_all()
}
