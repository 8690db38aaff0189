// SPDX-License-Identifier: GPL-2.0

//! The lock of a directory.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use onecopy_directory::lock_within;
use onecopy_directory::Directory;
use onecopy_directory::Sharing;

use crate::error::Error;
use crate::Result;

/// Name of the file that is locked.
const FILE: &str = ".lock";

/// How long another process may hold the lock; it writes one block and renames.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A held lock; it is released when this is dropped, at the latest when the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the right to publish generations and to remove leftovers: one process has it.
    ///
    /// # Errors
    ///
    /// When somebody has it for more than a minute, or the directory cannot be written to.
    pub fn exclusive(directory: &Path) -> Result<Self> {
        Self::exclusive_within(directory, TIMEOUT)
    }

    /// As [`Self::exclusive`], for who cannot wait so long.
    ///
    /// # Errors
    ///
    /// When somebody has it for longer than `timeout`, or the directory cannot be written to.
    pub fn exclusive_within(directory: &Path, timeout: Duration) -> Result<Self> {
        let path = directory.join(FILE);
        let missing = || Error::io("open", &path)(io::ErrorKind::NotFound.into());
        let directory = Directory::open(directory)?.ok_or_else(missing)?;
        Self::wait(&directory, Sharing::Exclusive, timeout)
    }

    /// As [`Self::exclusive`], in a directory that is open.
    pub(crate) fn exclusive_in(directory: &Directory) -> Result<Self> {
        Self::wait(directory, Sharing::Exclusive, TIMEOUT)
    }

    /// Waits until nobody has the exclusive lock, and keeps it from everybody.
    pub(crate) fn shared_in(directory: &Directory) -> Result<Self> {
        Self::wait(directory, Sharing::Shared, TIMEOUT)
    }

    fn wait(directory: &Directory, sharing: Sharing, timeout: Duration) -> Result<Self> {
        let file = directory.lock_file(FILE, 0o644)?;
        let path = directory.path(FILE);
        match lock_within(&file, sharing, timeout) {
            Ok(true) => Ok(Self { _file: file }),
            Ok(false) => Err(Error::Locked {
                path,
                waited: timeout,
            }),
            Err(error) => Err(Error::io("lock", &path)(error)),
        }
    }
}
