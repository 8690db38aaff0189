// SPDX-License-Identifier: GPL-2.0

//! The saved systems in a store.

mod generation;
mod removal;
mod skeleton;

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use onecopy_directory::Directory;
use onecopy_format::segment_space::Name;
use onecopy_store::names_in;
use onecopy_store::Form;
use onecopy_store::CURRENT;

pub use self::generation::FileCheck;
pub use self::generation::Generation;
pub use self::removal::Purged;
pub(crate) use self::skeleton::use_up;
use crate::error::Error;
use crate::Result;

/// Name of the directory of all saved systems, in the store.
const SYSTEMS: &str = "systems";

/// Name of the file with the state of the devices.
pub(crate) const STATE: &str = "state";

/// How long generations may come and go while we take one.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often it is tried.
const RETRY: Duration = Duration::from_millis(1);

/// What a skeleton or a generation is to those who want to use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It was defined and not saved yet.
    Skeleton,
    /// New guests get it.
    Available,
    /// New guests get it if they are on its list.
    Restricted,
    /// It stays only for the guests that have it.
    PendingPurge,
}

impl Class {
    /// Returns the letter that z/VM uses.
    pub const fn letter(self) -> char {
        match self {
            Self::Skeleton => 'S',
            Self::Available => 'A',
            Self::Restricted => 'R',
            Self::PendingPurge => 'P',
        }
    }
}

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

    /// Returns the names of which there is a skeleton or a generation, current or not, in order.
    ///
    /// # Errors
    ///
    /// When a directory cannot be read. A store that does not exist is empty.
    pub fn names(&self) -> Result<Vec<Name>> {
        let directory = self.root.join(SYSTEMS);
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io("read", &directory)(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(Error::io("read", &directory))?.file_name();
            let Some(name) = entry.to_str().and_then(|text| {
                let name = text.parse::<Name>().ok()?;
                // A name is upper-cased on input, but a directory is written in capitals only.
                (name.as_str() == text).then_some(name)
            }) else {
                continue;
            };
            if self.is_defined(name) || !self.generations(name)?.is_empty() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Returns the numbers of the generations of a name, in ascending order.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn generations(&self, name: Name) -> Result<Vec<u64>> {
        let directory = self.directory(name);
        if !directory.exists() {
            return Ok(Vec::new());
        }
        Ok(Form::System.generations(&directory)?)
    }

    /// Returns the number of the generation that new guests get, if there is one.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn current(&self, name: Name) -> Result<Option<u64>> {
        let link = self.directory(name).join(CURRENT);
        match fs::read_link(&link) {
            Ok(target) => Ok(Form::System.generation_of(&target)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &link)(error)),
        }
    }

    /// Reads a generation.
    ///
    /// # Errors
    ///
    /// When it does not exist or its manifest is damaged.
    pub fn generation(&self, name: Name, generation: u64) -> Result<Generation> {
        let path = self.generation_directory(name, generation);
        let found = match self.look(name)? {
            Some(directory) => directory.child(&Form::System.file_name(generation))?,
            None => None,
        };
        let missing = || Error::io("open", &path)(io::ErrorKind::NotFound.into());
        Generation::open(found.ok_or_else(missing)?)
    }

    /// Opens the directory of a name, to which no link below the store leads.
    pub(crate) fn look(&self, name: Name) -> Result<Option<Directory>> {
        let Some(root) = Directory::open(&self.root)? else {
            return Ok(None);
        };
        let Some(systems) = root.child(SYSTEMS)? else {
            return Ok(None);
        };
        Ok(systems.child(name.as_str())?)
    }

    /// Creates the directory of a name if need be, and returns its path.
    pub(crate) fn create(&self, name: Name) -> Result<PathBuf> {
        let systems = Directory::create(&self.root)?.create_child(SYSTEMS)?;
        systems.create_child(name.as_str())?;
        Ok(self.directory(name))
    }

    /// Takes the current generation into use: it stays for as long as the value lives.
    ///
    /// # Errors
    ///
    /// When there is none (the error lists those that exist) or its manifest is damaged.
    pub fn acquire(&self, name: Name) -> Result<Generation> {
        let start = Instant::now();
        while let Some(number) = self.current(name)? {
            match self.generation(name, number) {
                Ok(mut generation) => {
                    if generation.lock()? {
                        return Ok(generation);
                    }
                }
                Err(error) if self.current(name)? == Some(number) => return Err(error),
                // Between the two looks it was replaced and removed.
                Err(_) => {}
            }
            if start.elapsed() >= ACQUIRE_TIMEOUT {
                break;
            }
            thread::sleep(RETRY);
        }
        Err(self.not_found(name)?)
    }

    /// Returns the error for a name of which there is no current generation.
    pub(crate) fn not_found(&self, name: Name) -> Result<Error> {
        if self.is_defined(name) {
            return Ok(Error::NotSaved(name));
        }
        Ok(Error::NotFound {
            name,
            root: self.root.clone(),
            existing: names_in(&self.root.join(SYSTEMS))?,
        })
    }

    pub(crate) fn directory(&self, name: Name) -> PathBuf {
        self.root.join(SYSTEMS).join(name.as_str())
    }

    fn generation_directory(&self, name: Name, generation: u64) -> PathBuf {
        let name_of = Form::System.file_name(generation);
        self.directory(name).join(name_of)
    }
}
