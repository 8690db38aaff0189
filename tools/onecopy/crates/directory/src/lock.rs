// SPDX-License-Identifier: GPL-2.0

//! Locks of files and directories that are waited for until a deadline.

use std::fs::File;
use std::io;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use rustix::fs::flock;
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::Directory;
use crate::error::Error;
use crate::Result;

/// How long another process may hold the lock of a directory: it writes some kilobytes.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How often a held lock is tried again.
const RETRY: Duration = Duration::from_millis(10);

/// What is asked of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Others may read too.
    Shared,
    /// Nobody else.
    Exclusive,
}

/// Locks a file for as long as it is open, here or in a process that it was sent to; `false` if somebody
/// else has a lock that forbids it.
///
/// # Errors
///
/// When it cannot be locked at all.
pub fn try_lock(file: &File, sharing: Sharing) -> io::Result<bool> {
    let operation = match sharing {
        Sharing::Shared => FlockOperation::NonBlockingLockShared,
        Sharing::Exclusive => FlockOperation::NonBlockingLockExclusive,
    };
    match flock(file, operation) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// As [`try_lock`], and tries again until the time is over.
///
/// # Errors
///
/// As there.
pub fn lock_within(file: &File, sharing: Sharing, timeout: Duration) -> io::Result<bool> {
    let start = Instant::now();
    loop {
        match try_lock(file, sharing) {
            Ok(false) if start.elapsed() < timeout => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
        thread::sleep(RETRY);
    }
}

impl Directory {
    /// Waits for the lock, which is held for as long as this directory is open.
    ///
    /// # Errors
    ///
    /// When somebody else has it for more than a minute.
    pub fn lock(&self, sharing: Sharing) -> Result<()> {
        match lock_within(&self.file, sharing, TIMEOUT) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::Locked {
                path: self.path.clone(),
                waited: TIMEOUT,
            }),
            Err(error) => Err(Error::io("lock", &self.path)(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_exclude_writers() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::open(root.path()).unwrap().unwrap();
        let again = directory.again().unwrap();
        let third = directory.again().unwrap();
        directory.lock(Sharing::Shared).unwrap();
        again.lock(Sharing::Shared).unwrap();
        assert!(!try_lock(&third.file, Sharing::Exclusive).unwrap());
        drop((directory, again));
        third.lock(Sharing::Exclusive).unwrap();
    }

    #[test]
    fn a_lock_is_waited_for_until_the_deadline() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::open(root.path()).unwrap().unwrap();
        let again = directory.again().unwrap();
        directory.lock(Sharing::Exclusive).unwrap();
        let start = Instant::now();
        let short = Duration::from_millis(50);
        assert!(!lock_within(again.handle(), Sharing::Shared, short).unwrap());
        assert!(start.elapsed() >= short);
        let holder = thread::spawn(move || {
            thread::sleep(short);
            drop(directory);
        });
        assert!(lock_within(again.handle(), Sharing::Shared, TIMEOUT).unwrap());
        assert!(start.elapsed() >= 2 * short);
        holder.join().unwrap();
    }
}
