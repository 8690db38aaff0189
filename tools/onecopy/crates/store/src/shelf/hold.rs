// SPDX-License-Identifier: GPL-2.0

//! Holding a generation, and who does.

use std::fs;
use std::fs::File;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use onecopy_directory::try_lock;
use onecopy_directory::Directory;
use onecopy_directory::Sharing;
use rustix::fs::major;
use rustix::fs::minor;

use crate::error::Error;
use crate::Result;

/// Where the kernel lists all locks.
const LOCKS: &str = "/proc/locks";

/// Takes a generation into use that is open; `false` if it is being removed. It stays for as long as the
/// open file does, in this process or in one that it was sent to.
///
/// # Errors
///
/// When it cannot be locked.
pub fn hold(file: &File, path: &Path) -> Result<bool> {
    let locked = try_lock(file, Sharing::Shared);
    Ok(locked.map_err(Error::io("lock", path))? && is_same(file, path))
}

/// What nobody else can take into use while this is there.
#[derive(Debug)]
pub(super) struct Seized {
    _file: Option<File>,
}

/// Locks a generation that nobody holds, so that nobody does; [`None`] if somebody holds it.
pub(super) fn seize(directory: &Directory, name: &str) -> Result<Option<Seized>> {
    let path = directory.path(name);
    let file = match directory.file(name) {
        Ok(Some(file)) => file,
        Ok(None) => return Err(Error::io("open", &path)(io::ErrorKind::NotFound.into())),
        // A link is no generation, so nobody holds it, and what it leads to is not ours.
        Err(onecopy_directory::Error::Link(_)) => return Ok(Some(Seized { _file: None })),
        Err(error) => return Err(error.into()),
    };
    let locked = try_lock(&file, Sharing::Exclusive).map_err(Error::io("lock", &path))?;
    Ok(locked.then_some(Seized { _file: Some(file) }))
}

/// Returns the processes that have taken a generation into use and still live, as far as the kernel
/// shows them: those of other containers it does not.
///
/// # Errors
///
/// When the list of locks cannot be read.
pub fn holders(path: &Path) -> Result<Vec<u32>> {
    let metadata = fs::metadata(path).map_err(Error::io("examine", path))?;
    let locks = Path::new(LOCKS);
    let text = fs::read_to_string(locks).map_err(Error::io("read", locks))?;
    let mut holders: Vec<u32> = text
        .lines()
        .filter_map(|line| holder(line, &key(&metadata)))
        .filter(|&pid| has_open(pid, &metadata))
        .collect();
    holders.sort_unstable();
    holders.dedup();
    Ok(holders)
}

/// Returns whether a process has a file open. A lock is listed under the number of the process that took
/// it; who sent the file to another process may be gone, and the number another's.
fn has_open(pid: u32, file: &Metadata) -> bool {
    match fs::read_dir(format!("/proc/{pid}/fd")) {
        Ok(entries) => entries.flatten().any(|entry| {
            let opened = fs::metadata(entry.path());
            opened.is_ok_and(|opened| inode(&opened) == inode(file))
        }),
        // Somebody else's process is not looked into.
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    }
}

/// Returns how the list of locks names a file.
fn key(metadata: &Metadata) -> String {
    let (device, inode) = (metadata.dev(), metadata.ino());
    format!("{:02x}:{:02x}:{inode}", major(device), minor(device))
}

/// Returns the process of a line that is a shared lock of a whole file.
fn holder(line: &str, key: &str) -> Option<u32> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        [_, "FLOCK", _, "READ", pid, file, ..] if *file == key => pid.parse().ok(),
        _ => None,
    }
}

/// Returns whether a path still leads to a file.
fn is_same(file: &File, path: &Path) -> bool {
    let of = |metadata: io::Result<Metadata>| metadata.as_ref().map(inode).ok();
    let here = of(file.metadata());
    here.is_some() && here == of(fs::metadata(path))
}

fn inode(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_shared_locks_of_the_file_have_holders() {
        for (line, expected) in [
            ("1: FLOCK  ADVISORY  READ 4711 fe:01:131 0 EOF", Some(4711)),
            ("1: FLOCK  ADVISORY  WRITE 4711 fe:01:131 0 EOF", None),
            ("1: POSIX  ADVISORY  READ 4711 fe:01:131 0 EOF", None),
            ("1: FLOCK  ADVISORY  READ 4711 fe:01:1310 0 EOF", None),
            ("1: -> FLOCK  ADVISORY  READ 4711 fe:01:131 0 EOF", None),
            ("", None),
        ] {
            assert_eq!(holder(line, "fe:01:131"), expected, "{line}");
        }
    }

    #[test]
    fn who_holds_a_generation_is_known_until_he_lets_go() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("1.seg");
        fs::write(&path, "").unwrap();
        let file = File::open(&path).unwrap();
        assert!(hold(&file, &path).unwrap());
        assert_eq!(holders(&path).unwrap(), [std::process::id()]);
        let open = Directory::open(directory.path()).unwrap().unwrap();
        let is_seized = || seize(&open, "1.seg").unwrap().is_some();
        assert!(!is_seized());
        drop(file);
        assert_eq!(holders(&path).unwrap(), [0; 0]);
        assert!(is_seized());
    }

    #[test]
    fn what_is_gone_or_another_one_is_not_held() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("1.seg");
        fs::write(&path, "").unwrap();
        let file = File::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(!hold(&file, &path).unwrap());
        fs::write(&path, "").unwrap();
        assert!(!hold(&file, &path).unwrap());
    }
}
