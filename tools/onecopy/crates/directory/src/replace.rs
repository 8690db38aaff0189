// SPDX-License-Identifier: GPL-2.0

//! Replacing files as a whole: others see the old content or the new one.

use std::ffi::OsStr;
use std::fs::File;
use std::fs::Permissions;
use std::io;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::statat;
use rustix::fs::AtFlags;
use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::rand::getrandom;
use rustix::rand::GetRandomFlags;

use super::component;
use super::Directory;
use crate::error::Error;
use crate::Result;

/// What the name of a file begins with that is being written. Who has the lock of the directory uses
/// just this name, so that what a killed process has left is replaced; others add something of their own.
pub const DRAFT: &str = ".draft";

/// Who may read a file that is written, and what it survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    mode: u32,
    despite_umask: bool,
    lasting: bool,
}

impl Manner {
    /// All who the umask lets read it, and it is on disk.
    pub const LASTING: Self = Self {
        mode: 0o644,
        despite_umask: false,
        lasting: true,
    };

    /// Only us, and it need not be there when the host has crashed.
    pub const PRIVATE: Self = Self {
        mode: 0o600,
        despite_umask: false,
        lasting: false,
    };

    /// All, whatever the umask is, and it need not be there when the host has crashed.
    pub const PUBLIC: Self = Self {
        mode: 0o644,
        despite_umask: true,
        lasting: false,
    };
}

impl Directory {
    /// Replaces a file as a whole, in a [lasting](Manner::LASTING) manner. The caller has the exclusive lock.
    ///
    /// # Errors
    ///
    /// When it cannot be written; it is as it was then.
    pub fn replace(&self, name: &str, text: &str) -> Result<()> {
        self.remove_file(DRAFT)
            .and_then(|_| self.put(DRAFT, name.as_ref(), text.as_bytes(), Manner::LASTING))
            .map_err(Error::io("write", &self.path(name)))
    }

    /// Replaces a file as a whole, while others may do the same.
    ///
    /// # Errors
    ///
    /// When it cannot be written; it is as it was then.
    pub fn replace_shared(
        &self,
        name: impl AsRef<OsStr>,
        content: &[u8],
        manner: Manner,
    ) -> io::Result<()> {
        self.put(&fresh_name()?, name.as_ref(), content, manner)
    }

    /// Writes a file under another name, which nothing may have, and then renames it.
    fn put(&self, draft: &str, name: &OsStr, content: &[u8], manner: Manner) -> io::Result<()> {
        component(name)?;
        let file = self.create_file(draft, manner.mode)?;
        let write = || {
            write(file, content, manner)?;
            self.rename(draft, name)
        };
        write().inspect_err(|_| {
            // The disk may be full: nothing of it stays.
            let _ = self.remove_file(draft);
        })?;
        if manner.lasting {
            self.sync()?;
        }
        Ok(())
    }
}

/// Replaces the file at a path as [`Directory::replace_shared`] does. Links may lead to the directory that
/// it is in. What is there and is no file stays: a device, `/dev/stdout` for instance, or a link, of which
/// nobody knows whether the link or the file is meant.
///
/// # Errors
///
/// As there, when there is no such directory, and when something is there that is no file.
pub fn replace(path: &Path, content: &[u8], manner: Manner) -> io::Result<()> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    let is_directory = path.as_os_str().as_bytes().ends_with(b"/");
    let name = path.file_name().filter(|_| !is_directory);
    let name = name.ok_or(io::ErrorKind::IsADirectory)?;
    match Directory::open(above.unwrap_or(Path::new("."))) {
        Ok(Some(directory)) => {
            check_replaceable(&directory, name)?;
            directory.replace_shared(name, content, manner)
        }
        Ok(None) => Err(io::ErrorKind::NotFound.into()),
        Err(Error::Io { source, .. }) => Err(source),
        Err(error) => Err(io::Error::other(error)),
    }
}

