// SPDX-License-Identifier: GPL-2.0

//! Guests that are lost to the machine below them, before or without a word of what is tested.
//!
//! Emulated SVM ends some guests by a triple fault, and lets others hang while they boot. That is told
//! from a kernel that finds something wrong, which says so, and from a test that does, which has got
//! an answer. A saved state of ours that is bad can look the same, so `onecopy-boot` bounds how many guests
//! may be lost.

use std::fmt;

use onecopy_guest::init::FIRST_LINE;
use onecopy_machine::Outcome;
use onecopy_machine::Report;
use onecopy_machine::ShutdownReason;

use crate::report::complaints;

/// How a guest was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// It was reset, and its kernel had not complained: by a triple fault.
    Reset,
    /// It has said nothing at all, for as long as it may take to user space.
    Silent,
    /// Its kernel has said something, and there was no user space in that time.
    Stuck,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reset => "the guest was reset without a complaint of its kernel",
            Self::Silent => "the guest has said nothing at all",
            Self::Stuck => "the guest hung before its user space",
        })
    }
}

/// What is known of a guest that did not do what it should.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// How QEMU has ended, if it has.
    pub outcome: Option<&'a Outcome>,
    /// What the console has said, or its end.
    pub console: &'a str,
    /// Whether it was user space, or something before it, that did not come in time.
    pub overdue: bool,
}

impl<'a> Evidence<'a> {
    /// Takes what an error says of a guest.
    pub(crate) fn of_report(report: &'a Report, overdue: bool) -> Self {
        Self {
            outcome: report.outcome.as_ref(),
            console: &report.console,
            overdue,
        }
    }

    /// Returns how the guest was lost, or `None` when something else is wrong with it.
    pub fn verdict(&self) -> Option<Lost> {
        // A kernel that panics asks for a reset, too.
        if !complaints(self.console).is_empty() {
            return None;
        }
        if let Some(outcome) = self.outcome {
            let reset = outcome.reason == Some(ShutdownReason::GuestReset);
            return reset.then_some(Lost::Reset);
        }
        if !self.overdue || self.console.contains(FIRST_LINE) {
            None
        } else if self.console.trim().is_empty() {
            Some(Lost::Silent)
        } else {
            Some(Lost::Stuck)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;

    const BOOT: &str = "[    0.0] Linux version 7.3.4\n[    0.1] APIC: Switch to symmetric I/O\n";
    const PANIC: &str = "[    1.0] Kernel panic - not syncing: Attempted to kill init!\n";

    fn ended(wait_status: i32, reason: Option<ShutdownReason>) -> Option<Outcome> {
        Some(Outcome {
            status: ExitStatus::from_raw(wait_status),
            reason,
        })
    }

    fn verdict(outcome: &Option<Outcome>, console: &str, overdue: bool) -> Option<Lost> {
        let evidence = Evidence {
            outcome: outcome.as_ref(),
            console,
            overdue,
        };
        evidence.verdict()
    }

    #[test]
    fn a_reset_without_a_complaint_is_a_triple_fault() {
        let reset = ended(0, Some(ShutdownReason::GuestReset));
        for (console, overdue) in [("", true), (BOOT, true), (BOOT, false), (FIRST_LINE, false)] {
            assert_eq!(verdict(&reset, console, overdue), Some(Lost::Reset));
        }
        let panicked = format!("{BOOT}{PANIC}");
        assert_eq!(verdict(&reset, &panicked, true), None);
    }

    #[test]
    fn other_ends_are_no_loss() {
        for outcome in [
            ended(0, Some(ShutdownReason::GuestShutdown)),
            ended(0, Some(ShutdownReason::HostQmpQuit)),
            // QEMU itself has failed, or was killed.
            ended(6, None),
            ended(9, None),
            ended(1 << 8, None),
        ] {
            assert_eq!(verdict(&outcome, BOOT, true), None, "{outcome:?}");
        }
    }

    #[test]
    fn a_hang_is_a_loss_only_before_user_space() {
        assert_eq!(verdict(&None, " \n", true), Some(Lost::Silent));
        assert_eq!(verdict(&None, BOOT, true), Some(Lost::Stuck));
        assert_eq!(verdict(&None, &format!("{BOOT}{FIRST_LINE}\n"), true), None);
        // Something else was waited for, or found.
        assert_eq!(verdict(&None, BOOT, false), None);
        assert_eq!(verdict(&None, "", false), None);
    }

    #[test]
    fn a_hang_with_a_complaint_is_the_kernels() {
        for line in [
            "[   60.0] rcu: INFO: rcu_preempt self-detected stall on CPU",
            "[    3.1] WARNING: possible circular locking dependency detected",
        ] {
            assert_eq!(verdict(&None, &format!("{BOOT}{line}\n"), true), None);
        }
    }
}
