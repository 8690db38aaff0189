// SPDX-License-Identifier: GPL-2.0

//! What a name stands for in a store: its generations and its skeleton.
//!
//! Segment spaces and saved systems have this in common. A generation is in use while somebody has it
//! locked, which ends with the process that has; it stays until then.

mod hold;
mod removal;
mod skeleton;

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use onecopy_directory::Directory;
use onecopy_format::segment_space::Name;

pub use self::hold::hold;
pub use self::hold::holders;
pub use self::removal::Purged;
pub(crate) use self::skeleton::FILE as SKELETON;
use crate::error::Error;
use crate::publish::leftovers;
use crate::publish::Form;
use crate::publish::Publisher;
use crate::publish::CURRENT;
use crate::store::name_of;
use crate::Result;

/// How long generations may come and go while we take one.
const TAKE_TIMEOUT: Duration = Duration::from_secs(10);

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
    /// Returns the class of a generation.
    pub const fn of(is_current: bool, is_restricted: bool) -> Self {
        match (is_current, is_restricted) {
            (true, false) => Self::Available,
            (true, true) => Self::Restricted,
            (false, _) => Self::PendingPurge,
        }
    }

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

/// The generations of a name, and its skeleton.
#[derive(Debug, Clone)]
pub struct Shelf {
    root: PathBuf,
    name: Name,
    directory: PathBuf,
    form: Form,
}

impl Shelf {
    /// Uses the directory of a name in the store at `root`, which may not exist yet.
    pub fn new(root: &Path, form: Form, name: Name) -> Self {
        Self {
            root: root.to_owned(),
            name,
            directory: form.parent(root).join(name.as_str()),
            form,
        }
    }

    /// Opens the directory, to which no link below the store leads; [`None`] if there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, or a link leads to it.
    pub fn look(&self) -> Result<Option<Directory>> {
        let Some(root) = Directory::open(&self.root)? else {
            return Ok(None);
        };
        let Some(parent) = root.child(self.form.parent_name())? else {
            return Ok(None);
        };
        Ok(parent.child(self.name.as_str())?)
    }

    /// Opens the directory as [`Self::look`] does; it must be there.
    ///
    /// # Errors
    ///
    /// As there, and when there is none.
    pub fn open(&self) -> Result<Directory> {
        let missing = || Error::io("open", &self.directory)(io::ErrorKind::NotFound.into());
        self.look()?.ok_or_else(missing)
    }

    /// Opens the directory as [`Self::look`] does, and creates it if need be.
    ///
    /// # Errors
    ///
    /// As there, and when it cannot be created.
    pub fn create(&self) -> Result<Directory> {
        let root = Directory::create(&self.root)?;
        let parent = root.create_child(self.form.parent_name())?;
        Ok(parent.create_child(self.name.as_str())?)
    }

    /// Returns the names in the store at `root` of which there is a skeleton or a generation,
    /// current or not, in order; and those whose directory is a link or cannot be read, so that nobody
    /// takes them for missing.
    ///
    /// # Errors
    ///
    /// As [`Self::all`].
    pub fn names(root: &Path, form: Form) -> Result<Vec<Name>> {
        let mut all = Self::all(root, form)?;
        all.retain(|shelf| {
            let is_empty = shelf.generations().is_ok_and(|found| found.is_empty());
            shelf.is_defined() || !is_empty
        });
        Ok(all.iter().map(Self::name).collect())
    }

    /// Returns what there is of all names in the store at `root`, in order, be it only what a crash has
    /// left, and be it a link or a directory that cannot be read. A file of such a name is not ours.
    ///
    /// # Errors
    ///
    /// When the directory of all names is a link or cannot be read. One that does not exist is empty.
    pub fn all(root: &Path, form: Form) -> Result<Vec<Self>> {
        let Some(root_directory) = Directory::open(root)? else {
            return Ok(Vec::new());
        };
        let Some(parent) = root_directory.child(form.parent_name())? else {
            return Ok(Vec::new());
        };
        let mut names = parent.names()?;
        names.retain(|name| name.to_str().is_some_and(|name| is_place(&parent, name)));
        let mut names: Vec<_> = names.iter().filter_map(|name| name_of(name)).collect();
        names.sort_unstable();
        let shelf = |name| Self::new(root, form, name);
        Ok(names.into_iter().map(shelf).collect())
    }

    /// Returns the name.
    pub fn name(&self) -> Name {
        self.name
    }

    /// Returns what its generations are on disk.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Returns the directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns the path of a generation.
    pub fn path(&self, generation: u64) -> PathBuf {
        self.directory.join(self.form.file_name(generation))
    }

    /// Waits for the right to change what is there.
    ///
    /// # Errors
    ///
    /// As [`Self::open`], when somebody else keeps the right for a minute, or when what killed processes
    /// have left cannot be removed.
    pub fn lock(&self) -> Result<Publisher> {
        Publisher::lock_in(self.open()?, self.form)
    }

    /// Returns what killed processes have left: what [`Self::lock`] removes. Nothing is changed.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read or locked, or a link leads to it.
    pub fn leftovers(&self) -> Result<Vec<PathBuf>> {
        match self.look()? {
            Some(directory) => leftovers(&directory, self.form),
            None => Ok(Vec::new()),
        }
    }

    /// Returns the numbers of the generations, in ascending order.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read. One that does not exist is empty.
    pub fn generations(&self) -> Result<Vec<u64>> {
        match self.look()? {
            Some(directory) => self.form.generations(&directory),
            None => Ok(Vec::new()),
        }
    }

    /// Returns the number of the generation that new guests get, if there is one.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read, or the link leads to something else than a generation.
    pub fn current(&self) -> Result<Option<u64>> {
        match self.look()? {
            Some(directory) => self.current_in(&directory),
            None => Ok(None),
        }
    }

    fn current_in(&self, directory: &Directory) -> Result<Option<u64>> {
        let link = directory.path(CURRENT);
        let found = directory.read_link(CURRENT);
        let Some(target) = found.map_err(Error::io("read", &link))? else {
            return Ok(None);
        };
        // Anything but the name of a generation could lead out of the store.
        match self.form.generation_of(&target) {
            Some(generation) => Ok(Some(generation)),
            None => Err(Error::Target { link, target }),
        }
    }

    /// Takes the current generation: `open` opens and [holds](hold) it, and has nothing if it is being
    /// removed. [`None`] if there is no current generation.
    ///
    /// # Errors
    ///
    /// Those of `open` for a generation that is still current then.
    pub fn take<T, E: From<Error>>(
        &self,
        open: impl Fn(u64) -> std::result::Result<Option<T>, E>,
    ) -> std::result::Result<Option<T>, E> {
        let start = Instant::now();
        while let Some(number) = self.current()? {
            match open(number) {
                Ok(Some(taken)) => return Ok(Some(taken)),
                Ok(None) => {}
                Err(error) if self.current()? == Some(number) => return Err(error),
                // Between the two looks it was replaced and removed.
                Err(_) => {}
            }
            if start.elapsed() >= TAKE_TIMEOUT {
                break;
            }
            thread::sleep(RETRY);
        }
        Ok(None)
    }
}

/// Whether a name is that of a directory, or of a link, which stands in the place of one.
fn is_place(parent: &Directory, name: &str) -> bool {
    match parent.metadata(name) {
        Ok(metadata) => metadata.is_dir() || metadata.is_symlink(),
        // That it cannot be looked at is said when it is opened.
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}
