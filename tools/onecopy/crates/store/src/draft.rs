// SPDX-License-Identifier: GPL-2.0

//! Files and directories that nobody sees until they are complete, if ever.

use std::ffi::OsStr;
use std::fs;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::flock;
use rustix::fs::linkat;
use rustix::fs::open;
use rustix::fs::AtFlags;
use rustix::fs::FlockOperation;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::CWD;
use rustix::io::Errno;
use tempfile::NamedTempFile;
use tempfile::TempDir;

use crate::error::Error;
use crate::lock::Lock;
use crate::Result;

/// Hidden names of drafts, where the file system does not know files without a name, and of
/// directories for the temporary files of other programs.
const PREFIX: &str = ".draft-";

/// A file being written.
///
/// It vanishes when it is dropped, and when the process ends in any way: at once where it has no
/// name, at the next [`remove_stale`] where it has a hidden one.
#[derive(Debug)]
pub(crate) struct Draft {
    file: File,
    hidden: Option<NamedTempFile>,
}

impl Draft {
    /// Creates an empty draft in `directory`.
    pub(crate) fn create(directory: &Path) -> Result<Self> {
        match Self::create_nameless(directory) {
            Ok(Some(draft)) => Ok(draft),
            Ok(None) => Self::create_hidden(directory),
            Err(error) => Err(Error::io("create a file in", directory)(error)),
        }
    }

