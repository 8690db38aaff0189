// SPDX-License-Identifier: GPL-2.0

//! A verification that need not be done again.
//!
//! Hashing all files takes longer than the rest of an IPL. After a successful verification there
//! is a stamp beside them that says which files exactly it was about. Whatever happens to a file,
//! its change time tells, because nobody can set that.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;

use onecopy_directory::Directory;
use onecopy_directory::Manner;
use serde::Deserialize;
use serde::Serialize;

use crate::manifest::Manifest;

/// Name of the file.
const FILE: &str = "verified";

/// The files that were verified, with the digests that they must have.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    files: Vec<Identity>,
}

/// Which file it is, and which content of it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    name: String,
    sha256: String,
    device: u64,
    inode: u64,
    size_bytes: u64,
    /// Seconds and nanoseconds since 1970.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Describes the files as they are now.
    pub(crate) fn of(directory: &Directory, manifest: &Manifest) -> io::Result<Self> {
        let identity = |file: &crate::manifest::SavedFile| {
            let metadata = directory.metadata(&file.name)?;
            Ok(Identity::new(&file.name, &file.sha256, &metadata))
        };
        let files: io::Result<_> = manifest.files.iter().map(identity).collect();
        Ok(Self { files: files? })
    }

    /// Returns whether these files were verified.
    pub(crate) fn is_known(&self, directory: &Directory) -> bool {
        let read = || serde_json::from_str(&directory.read(FILE).ok()??).ok();
        let known: Option<Self> = read();
        known.as_ref() == Some(self)
    }

    /// Remembers that these files were verified.
    pub(crate) fn remember(&self, directory: &Directory) -> io::Result<()> {
        // Another process may read at any time, so the file appears complete or not at all.
        directory.replace_shared(FILE, &serde_json::to_vec(self)?, Manner::PRIVATE)
    }
}

impl Identity {
    fn new(name: &str, sha256: &str, metadata: &Metadata) -> Self {
        Self {
            name: name.to_owned(),
            sha256: sha256.to_owned(),
            device: metadata.dev(),
            inode: metadata.ino(),
            size_bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::manifest::tests::manifest;

    fn generation() -> (tempfile::TempDir, Directory, Manifest) {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::open(root.path()).unwrap().unwrap();
        let manifest = manifest();
        for file in &manifest.files {
            fs::write(directory.path(&file.name), "content").unwrap();
        }
        (root, directory, manifest)
    }

    #[test]
    fn what_was_verified_is_known_until_a_file_changes() {
        let (_root, directory, manifest) = generation();
        let stamp = Stamp::of(&directory, &manifest).unwrap();
        assert!(!stamp.is_known(&directory));
        stamp.remember(&directory).unwrap();
        assert!(Stamp::of(&directory, &manifest)
            .unwrap()
            .is_known(&directory));

        // The clock of a file system ticks every some milliseconds.
        thread::sleep(Duration::from_millis(20));
        let file = directory.path("state");
        let before = file.metadata().unwrap();
        fs::write(&file, "CONTENT").unwrap();
        let written = fs::File::options().write(true).open(&file).unwrap();
        written.set_modified(before.modified().unwrap()).unwrap();
        assert!(!Stamp::of(&directory, &manifest)
            .unwrap()
            .is_known(&directory));
    }

    #[test]
    fn a_copy_or_another_digest_is_not_known() {
        let (_root, directory, mut manifest) = generation();
        let stamp = Stamp::of(&directory, &manifest).unwrap();
        stamp.remember(&directory).unwrap();
        let file = directory.path("state");
        fs::copy(&file, directory.path("copy")).unwrap();
        fs::rename(directory.path("copy"), &file).unwrap();
        assert!(!Stamp::of(&directory, &manifest)
            .unwrap()
            .is_known(&directory));
        Stamp::of(&directory, &manifest)
            .unwrap()
            .remember(&directory)
            .unwrap();
        manifest.files[0].sha256 = "0".repeat(64);
        assert!(!Stamp::of(&directory, &manifest)
            .unwrap()
            .is_known(&directory));
    }

    #[test]
    fn rubbish_is_no_stamp() {
        let (_root, directory, manifest) = generation();
        fs::write(directory.path(FILE), "{").unwrap();
        let stamp = Stamp::of(&directory, &manifest).unwrap();
        assert!(!stamp.is_known(&directory));
    }
}
