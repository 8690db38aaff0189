// SPDX-License-Identifier: GPL-2.0

//! The directory of all segment spaces.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use onecopy_directory::Directory;
use onecopy_format::segment_space::Name;

use crate::error::Error;
use crate::lock::Lock;
use crate::publish;
use crate::publish::Form;
use crate::space::Space;
use crate::Result;

/// Name of the directory of all segment spaces, in the store.
const SEGMENTS: &str = "segments";

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

    /// Opens the current generation of a segment space.
    ///
    /// The space's path names that generation, so it stays valid when another one is published.
    ///
    /// # Errors
    ///
    /// When there is no such segment space (the error lists those that exist) or it is invalid.
    pub fn current(&self, name: Name) -> Result<Space> {
        let directory = self.space_directory(name);
        let link = directory.join(publish::CURRENT);
        match fs::read_link(&link) {
            // Anything but the name of a generation could lead out of the store.
            Ok(target) => match Form::Segment.generation_of(&target) {
                Some(generation) => self.generation(name, generation),
                None => Err(Error::Target { link, target }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::NotFound {
                name,
                root: self.root.clone(),
                existing: self.names()?,
            }),
            Err(error) => Err(Error::io("read", &link)(error)),
        }
    }

    /// Returns the generations of a segment space, in ascending order.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn generations(&self, name: Name) -> Result<Vec<u64>> {
        Form::Segment.generations(&self.space_directory(name))
    }

    /// Opens one generation of a segment space.
    ///
    /// # Errors
    ///
    /// When it does not exist or is invalid.
    pub fn generation(&self, name: Name, generation: u64) -> Result<Space> {
        let file = Form::Segment.file_name(generation);
        if let Some(directory) = self.look(name)? {
            // A link is an error.
            directory.file(&file)?;
        }
        Space::open(&self.space_directory(name).join(file))
    }

    /// Removes what killed processes have left behind, and returns the number of files.
    ///
    /// # Errors
    ///
    /// When a directory cannot be read or a file not be removed.
    pub fn remove_stale(&self) -> Result<usize> {
        let directory = self.segments();
        if !directory.exists() {
            return Ok(0);
        }
        let mut removed = 0;
        for entry in fs::read_dir(&directory).map_err(Error::io("read", &directory))? {
            let path = entry.map_err(Error::io("read", &directory))?.path();
            if path.is_dir() {
                let _lock = Lock::exclusive(&path)?;
                removed += publish::remove_leftovers(&path, Form::Segment)?;
            }
        }
        Ok(removed)
    }

    /// Returns the directory of a segment space, created if need be.
    pub(crate) fn create_space_directory(&self, name: Name) -> Result<PathBuf> {
        let segments = Directory::create(&self.root)?.create_child(SEGMENTS)?;
        segments.create_child(name.as_str())?;
        Ok(self.space_directory(name))
    }

    /// Opens the directory of a segment space, to which no link below the store leads.
    pub(crate) fn look(&self, name: Name) -> Result<Option<Directory>> {
        let Some(root) = Directory::open(&self.root)? else {
            return Ok(None);
        };
        let Some(segments) = root.child(SEGMENTS)? else {
            return Ok(None);
        };
        Ok(segments.child(name.as_str())?)
    }

    fn segments(&self) -> PathBuf {
        self.root.join(SEGMENTS)
    }

    fn space_directory(&self, name: Name) -> PathBuf {
        self.segments().join(name.as_str())
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
fn name_of(file_name: &OsStr) -> Option<Name> {
    let bytes = file_name.as_encoded_bytes();
    let name = Name::new(bytes).ok()?;
    // A name is upper-cased on input, but a directory is written in capitals only.
    (name.as_bytes() == bytes).then_some(name)
}
