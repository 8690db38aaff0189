// SPDX-License-Identifier: GPL-2.0

//! The directory of a machine, for its sockets and the log of its console.
//!
//! It is among the temporary files, and goes with the machine, unless the process that has it is killed.
//! That process has it locked; a lock ends with its process, so a directory without one is nobody's.

use std::env;
use std::fs;
use std::fs::Permissions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::flock;
use rustix::fs::fstat;
use rustix::fs::lstat;
use rustix::fs::open;
use rustix::fs::FlockOperation;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::geteuid;
use tempfile::TempDir;

/// How the names of the directories begin.
const PREFIX: &str = "onecopy-qemu-";

/// How often somebody may remove a directory before we have locked it.
const ATTEMPTS: u32 = 100;

/// A directory that is removed with this value.
// Fields are dropped in this order: the directory goes while it is locked.
#[derive(Debug)]
pub(super) struct Place {
    directory: TempDir,
    /// Nothing where the file system has no locks: if we are killed, the directory stays.
    _lock: Option<OwnedFd>,
}

impl Place {
    /// Makes a directory among the temporary files that only we can enter; where QEMU has another user, it
    /// can be passed by all, but only we can look into it, or lock it.
    pub(super) fn create(is_shared: bool) -> io::Result<Self> {
        Self::create_in(&env::temp_dir(), is_shared)
    }

    fn create_in(parent: &Path, is_shared: bool) -> io::Result<Self> {
        let mode = if is_shared { 0o711 } else { 0o700 };
        for _ in 0..ATTEMPTS {
            let mut builder = tempfile::Builder::new();
            builder.permissions(Permissions::from_mode(mode));
            let directory = builder.prefix(PREFIX).tempdir_in(parent)?;
            // Who looks for directories of killed processes may have taken it for one.
            let lock = match lock(directory.path(), FlockOperation::NonBlockingLockShared) {
                Ok(Some(lock)) => Some(lock),
                Ok(None) => continue,
                Err(error) if has_no_locks(&error) => None,
                Err(error) => return Err(error),
            };
            return Ok(Self {
                directory,
                _lock: lock,
            });
        }
        Err(io::Error::from(io::ErrorKind::ResourceBusy))
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Returns the directories of machines among the temporary files whose process was killed: those of our
/// user, in order.
///
/// # Errors
///
/// When the directory of temporary files cannot be read.
pub fn abandoned() -> io::Result<Vec<PathBuf>> {
    abandoned_in(&env::temp_dir())
}

fn abandoned_in(parent: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_one = name.as_encoded_bytes().starts_with(PREFIX.as_bytes());
        if is_one && is_abandoned(&entry.path()) {
            paths.push(entry.path());
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

/// Removes a directory that [`abandoned`] has found, if it still is; says whether it was.
///
/// # Errors
///
/// When it cannot be removed.
pub fn remove_abandoned(path: &Path) -> io::Result<bool> {
    // Whoever has just made a directory of this name finds it locked, and makes another.
    let Ok(Some(_lock)) = seize(path) else {
        return Ok(false);
    };
    fs::remove_dir_all(path)?;
    Ok(true)
}

/// What cannot be looked at is not known to be abandoned.
fn is_abandoned(path: &Path) -> bool {
    matches!(seize(path), Ok(Some(_)))
}

/// Locks a directory of ours that nobody has; [`None`] if somebody has it, or it is another user's.
fn seize(path: &Path) -> io::Result<Option<OwnedFd>> {
    let lock = lock(path, FlockOperation::NonBlockingLockExclusive)?;
    let Some(lock) = lock else { return Ok(None) };
    let is_ours = fstat(&lock)?.st_uid == geteuid().as_raw();
    Ok(is_ours.then_some(lock))
}

/// Whether the file system is one whose files cannot be locked.
fn has_no_locks(error: &io::Error) -> bool {
    let errors = [Errno::OPNOTSUPP, Errno::NOLCK, Errno::NOSYS, Errno::INVAL];
    Errno::from_io_error(error).is_some_and(|error| errors.contains(&error))
}

/// Locks a directory; [`None`] if somebody has the lock, or it is not there any more.
fn lock(path: &Path, operation: FlockOperation) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = match open(path, flags, Mode::empty()) {
        Ok(directory) => directory,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match flock(&directory, operation) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let inode = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
    let (here, there) = (fstat(&directory)?, lstat(path).map(inode));
    Ok((there == Ok(inode(here))).then_some(directory))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_directory_is_abandoned_when_its_process_has_ended_without_removing_it() {
        let parent = tempfile::tempdir().unwrap();
        let parent = parent.path();
        let Place { directory, _lock } = Place::create_in(parent, false).unwrap();
        let path = directory.keep();
        fs::write(path.join("qmp"), "").unwrap();
        assert!(abandoned_in(parent).unwrap().is_empty());
        assert!(!remove_abandoned(&path).unwrap() && path.exists());
        // As the end of the process does it.
        drop(_lock);
        assert_eq!(abandoned_in(parent).unwrap(), [&*path]);
        assert!(remove_abandoned(&path).unwrap());
        assert!(!path.exists());
        assert!(!remove_abandoned(&path).unwrap(), "it is gone");
    }

    #[test]
    fn a_directory_goes_with_its_value() {
        let parent = tempfile::tempdir().unwrap();
        for (is_shared, expected) in [(false, 0o700), (true, 0o711)] {
            let place = Place::create_in(parent.path(), is_shared).unwrap();
            let path = place.path().to_owned();
            let mode = path.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, expected);
            drop(place);
            assert!(!path.exists());
        }
    }

    #[test]
    fn other_names_links_and_files_are_nobodys_directories() {
        let parent = tempfile::tempdir().unwrap();
        let parent = parent.path();
        fs::create_dir(parent.join("onecopy-x")).unwrap();
        fs::write(parent.join("onecopy-qemu-file"), "").unwrap();
        let link = parent.join("onecopy-qemu-link");
        symlink(parent.join("onecopy-x"), &link).unwrap();
        assert!(abandoned_in(parent).unwrap().is_empty());
        assert!(!remove_abandoned(&link).unwrap());
        assert!(parent.join("onecopy-x").exists());
    }

    #[test]
    fn one_that_is_just_being_removed_is_not_taken() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("onecopy-qemu-x");
        fs::create_dir(&path).unwrap();
        let remover = seize(&path).unwrap();
        assert!(remover.is_some());
        let taken = || lock(&path, FlockOperation::NonBlockingLockShared).unwrap();
        assert!(taken().is_none());
        fs::remove_dir(&path).unwrap();
        assert!(taken().is_none());
    }
}
