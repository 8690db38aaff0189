// SPDX-License-Identifier: GPL-2.0

//! The lock of a directory.

use std::fs::File;
use std::path::Path;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use rustix::fs::flock;
use rustix::fs::open;
use rustix::fs::FlockOperation;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::error::Error;
use crate::Result;

/// How long another process may hold the lock; it writes one block and renames.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How often a held lock is tried again.
const RETRY: Duration = Duration::from_millis(10);

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
        let operation = FlockOperation::NonBlockingLockExclusive;
        Self::wait(directory, operation, timeout)
    }

    /// Waits until nobody has the exclusive lock, and keeps it from everybody.
    pub(crate) fn shared(directory: &Path) -> Result<Self> {
        Self::wait(directory, FlockOperation::NonBlockingLockShared, TIMEOUT)
    }

    fn wait(directory: &Path, operation: FlockOperation, timeout: Duration) -> Result<Self> {
        let path = directory.join(".lock");
        // A link could lead to a file that has nothing to do with us.
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = open(&path, flags, Mode::from_raw_mode(0o644))
            .map_err(|error| Error::io("open", &path)(error.into()))?
            .into();
        let start = Instant::now();
        loop {
            match flock(&file, operation) {
                Ok(()) => return Ok(Self { _file: file }),
                Err(Errno::WOULDBLOCK) if start.elapsed() < timeout => thread::sleep(RETRY),
                Err(Errno::WOULDBLOCK) => {
                    return Err(Error::Locked {
                        path,
                        waited: timeout,
                    })
                }
                Err(error) => return Err(Error::io("lock", &path)(error.into())),
            }
        }
    }
}
