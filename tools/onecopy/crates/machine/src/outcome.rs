// SPDX-License-Identifier: GPL-2.0

//! How a guest ended.

use std::fmt;
use std::process::ExitStatus;

/// Why QEMU shut the guest down, as its `SHUTDOWN` event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShutdownReason {
    /// The guest switched itself off.
    GuestShutdown,
    /// The guest asked for a reset, which ends it here; a kernel panic with `panic=-1` does so.
    GuestReset,
    /// The guest panicked and said so through a panic device.
    GuestPanic,
    /// The monitor was told to quit.
    HostQmpQuit,
    /// QEMU received a signal.
    HostSignal,
    /// Any other reason, in QEMU's words.
    Other(String),
}

impl ShutdownReason {
    /// Translates QEMU's `ShutdownCause`.
    pub(crate) fn from_qmp(word: &str) -> Self {
        match word {
            "guest-shutdown" => Self::GuestShutdown,
            "guest-reset" => Self::GuestReset,
            "guest-panic" => Self::GuestPanic,
            "host-qmp-quit" => Self::HostQmpQuit,
            "host-signal" => Self::HostSignal,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for ShutdownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GuestShutdown => "the guest switched itself off",
            Self::GuestReset => "the guest asked for a reset",
            Self::GuestPanic => "the guest panicked",
            Self::HostQmpQuit => "QEMU was told to quit",
            Self::HostSignal => "QEMU was ended by a signal",
            Self::Other(word) => word,
        })
    }
}

/// The end of a QEMU process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Exit status of the process.
    pub status: ExitStatus,
    /// Reason of the shutdown, when QEMU announced one before it ended.
    pub reason: Option<ShutdownReason>,
}

impl Outcome {
    /// Whether the guest switched itself off and QEMU found nothing wrong.
    pub fn is_clean_shutdown(&self) -> bool {
        self.status.success() && self.reason == Some(ShutdownReason::GuestShutdown)
    }

    /// Returns the value that the guest stored to the `isa-debug-exit` port, if it ended so.
    pub fn debug_exit_value(&self) -> Option<u32> {
        let code = u32::try_from(self.status.code()?).ok()?;
        // QEMU calls this store a shutdown by the guest; older versions ended without a word.
        let by_guest = matches!(self.reason, None | Some(ShutdownReason::GuestShutdown));
        (code % 2 == 1 && by_guest).then_some(code / 2)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => write!(f, "{reason} ({})", self.status),
            None => write!(f, "{}", self.status),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn outcome(wait_status: i32, reason: Option<ShutdownReason>) -> Outcome {
        Outcome {
            status: ExitStatus::from_raw(wait_status),
            reason,
        }
    }

    #[test]
    fn only_a_guest_shutdown_with_status_zero_is_clean() {
        assert!(outcome(0, Some(ShutdownReason::GuestShutdown)).is_clean_shutdown());
        assert!(!outcome(0, Some(ShutdownReason::GuestReset)).is_clean_shutdown());
        assert!(!outcome(1 << 8, Some(ShutdownReason::GuestShutdown)).is_clean_shutdown());
        assert!(!outcome(0, None).is_clean_shutdown());
    }

    #[test]
    fn debug_exit_value_is_half_of_an_odd_status() {
        assert_eq!(outcome(33 << 8, None).debug_exit_value(), Some(16));
        let shutdown = outcome(33 << 8, Some(ShutdownReason::GuestShutdown));
        assert_eq!(shutdown.debug_exit_value(), Some(16));
        assert_eq!(outcome(0, None).debug_exit_value(), None);
        assert_eq!(
            outcome(9, None).debug_exit_value(),
            None,
            "killed by SIGKILL"
        );
        let announced = outcome(33 << 8, Some(ShutdownReason::GuestReset));
        assert_eq!(announced.debug_exit_value(), None);
    }
}
