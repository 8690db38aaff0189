// SPDX-License-Identifier: GPL-2.0

//! The saved systems in a store.

mod generation;
mod skeleton;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::path::PathBuf;

use onecopy_format::segment_space::Name;
use onecopy_store::names_in;
use onecopy_store::Class;
use onecopy_store::Form;
use onecopy_store::Purged;
use onecopy_store::Shelf;

pub use self::generation::FileCheck;
pub use self::generation::Generation;
use crate::error::Error;
use crate::Result;

/// Name of the file with the state of the devices.
pub(crate) const STATE: &str = "state";

/// The saved systems in a store.
#[derive(Debug, Clone)]
pub struct Systems {
    root: PathBuf,
}

impl Systems {
    /// Opens the store at `root`; it may be empty or not exist yet.
    pub fn open(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Returns the directory of the store.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the names of which there is a skeleton or a generation, current or not, in order; and those
    /// that cannot be looked at.
    ///
    /// # Errors
    ///
    /// When the directory of all of them cannot be read. A store that does not exist is empty.
    pub fn names(&self) -> Result<Vec<Name>> {
        Ok(Shelf::names(&self.root, Form::System)?)
    }

    /// Returns the numbers of the generations of a name, in ascending order.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn generations(&self, name: Name) -> Result<Vec<u64>> {
        Ok(self.shelf(name).generations()?)
    }

    /// Returns the number of the generation that new guests get, if there is one.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn current(&self, name: Name) -> Result<Option<u64>> {
        Ok(self.shelf(name).current()?)
    }

    /// Reads a generation.
    ///
    /// # Errors
    ///
    /// When it does not exist or its manifest is damaged.
    pub fn generation(&self, name: Name, generation: u64) -> Result<Generation> {
        let shelf = self.shelf(name);
        let path = shelf.path(generation);
        let found = match shelf.look()? {
            Some(directory) => directory.child(&Form::System.file_name(generation))?,
            None => None,
        };
        let missing = || Error::io("open", &path)(io::ErrorKind::NotFound.into());
        Generation::open(found.ok_or_else(missing)?)
    }

    /// Takes the current generation into use: it stays for as long as the value lives.
    ///
    /// # Errors
    ///
    /// When there is none (the error lists those that exist) or its manifest is damaged.
    pub fn acquire(&self, name: Name) -> Result<Generation> {
        let taken = self.shelf(name).take(|number| {
            let generation = self.generation(name, number)?;
            Ok::<_, Error>(generation.hold()?.then_some(generation))
        })?;
        taken.map_or_else(|| Err(self.not_found(name)?), Ok)
    }

    /// Purges a saved system: no new guest gets it, its skeleton is removed, and so are its
    /// generations as soon as nobody uses them.
    ///
    /// # Errors
    ///
    /// When there is no such saved system, or a file cannot be removed.
    pub fn purge(&self, name: Name) -> Result<Purged> {
        match self.shelf(name).purge()? {
            Some(purged) => Ok(purged),
            None => Err(self.not_found(name)?),
        }
    }

    /// Removes the generations of a name that new guests do not get and nobody uses, and what
    /// killed processes have left.
    ///
    /// # Errors
    ///
    /// When a file cannot be removed.
    pub fn remove_unused(&self, name: Name) -> Result<Purged> {
        Ok(self.shelf(name).remove_unused()?)
    }

    /// Returns the generations that [`Self::remove_unused`] would remove. Nothing is changed.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read or locked.
    pub fn unused(&self, name: Name) -> Result<Vec<u64>> {
        Ok(self.shelf(name).unused()?)
    }

    /// Returns the class of a generation.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn class(&self, generation: &Generation) -> Result<Class> {
        let manifest = generation.manifest();
        let is_current = self.current(manifest.name)? == Some(manifest.generation);
        Ok(Class::of(is_current, manifest.restricted))
    }

    /// Returns the error for a name of which there is no current generation.
    pub(crate) fn not_found(&self, name: Name) -> Result<Error> {
        if self.is_defined(name) {
            return Ok(Error::NotSaved(name));
        }
        Ok(Error::NotFound {
            name,
            root: self.root.clone(),
            existing: names_in(&Form::System.parent(&self.root))?,
        })
    }

    pub(crate) fn directory(&self, name: Name) -> PathBuf {
        self.shelf(name).directory().to_owned()
    }

    /// Returns what there is of a name: generations and a skeleton.
    pub(crate) fn shelf(&self, name: Name) -> Shelf {
        Shelf::new(&self.root, Form::System, name)
    }
}
