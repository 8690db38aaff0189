// SPDX-License-Identifier: GPL-2.0

//! The file that keeps what a console says.

use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Seek;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

/// A log that only we can read. At its limit it gets the ending `.old`, in place of the one before, and a
/// new one begins.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    written_bytes: u64,
    limit_bytes: Option<u64>,
}

impl Log {
    /// Creates the file, or empties it.
    pub(crate) fn create(path: &Path, limit_bytes: Option<u64>) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            file: create(path)?,
            written_bytes: 0,
            limit_bytes,
        })
    }

    /// Adds to it.
    pub(super) fn write(&mut self, said: &[u8]) -> io::Result<()> {
        let length = said.len().try_into().unwrap_or(u64::MAX);
        let after = self.written_bytes.saturating_add(length);
        if self.limit_bytes.is_some_and(|limit| after > limit) {
            self.begin_anew()?;
        }
        self.file.write_all(said)?;
        self.written_bytes = self.written_bytes.saturating_add(length);
        Ok(())
    }

    fn begin_anew(&mut self) -> io::Result<()> {
        let mut old = OsString::from(&self.path);
        old.push(".old");
        let replaced = fs::rename(&self.path, old).and_then(|()| create(&self.path));
        match replaced {
            Ok(file) => self.file = file,
            // The limit holds all the same: the guest must not fill the disk.
            Err(_) => {
                self.file.set_len(0)?;
                self.file.rewind()?;
            }
        }
        self.written_bytes = 0;
        Ok(())
    }
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(directory: &Path) -> [String; 2] {
        ["log", "log.old"].map(|name| fs::read_to_string(directory.join(name)).unwrap_or_default())
    }

    #[test]
    fn the_last_of_it_is_kept_and_the_part_before() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = Log::create(&directory.path().join("log"), Some(10)).unwrap();
        let mut expected = [("abcdef", ""), ("abcdefghij", ""), ("k", "abcdefghij")].into_iter();
        for said in ["abcdef", "ghij", "k"] {
            log.write(said.as_bytes()).unwrap();
            let (new, old) = expected.next().unwrap();
            assert_eq!(texts(directory.path()), [new, old]);
        }
        log.write(b"0123456789").unwrap();
        assert_eq!(texts(directory.path()), ["0123456789", "k"]);
    }

    #[test]
    fn without_its_directory_the_limit_holds_too() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut log = Log::create(&path, Some(4)).unwrap();
        // Nothing can be moved onto a directory.
        fs::create_dir(directory.path().join("log.old")).unwrap();
        for said in ["abcd", "ef", "gh", "i"] {
            log.write(said.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(path).unwrap(), "i");
    }

    #[test]
    fn a_log_of_somebodys_own_grows() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = Log::create(&directory.path().join("log"), None).unwrap();
        log.write(&[b'x'; 1 << 20]).unwrap();
        log.write(&[b'x'; 1 << 20]).unwrap();
        assert_eq!(texts(directory.path())[0].len(), 2 << 20);
    }
}
