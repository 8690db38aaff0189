// SPDX-License-Identifier: GPL-2.0

//! The directory of all segment spaces.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use onecopy_format::segment_space::Name;

use crate::error::Error;
use crate::publish;
use crate::publish::Form;
use crate::shelf::Purged;
use crate::shelf::Shelf;
use crate::space::Space;
use crate::Result;

/// A store of segment spaces.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens the store at `root`; it may be empty or not exist yet.
    pub fn open(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Returns the directory of the store.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the names of all segment spaces that have a current generation, in order.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read. A store that does not exist is empty.
    pub fn names(&self) -> Result<Vec<Name>> {
        names_in(&self.segments())
    }

    /// Returns what there is of a name: generations and a skeleton.
    pub fn shelf(&self, name: Name) -> Shelf {
        Shelf::new(&self.root, Form::Segment, name)
    }

    /// Returns the names of which there is a skeleton or a generation, current or not, in order; and those
    /// that cannot be looked at.
    ///
    /// # Errors
    ///
    /// When the directory of all of them cannot be read. A store that does not exist is empty.
    pub fn all_names(&self) -> Result<Vec<Name>> {
        Shelf::names(&self.root, Form::Segment)
    }

    /// Opens the current generation of a segment space.
    ///
    /// The space's path names that generation, so it stays valid until another one is published;
    /// [`Self::acquire`] keeps it longer.
    ///
    /// # Errors
    ///
    /// When there is no such segment space (the error lists those that exist) or it is invalid.
    pub fn current(&self, name: Name) -> Result<Space> {
        let space = self
            .shelf(name)
            .take(|generation| self.generation(name, generation).map(Some))?;
        space.map_or_else(|| Err(self.not_found(name)?), Ok)
    }

    /// Takes the current generation of a segment space into use: it stays for as long as the value
    /// lives.
    ///
    /// # Errors
    ///
    /// As [`Self::current`].
    pub fn acquire(&self, name: Name) -> Result<Space> {
        let space = self.shelf(name).take(|generation| {
            let space = self.generation(name, generation)?;
            Ok::<_, Error>(space.hold()?.then_some(space))
        })?;
        space.map_or_else(|| Err(self.not_found(name)?), Ok)
    }

    /// Returns the generations of a segment space, in ascending order.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn generations(&self, name: Name) -> Result<Vec<u64>> {
        self.shelf(name).generations()
    }

    /// Opens one generation of a segment space.
    ///
    /// # Errors
    ///
    /// When it does not exist or is invalid.
    pub fn generation(&self, name: Name, generation: u64) -> Result<Space> {
        let shelf = self.shelf(name);
        let file_name = Form::Segment.file_name(generation);
        match shelf.look()? {
            Some(directory) => Space::open_in(&directory, &file_name),
            None => {
                let path = shelf.path(generation);
                Err(Error::io("open", &path)(io::ErrorKind::NotFound.into()))
            }
        }
    }

    /// Purges a segment space: no new guest gets it, its skeleton is removed, and so are its
    /// generations as soon as nobody uses them.
    ///
    /// # Errors
    ///
    /// When there is no such segment space, or a file cannot be removed.
    pub fn purge(&self, name: Name) -> Result<Purged> {
        match self.shelf(name).purge()? {
            Some(purged) => Ok(purged),
            None => Err(self.not_found(name)?),
        }
    }

    /// Returns the error for a name of which there is no current generation.
    fn not_found(&self, name: Name) -> Result<Error> {
        if self.shelf(name).is_defined() {
            return Ok(Error::NotSaved(name));
        }
        Ok(Error::NotFound {
            name,
            root: self.root.clone(),
            existing: self.names()?,
        })
    }

    fn segments(&self) -> PathBuf {
        Form::Segment.parent(&self.root)
    }
}

/// Returns the names in `directory` that have a current generation, in order.
///
/// # Errors
///
/// When the directory cannot be read. One that does not exist is empty.
pub fn names_in(directory: &Path) -> Result<Vec<Name>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read", directory)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::io("read", directory))?;
        if let Some(name) = name_of(&entry.file_name()) {
            if entry.path().join(publish::CURRENT).is_symlink() {
                names.push(name);
            }
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Returns the name that a directory stands for; anything else in the store is not ours.
pub(crate) fn name_of(file_name: &OsStr) -> Option<Name> {
    let bytes = file_name.as_encoded_bytes();
    let name = Name::new(bytes).ok()?;
    // A name is upper-cased on input, but a directory is written in capitals only.
    (name.as_bytes() == bytes).then_some(name)
}