    /// Creates a draft without a name; `None` where the file system knows no such files.
    fn create_nameless(directory: &Path) -> io::Result<Option<Self>> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match open(directory, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => Ok(Some(Self {
                file: file.into(),
                hidden: None,
            })),
            // A file system without O_TMPFILE, or a kernel that takes it for a directory.
            Err(Errno::OPNOTSUPP | Errno::ISDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Creates a draft with a hidden name, locked for as long as we live.
    fn create_hidden(directory: &Path) -> Result<Self> {
        // Nobody may take the draft for a leftover before it is locked.
        let _guard = Lock::shared(directory)?;
        let create = || {
            let hidden = tempfile::Builder::new()
                .prefix(PREFIX)
                .tempfile_in(directory)?;
            flock(hidden.as_file(), FlockOperation::NonBlockingLockExclusive)?;
            Ok(Self {
                file: hidden.as_file().try_clone()?,
                hidden: Some(hidden),
            })
        };
        create().map_err(Error::io("create a file in", directory))
    }

    /// Returns the file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Returns a path by which another process can open the file while we live.
    pub(crate) fn path(&self) -> PathBuf {
        match &self.hidden {
            Some(hidden) => hidden.path().to_owned(),
            None => PathBuf::from(format!(
                "/proc/{}/fd/{}",
                std::process::id(),
                self.file.as_raw_fd()
            )),
        }
    }

    /// Gives the file its name; fails with `AlreadyExists` when that is taken.
    pub(crate) fn link(&self, path: &Path) -> io::Result<()> {
        let (from, flags) = match &self.hidden {
            Some(hidden) => (hidden.path().to_owned(), AtFlags::empty()),
            None => (
                format!("/proc/self/fd/{}", self.file.as_raw_fd()).into(),
                AtFlags::SYMLINK_FOLLOW,
            ),
        };
        Ok(linkat(CWD, from, CWD, path, flags)?)
    }
}

/// A hidden directory, for the temporary files of other programs or for what becomes a generation.
///
/// It vanishes when it is dropped, and at the latest when the next generation is published, unless it
/// was given another name.
#[derive(Debug)]
pub struct Scratch {
    directory: TempDir,
    _lock: File,
}

impl Scratch {
    /// Creates an empty directory in `directory`.
    ///
    /// # Errors
    ///
    /// When `directory` cannot be written to.
    pub fn create(directory: &Path) -> Result<Self> {
        let _guard = Lock::shared(directory)?;
        let create = || {
            let scratch = tempfile::Builder::new()
                .prefix(PREFIX)
                .tempdir_in(directory)?;
            let lock = File::open(scratch.path())?;
            flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
            Ok(Self {
                directory: scratch,
                _lock: lock,
            })
        };
        create().map_err(Error::io("create a directory in", directory))
    }

    /// Returns the path of the directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Removes the drafts that a killed process has left in `directory`, and returns their number.
///
/// The caller holds the exclusive lock of the directory.
pub(crate) fn remove_stale(directory: &Path) -> io::Result<usize> {
    let stale = stale(directory)?;
    for path in &stale {
        if path.symlink_metadata()?.is_dir() {
            fs::remove_dir_all(path)?;
        } else {
            fs::remove_file(path)?;
        }
    }
    Ok(stale.len())
}

/// Returns the drafts that a killed process has left in `directory`.
///
/// A draft whose process lives is locked, and none of them. The caller holds the exclusive lock of the
/// directory.
pub(crate) fn stale(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut stale = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if is_hidden_draft(&entry.file_name()) && is_abandoned(&entry.path())? {
            stale.push(entry.path());
        }
    }
    Ok(stale)
}

fn is_hidden_draft(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
}

fn is_abandoned(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        // Its owner has removed it just now.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    fn visible_names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with('.'))
            .collect()
    }

    #[test]
    fn a_draft_is_invisible_until_it_is_linked() {
        let directory = tempfile::tempdir().unwrap();
        let draft = Draft::create(directory.path()).unwrap();
        draft.file().write_all_at(b"complete", 0).unwrap();
        assert_eq!(visible_names(directory.path()), [""; 0]);
        draft.link(&directory.path().join("1.seg")).unwrap();
        drop(draft);
        assert_eq!(visible_names(directory.path()), ["1.seg"]);
        assert_eq!(
            fs::read(directory.path().join("1.seg")).unwrap(),
            b"complete"
        );
    }

    #[test]
    fn a_hidden_draft_behaves_like_a_nameless_one() {
        let directory = tempfile::tempdir().unwrap();
        let draft = Draft::create_hidden(directory.path()).unwrap();
        draft.file().write_all_at(b"complete", 0).unwrap();
        assert_eq!(fs::read(draft.path()).unwrap(), b"complete");
        draft.link(&directory.path().join("1.seg")).unwrap();
        drop(draft);
        assert_eq!(visible_names(directory.path()), ["1.seg"]);
    }

    #[test]
    fn linking_never_replaces_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("1.seg");
        fs::write(&path, "old").unwrap();
        for draft in [
            Draft::create(directory.path()),
            Draft::create_hidden(directory.path()),
        ] {
            let error = draft.unwrap().link(&path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }

    #[test]
    fn only_abandoned_drafts_are_stale() {
        let directory = tempfile::tempdir().unwrap();
        let alive = Draft::create_hidden(directory.path()).unwrap();
        let scratch = Scratch::create(directory.path()).unwrap();
        fs::write(directory.path().join(".draft-dead"), "half").unwrap();
        fs::create_dir_all(directory.path().join(".draft-gone/sub")).unwrap();
        fs::write(directory.path().join("1.seg"), "whole").unwrap();
        assert_eq!(stale(directory.path()).unwrap().len(), 2);
        assert_eq!(remove_stale(directory.path()).unwrap(), 2);
        assert!(alive.path().exists() && scratch.path().exists());
        assert!(directory.path().join("1.seg").exists());
        assert!(!directory.path().join(".draft-dead").exists());
    }

    #[test]
    fn another_process_can_open_a_draft() {
        let directory = tempfile::tempdir().unwrap();
        let draft = Draft::create(directory.path()).unwrap();
        draft.file().write_all_at(b"seen", 0).unwrap();
        let output = std::process::Command::new("cat")
            .arg(draft.path())
            .output()
            .unwrap();
        assert_eq!(output.stdout, b"seen");
    }
}
