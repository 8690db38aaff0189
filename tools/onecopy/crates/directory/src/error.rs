// SPDX-License-Identifier: GPL-2.0

//! What can go wrong with a directory.

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

/// A failure of an operation on a directory or on a file in it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("Cannot {doing} {}", .path.display())]
    Io {
        /// What was being done, as a verb.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// It is held by another process.
    #[error("{} is locked by another process for more than {} s", .path.display(), .waited.as_secs())]
    Locked {
        /// The directory.
        path: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// There is a link where a file or a directory must be.
    #[error("{} is a symbolic link, which is not followed; put the file itself there", .0.display())]
    Link(PathBuf),
    /// Somebody else could put something there.
    #[error("{} belongs to user {owner}, who could make us believe anything; choose a directory of user {us}, or remove it", .path.display())]
    Owner {
        /// The directory.
        path: PathBuf,
        /// Who has it.
        owner: u32,
        /// Who we are.
        us: u32,
    },
    /// Others can put something there.
    #[error("Others can write to {} (mode {:04o}), and make us believe anything; chmod go-w {} if it was nobody who should not", .path.display(), .mode, .path.display())]
    Writable {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

impl Error {
    /// Returns a closure for `map_err` that says what was being done to which file.
    pub fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        failure(doing, path)
    }
}

/// As [`Error::io`], for an error of which this one is a part.
pub fn failure<E: From<Error>>(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> E {
    let path = path.to_owned();
    move |source| {
        E::from(Error::Io {
            doing,
            path,
            source,
        })
    }
}