fn check_replaceable(directory: &Directory, name: &OsStr) -> io::Result<()> {
    let found = match statat(directory.handle(), name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => FileType::from_raw_mode(found.st_mode),
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let kind = match found {
        FileType::RegularFile => return Ok(()),
        FileType::Directory => return Err(io::ErrorKind::IsADirectory.into()),
        FileType::Symlink => "a symbolic link; name the file that it leads to",
        _ => "no regular file",
    };
    let reason = format!("it is {kind}");
    Err(io::Error::new(io::ErrorKind::InvalidInput, reason))
}

fn write(mut file: File, content: &[u8], manner: Manner) -> io::Result<()> {
    file.write_all(content)?;
    if manner.despite_umask {
        file.set_permissions(Permissions::from_mode(manner.mode))?;
    }
    if manner.lasting {
        file.sync_all()?;
    }
    Ok(())
}

/// Returns a hidden name that nothing has, beginning with [`DRAFT`].
pub(crate) fn fresh_name() -> io::Result<String> {
    let mut random = [0; 8];
    // One call fills such a short buffer.
    getrandom(&mut random[..], GetRandomFlags::empty())?;
    Ok(format!("{DRAFT}-{:016x}", u64::from_ne_bytes(random)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::fs::FileTypeExt;

    use rustix::fs::mknodat;
    use rustix::fs::Mode;
    use rustix::fs::CWD;

    use super::*;

    fn open() -> (tempfile::TempDir, Directory) {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::create(&root.path().join("a/b")).unwrap();
        (root, directory)
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
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
        assert_eq!(mode(&directory.path("f")), 0o644);
        assert!(!directory.path(DRAFT).exists());
        directory.remove("f").unwrap();
        directory.remove("f").unwrap();
        assert_eq!(directory.read("f").unwrap(), None);
    }

    #[test]
    fn who_may_read_it_is_said_by_the_manner() {
        let (_root, directory) = open();
        for (manner, expected) in [
            (Manner::PRIVATE, 0o600),
            (Manner::PUBLIC, 0o644),
            (Manner::LASTING, 0o644),
        ] {
            let path = directory.path("f");
            replace(&path, b"x", manner).unwrap();
            assert_eq!(mode(&path), expected);
        }
        let other = OsStr::from_bytes(b"\xff");
        replace(&directory.location().join(other), b"", Manner::PUBLIC).unwrap();
        assert_eq!(directory.names().unwrap().len(), 2);
        replace(&directory.path("new/"), b"", Manner::PUBLIC).unwrap_err();
        let error = replace(Path::new("/nonexistent/f"), b"", Manner::PUBLIC).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_is_no_file_is_not_replaced_by_one() {
        let (_root, directory) = open();
        let fifo = directory.path("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        fs::write(directory.path("f"), "").unwrap();
        symlink("f", directory.path("link")).unwrap();
        fs::create_dir(directory.path("d")).unwrap();
        for (name, complaint) in [
            ("fifo", "it is no regular file"),
            ("link", "it is a symbolic link"),
            ("d", "directory"),
        ] {
            let error = replace(&directory.path(name), b"x", Manner::PUBLIC).unwrap_err();
            assert!(error.to_string().contains(complaint), "{error}");
        }
        replace(&directory.path("f"), b"x", Manner::PUBLIC).unwrap();
        assert_eq!(directory.names().unwrap().len(), 4);
        let kind = fifo.symlink_metadata().unwrap().file_type();
        assert!(kind.is_fifo());
    }

    #[test]
    fn nothing_stays_of_what_cannot_be_written() {
        let (_root, directory) = open();
        directory.create_child("d").unwrap();
        directory.replace("d", "no file can be here").unwrap_err();
        directory
            .replace_shared("d", b"", Manner::PRIVATE)
            .unwrap_err();
        directory
            .replace_shared("../d", b"", Manner::PRIVATE)
            .unwrap_err();
        assert_eq!(directory.names().unwrap(), ["d"]);
    }

    #[test]
    fn a_link_is_replaced_and_not_followed() {
        let (root, directory) = open();
        let outside = root.path().join("outside");
        fs::write(&outside, "secret").unwrap();
        for name in ["f", DRAFT] {
            symlink(&outside, directory.path(name)).unwrap();
        }
        directory.replace("f", "ours").unwrap();
        symlink(&outside, directory.path("g")).unwrap();
        directory
            .replace_shared("g", b"ours", Manner::PUBLIC)
            .unwrap();
        for name in ["f", "g"] {
            assert_eq!(directory.read(name).unwrap().as_deref(), Some("ours"));
        }
        assert_eq!(fs::read_to_string(outside).unwrap(), "secret");
    }
}
