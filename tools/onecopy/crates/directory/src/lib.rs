// SPDX-License-Identifier: GPL-2.0

//! A directory that is opened once: files in it are read, replaced and removed by their names
//! there, without following links, whatever happens to the path meanwhile.
//!
//! With it comes what those who use such files have in common: [locks](lock_within) that are waited for
//! until a deadline, and the [place](Misplaced) of a mistake in a text that people edit.

mod change;
mod error;
mod lock;
mod place;
mod replace;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::fs::Metadata;
use std::io;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::mkdirat;
use rustix::fs::openat;
use rustix::fs::openat2;
use rustix::fs::readlinkat;
use rustix::fs::Dir;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::ResolveFlags;
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::process::geteuid;

pub use self::error::failure;
pub use self::error::Error;
pub use self::lock::lock_within;
pub use self::lock::try_lock;
pub use self::lock::Sharing;
pub use self::place::Misplaced;
pub use self::replace::replace;
pub use self::replace::Manner;
pub use self::replace::DRAFT;

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// How long a text may be that is read as a whole, in bytes.
pub const MAX_BYTES: u64 = 1 << 20;

/// An open directory.
#[derive(Debug)]
pub struct Directory {
    file: File,
    path: PathBuf,
}

impl Directory {
    /// Opens a directory, to which links may lead; [`None`] if there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match openat(CWD, path, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(Self::of(fd, path.to_owned()))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(Error::io("open", path)(error.into())),
        }
    }

    /// Opens it once more: the other one has no part in the [lock](Self::lock) of this one.
    ///
    /// # Errors
    ///
    /// When there are too many open files, or it may not be entered any more.
    pub fn again(&self) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match openat(&self.file, ".", flags, Mode::empty()) {
            Ok(fd) => Ok(Self::of(fd, self.path.clone())),
            Err(error) => Err(Error::io("open", &self.path)(error.into())),
        }
    }

    /// Opens a directory, and creates it with all above it if need be.
    ///
    /// # Errors
    ///
    /// When that fails.
    pub fn create(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).map_err(Error::io("create", path))?;
        let found = Self::open(path)?;
        found.ok_or_else(|| Error::io("open", path)(io::ErrorKind::NotFound.into()))
    }

    fn of(fd: OwnedFd, path: PathBuf) -> Self {
        Self {
            file: fd.into(),
            path,
        }
    }

    /// Returns the path by which it was opened.
    pub fn location(&self) -> &Path {
        &self.path
    }

    /// Returns the path of a file.
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Opens a directory in this one; [`None`] if there is none.
    ///
    /// # Errors
    ///
    /// When it is a link or no directory, or cannot be opened.
    pub fn child(&self, name: &str) -> Result<Option<Self>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let path = self.path(name);
        let found = self.open_below(name, flags)?;
        Ok(found.map(|fd| Self::of(fd, path)))
    }

    /// Opens a directory in this one that all can read, and creates it if need be.
    ///
    /// # Errors
    ///
    /// When it is a link or no directory, or cannot be created.
    pub fn create_child(&self, name: &str) -> Result<Self> {
        self.create_child_with(name, 0o755)
    }

    /// As [`Self::create_child`], with other permissions.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn create_child_with(&self, name: &str, mode: u32) -> Result<Self> {
        let path = self.path(name);
        component(name).map_err(Error::io("create", &path))?;
        match mkdirat(&self.file, name, Mode::from_raw_mode(mode)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(Error::io("create", &path)(error.into())),
        }
        let found = self.child(name)?;
        found.ok_or_else(|| Error::io("open", &path)(io::ErrorKind::NotFound.into()))
    }

    /// Makes sure that what is in the directory was put there by us or by root: who could write to it could
    /// name any process as that of a guest. Where `sticky` says so, others may if they cannot replace what
    /// is ours, as in `/tmp`.
    ///
    /// # Errors
    ///
    /// When it is not so.
    pub fn check_ours(&self, sticky: bool) -> Result<()> {
        let metadata = self
            .file
            .metadata()
            .map_err(Error::io("examine", &self.path))?;
        let (owner, us) = (metadata.uid(), geteuid().as_raw());
        if owner != us && owner != 0 {
            let path = self.path.clone();
            return Err(Error::Owner { path, owner, us });
        }
        let mode = metadata.mode() & 0o7777;
        let is_safe = mode & 0o022 == 0 || sticky && mode & 0o1000 != 0;
        if is_safe {
            return Ok(());
        }
        Err(Error::Writable {
            path: self.path.clone(),
            mode,
        })
    }

    /// Returns the names of what is in the directory.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn names(&self) -> Result<Vec<OsString>> {
        let read = || -> io::Result<_> {
            let mut names = Vec::new();
            for entry in Dir::read_from(&self.file)? {
                let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
                if name != "." && name != ".." {
                    names.push(name);
                }
            }
            Ok(names)
        };
        read().map_err(Error::io("read", &self.path))
    }

    /// Opens a file to read it; [`None`] if there is none.
    ///
    /// # Errors
    ///
    /// When it is a link or cannot be opened.
    pub fn file(&self, name: &str) -> Result<Option<File>> {
        // Whatever it is, opening it must not wait.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(self.open_below(name, flags)?.map(File::from))
    }

    /// Returns the open directory.
    pub fn handle(&self) -> &File {
        &self.file
    }

    /// Reads a file; [`None`] if there is none.
    ///
    /// # Errors
    ///
    /// When it is a link or no small file, or cannot be read.
    pub fn read(&self, name: &str) -> Result<Option<String>> {
        let Some(file) = self.file(name)? else {
            return Ok(None);
        };
        let read = || {
            let metadata = file.metadata()?;
            if !metadata.is_file() || metadata.len() > MAX_BYTES {
                let reason = format!("it is not a file of at most {MAX_BYTES} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
            let mut text = String::new();
            file.take(MAX_BYTES).read_to_string(&mut text)?;
            Ok(Some(text))
        };
        read().map_err(Error::io("read", &self.path(name)))
    }

    /// Returns what is known about a file, or about a link itself.
    ///
    /// # Errors
    ///
    /// When there is nothing of this name, or it cannot be examined.
    pub fn metadata(&self, name: &str) -> io::Result<Metadata> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat(&self.file, component(name)?, flags, Mode::empty())?;
        File::from(opened).metadata()
    }

    /// Returns whether there is something of a name, be it a link that leads nowhere.
    pub fn has(&self, name: &str) -> bool {
        self.metadata(name).is_ok()
    }

    /// Returns where a link leads to; [`None`] if there is none.
    ///
    /// # Errors
    ///
    /// When it is no link, or cannot be read.
    pub fn read_link(&self, name: &str) -> io::Result<Option<PathBuf>> {
        match readlinkat(&self.file, component(name)?, Vec::new()) {
            Ok(target) => Ok(Some(OsStr::from_bytes(target.to_bytes()).into())),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn open_below(&self, name: impl AsRef<Path>, flags: OFlags) -> Result<Option<OwnedFd>> {
        let name = name.as_ref();
        let path = || self.path.join(name);
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let opened = match openat2(&self.file, name, flags, Mode::empty(), resolve) {
            // A kernel before 5.6, or a sandbox. A name of ours has one component.
            Err(Errno::NOSYS) => openat(&self.file, name, flags | OFlags::NOFOLLOW, Mode::empty()),
            opened => opened,
        };
        match opened {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::LOOP) => Err(Error::Link(path())),
            Err(error) => Err(Error::io("open", &path())(error.into())),
        }
    }
}

/// Makes sure that a name is that of something in a directory, and does not lead out of it.
fn component<N: AsRef<OsStr> + ?Sized>(name: &N) -> io::Result<&OsStr> {
    let name = name.as_ref();
    let mut components = Path::new(name).components();
    match (components.next(), components.next()) {
        (Some(Component::Normal(only)), None) if only == name => Ok(name),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{name:?} is not a name in a directory"),
        )),
    }
}
