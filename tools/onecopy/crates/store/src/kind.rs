// SPDX-License-Identifier: GPL-2.0

//! Kinds of failures: what the exit status of the command says.

use std::io;
use std::io::ErrorKind;

/// What kind of failure it is, for those who have to go on from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A system call failed, or another part did.
    Failed,
    /// There is nothing of this name.
    Unknown,
    /// There is, and it is in a state that does not allow what was asked for.
    State,
    /// The host does not give so much, or has no more.
    Shortage,
    /// A file is not what it should be.
    Damaged,
    /// The user, or the guest, may not do this.
    Denied,
}

impl From<&onecopy_directory::Error> for Kind {
    fn from(error: &onecopy_directory::Error) -> Self {
        use onecopy_directory::Error;

        match error {
            Error::Io { source, .. } => source.into(),
            Error::Locked { .. } => Self::State,
            Error::Link(_) => Self::Damaged,
            Error::Owner { .. } | Error::Writable { .. } => Self::Denied,
        }
    }
}

impl From<&io::Error> for Kind {
    fn from(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Self::Denied,
            ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::OutOfMemory
            | ErrorKind::FileTooLarge => Self::Shortage,
            _ => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn system_calls_say_why_they_have_failed() {
        for (errno, kind) in [
            (Errno::PERM, Kind::Denied),
            (Errno::ACCESS, Kind::Denied),
            (Errno::ROFS, Kind::Denied),
            (Errno::NOSPC, Kind::Shortage),
            (Errno::NOMEM, Kind::Shortage),
            (Errno::NOENT, Kind::Failed),
            (Errno::IO, Kind::Failed),
        ] {
            assert_eq!(Kind::from(&io::Error::from(errno)), kind, "{errno}");
        }
    }
}
