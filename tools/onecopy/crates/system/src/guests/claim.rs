// SPDX-License-Identifier: GPL-2.0

//! The directory of a guest, for as long as a process keeps that.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use onecopy_directory::Directory;
use onecopy_store::Lock;

use super::record::read_in;
use super::GuestName;
use super::Record;
use crate::error::Error;
use crate::process::Process;
use crate::Result;

/// How long others may hold the lock while a directory is to go. Who waits for the end of a keeper waits
/// longer than that.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// The directory of a guest that we keep; it goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    name: GuestName,
    path: PathBuf,
    keeper: Process,
}

impl Claim {
    /// Takes a directory whose record names `keeper`. Who drops this does not have the lock.
    pub(super) fn new(name: GuestName, path: PathBuf, keeper: Process) -> Self {
        Self { name, path, keeper }
    }

    pub(crate) fn name(&self) -> &GuestName {
        &self.name
    }

    /// Returns the path of a file in the directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads what is known about the guest; others may have added to it.
    pub(crate) fn read(&self) -> Option<Record> {
        Record::read_at(&self.path)
    }

    /// Replaces what is known about the guest.
    pub(crate) fn write(&self, record: &Record) -> Result<()> {
        record
            .write(&self.path)
            .map_err(Error::io("write to", &self.path))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // If that fails, the next guest of this name does it.
        let _ = release(&self.path, self.keeper);
    }
}

/// Removes the directory of a guest if its record still names this keeper: meanwhile it may be that of
/// another guest. The caller does not have the lock of all directories.
pub(crate) fn release(path: &Path, keeper: Process) -> Result<()> {
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    let _lock = Lock::exclusive_within(parent, RELEASE_TIMEOUT)?;
    let directory = Directory::open(parent)?;
    let name = path.file_name().and_then(OsStr::to_str);
    let (Some(directory), Some(name)) = (directory, name) else {
        return Ok(());
    };
    match read_in(&directory, name)? {
        Some(record) if record.keeper == keeper => {
            fs::remove_dir_all(path).map_err(Error::io("remove", path))
        }
        _ => Ok(()),
    }
}
