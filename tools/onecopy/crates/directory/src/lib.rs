// SPDX-License-Identifier: GPL-2.0

//! A directory that is opened once: files in it are read, replaced and removed by their names
//! there, without following links, whatever happens to the path meanwhile.

mod error;

use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use rustix::fs::flock;
use rustix::fs::mkdirat;
use rustix::fs::openat;
use rustix::fs::openat2;
use rustix::fs::renameat;
use rustix::fs::unlinkat;
use rustix::fs::AtFlags;
use rustix::fs::Dir;
use rustix::fs::FlockOperation;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::ResolveFlags;
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::process::geteuid;

pub use self::error::Error;

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// How long a text may be that is read as a whole, in bytes.
pub const MAX_BYTES: u64 = 1 << 20;

/// How long another process may hold the lock: it writes some kilobytes.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a held lock is tried again.
const RETRY: Duration = Duration::from_millis(10);

/// The name of a file that is being written. The lock makes it one at a time; what a killed process
/// has left is replaced.
const DRAFT: &str = ".draft";

/// What is asked of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Others may read too.
    Shared,
    /// Nobody else.
    Exclusive,
}

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

    /// Replaces a file as a whole. The caller has the exclusive lock.
    ///
    /// # Errors
    ///
    /// When it cannot be written; it is as it was then.
    pub fn replace(&self, name: &str, text: &str) -> Result<()> {
        self.try_replace(name, text).map_err(|error| {
            // The disk may be full: nothing of it stays.
            let _ = unlinkat(&self.file, DRAFT, AtFlags::empty());
            Error::io("write", &self.path(name))(error)
        })
    }

    fn try_replace(&self, name: &str, text: &str) -> io::Result<()> {
        match unlinkat(&self.file, DRAFT, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut draft = File::from(openat(
            &self.file,
            DRAFT,
            flags,
            Mode::from_raw_mode(0o644),
        )?);
        draft.write_all(text.as_bytes())?;
        draft.sync_all()?;
        renameat(&self.file, DRAFT, &self.file, name)?;
        self.file.sync_all()
    }

    /// Removes a file if it is there. The caller has the exclusive lock.
    ///
    /// # Errors
    ///
    /// When that fails.
    pub fn remove(&self, name: &str) -> Result<()> {
        let remove = || -> io::Result<()> {
            match unlinkat(&self.file, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => self.file.sync_all(),
                Err(error) => Err(error.into()),
            }
        };
        remove().map_err(Error::io("remove", &self.path(name)))
    }

    /// Waits for the lock, which is held for as long as this directory is open.
    ///
    /// # Errors
    ///
    /// When somebody else has it for more than a minute.
    pub fn lock(&self, sharing: Sharing) -> Result<()> {
        let operation = match sharing {
            Sharing::Shared => FlockOperation::NonBlockingLockShared,
            Sharing::Exclusive => FlockOperation::NonBlockingLockExclusive,
        };
        let start = Instant::now();
        loop {
            match flock(&self.file, operation) {
                Ok(()) => return Ok(()),
                Err(Errno::WOULDBLOCK) if start.elapsed() < LOCK_TIMEOUT => thread::sleep(RETRY),
                Err(Errno::WOULDBLOCK) => {
                    return Err(Error::Locked {
                        path: self.path.clone(),
                        waited: LOCK_TIMEOUT,
                    })
                }
                Err(error) => return Err(Error::io("lock", &self.path)(error.into())),
            }
        }
    }

    fn open_below(&self, name: &str, flags: OFlags) -> Result<Option<OwnedFd>> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let opened = match openat2(&self.file, name, flags, Mode::empty(), resolve) {
            // A kernel before 5.6, or a sandbox. A name of ours has one component.
            Err(Errno::NOSYS) => openat(&self.file, name, flags | OFlags::NOFOLLOW, Mode::empty()),
            opened => opened,
        };
        match opened {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::LOOP) => Err(Error::Link(self.path(name))),
            Err(error) => Err(Error::io("open", &self.path(name))(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn open() -> (tempfile::TempDir, Directory) {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::create(&root.path().join("a/b")).unwrap();
        (root, directory)
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_removed() {
        let (_root, directory) = open();
        assert_eq!(directory.read("f").unwrap(), None);
        fs::write(directory.path(DRAFT), "what a killed process has left").unwrap();
        for text in ["one", "two"] {
            directory.replace("f", text).unwrap();
            assert_eq!(directory.read("f").unwrap().as_deref(), Some(text));
        }
        let mode = directory.path("f").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        assert!(!directory.path(DRAFT).exists());
        directory.remove("f").unwrap();
        directory.remove("f").unwrap();
        assert_eq!(directory.read("f").unwrap(), None);
    }

    #[test]
    fn links_are_not_followed() {
        let (root, directory) = open();
        let outside = root.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("f"), "secret").unwrap();
        symlink(&outside, directory.path("child")).unwrap();
        symlink(outside.join("f"), directory.path("f")).unwrap();
        for error in [
            directory.read("f").unwrap_err(),
            directory.child("child").unwrap_err(),
            directory.create_child("child").unwrap_err(),
        ] {
            assert!(matches!(error, Error::Link(_)), "{error}");
        }
        // A draft is never written through one.
        symlink(outside.join("f"), directory.path(DRAFT)).unwrap();
        directory.replace("f", "ours").unwrap();
        assert_eq!(fs::read_to_string(outside.join("f")).unwrap(), "secret");
        assert_eq!(directory.read("f").unwrap().as_deref(), Some("ours"));
    }

    #[test]
    fn what_is_no_small_file_is_refused() {
        let (_root, directory) = open();
        fs::create_dir(directory.path("d")).unwrap();
        let large = File::create(directory.path("large")).unwrap();
        large.set_len(MAX_BYTES + 1).unwrap();
        for name in ["d", "large"] {
            let error = directory.read(name).unwrap_err();
            assert!(error.to_string().starts_with("Cannot read "), "{error}");
        }
    }

    #[test]
    fn the_directory_stays_when_its_path_leads_elsewhere() {
        let (root, directory) = open();
        directory.replace("f", "ours").unwrap();
        fs::rename(root.path().join("a"), root.path().join("moved")).unwrap();
        assert_eq!(directory.read("f").unwrap().as_deref(), Some("ours"));
    }

    #[test]
    fn readers_exclude_writers() {
        let (_root, directory) = open();
        let again = Directory::open(&directory.path).unwrap().unwrap();
        let third = Directory::open(&directory.path).unwrap().unwrap();
        directory.lock(Sharing::Shared).unwrap();
        again.lock(Sharing::Shared).unwrap();
        let exclusive = FlockOperation::NonBlockingLockExclusive;
        assert_eq!(flock(&third.file, exclusive), Err(Errno::WOULDBLOCK));
        drop((directory, again));
        third.lock(Sharing::Exclusive).unwrap();
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_not_ours() {
        let (_root, directory) = open();
        let check = |mode: u32, sticky: bool| {
            let permissions = fs::Permissions::from_mode(mode);
            fs::set_permissions(&directory.path, permissions).unwrap();
            directory.check_ours(sticky)
        };
        check(0o755, false).unwrap();
        check(0o1777, true).unwrap();
        for (mode, sticky) in [(0o775, true), (0o757, true), (0o1777, false)] {
            let error = check(mode, sticky).unwrap_err();
            assert!(matches!(error, Error::Writable { .. }), "{error}");
        }
        if !geteuid().is_root() {
            return;
        }
        check(0o755, false).unwrap();
        std::os::unix::fs::chown(&directory.path, Some(12345), None).unwrap();
        let error = directory.check_ours(true).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Owner {
                    owner: 12345,
                    us: 0,
                    ..
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn names_are_those_of_the_open_directory() {
        let (_root, directory) = open();
        directory.replace("f", "ours").unwrap();
        directory.create_child("d").unwrap();
        let mut names = directory.names().unwrap();
        names.sort();
        assert_eq!(names, ["d", "f"]);
        let mode = |name: &str| directory.path(name).metadata().unwrap().mode() & 0o777;
        directory.create_child_with("private", 0o700).unwrap();
        assert_eq!(mode("private"), 0o700);
    }
}
