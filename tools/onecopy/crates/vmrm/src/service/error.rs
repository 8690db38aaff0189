// SPDX-License-Identifier: GPL-2.0

//! Why the manager does not work.

use std::io;
use std::path::PathBuf;

use crate::pressure::PressureError;

/// Why the manager does not work.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// It cannot be known which guests run.
    #[error(transparent)]
    Guests(#[from] onecopy_system::Error),
    /// The memory of the host is not known.
    #[error(transparent)]
    Pressure(#[from] PressureError),
    /// Another one manages the same guests.
    #[error("Another vmrm manages the guests of {}", .run.display())]
    Busy {
        /// The run directory.
        run: PathBuf,
    },
    /// The lock of the run directory cannot be had.
    #[error("Cannot lock {}", .path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The trace cannot be written.
    #[error("Cannot record to {}", .path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The service manager cannot be told anything.
    #[error("Cannot use the socket that NOTIFY_SOCKET names")]
    Notify(#[source] io::Error),
    /// Nobody takes what there is to say.
    #[error("Cannot write the log")]
    Say(#[source] io::Error),
}
