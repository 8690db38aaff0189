// SPDX-License-Identifier: GPL-2.0

//! What went wrong with a guest, with its last words, and whether the guest was [`Lost`] by it.

use std::error::Error as StdError;

use onecopy_machine::ConsoleError;
use onecopy_machine::Error as MachineError;
use onecopy_system::Error as SystemError;

use crate::control;
use crate::lost::Evidence;
use crate::lost::Lost;

/// An error, and behind it the end of a guest's console.
#[derive(Debug, thiserror::Error)]
#[error("{error:#}\n{words}")]
pub struct Failure {
    // Not the source: the message has all of it.
    error: anyhow::Error,
    words: String,
    lost: Option<Lost>,
}

impl Failure {
    /// Adds the last words to an error.
    pub(crate) fn new(error: anyhow::Error, words: String) -> Self {
        Self {
            lost: lost(&error),
            error,
            words,
        }
    }
}

/// Returns how a guest was lost, if that is what an error is about.
///
/// An error that only says that something is not as expected never is.
pub fn lost(error: &anyhow::Error) -> Option<Lost> {
    error.chain().find_map(lost_by)
}

fn lost_by(cause: &(dyn StdError + 'static)) -> Option<Lost> {
    if let Some(failure) = cause.downcast_ref::<Failure>() {
        return failure.lost;
    }
    if let Some(control::Error::Lost { lost, .. }) = cause.downcast_ref() {
        return Some(*lost);
    }
    if let Some(error) = cause.downcast_ref() {
        return lost_by_machine(error, false);
    }
    match cause.downcast_ref::<SystemError>()? {
        SystemError::Machine(error) => lost_by_machine(error, false),
        SystemError::NotReady { source, .. } => lost_by_machine(source, true),
        SystemError::SavePoint { report, .. } => Evidence::of_report(report, false).verdict(),
        SystemError::Late { report, .. } => Evidence::of_report(report, true).verdict(),
        _ => None,
    }
}

/// `starting`: what was waited for comes before user space.
fn lost_by_machine(error: &MachineError, starting: bool) -> Option<Lost> {
    let (report, overdue) = match error {
        MachineError::Console { cause, report } => {
            let late = matches!(cause, ConsoleError::Timeout { .. });
            (report, starting && late)
        }
        MachineError::Qmp { report, .. }
        | MachineError::State { report, .. }
        | MachineError::Timeout { report, .. } => (report, false),
        MachineError::Ended { .. }
        | MachineError::Interrupted(_)
        | MachineError::Io { .. }
        | MachineError::NoSandbox { .. }
        | MachineError::Access { .. }
        | MachineError::Path { .. } => return None,
    };
    Evidence::of_report(report, overdue).verdict()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;
    use std::time::Duration;

    use anyhow::anyhow;
    use anyhow::Context as _;
    use onecopy_format::segment_space::Name;
    use onecopy_machine::qmp::QmpError;
    use onecopy_machine::Outcome;
    use onecopy_machine::Report;
    use onecopy_machine::ShutdownReason;

    use super::*;

    const WAITED: Duration = Duration::from_secs(300);

    fn name() -> Name {
        Name::new(b"SAVED").unwrap()
    }

    fn report(console: &str, reset: bool) -> Box<Report> {
        let outcome = Outcome {
            status: ExitStatus::from_raw(0),
            reason: Some(ShutdownReason::GuestReset),
        };
        Box::new(Report {
            stderr: String::new(),
            console: console.to_owned(),
            outcome: reset.then_some(outcome),
        })
    }

    fn console_error(cause: ConsoleError, report: Box<Report>) -> MachineError {
        MachineError::Console { cause, report }
    }

    fn silence() -> ConsoleError {
        ConsoleError::Timeout {
            expected: "ipl: x".to_owned(),
            waited: WAITED,
        }
    }

    fn end() -> ConsoleError {
        ConsoleError::Ended {
            expected: "ipl: x".to_owned(),
        }
    }

    fn not_ready(source: ConsoleError, report: Box<Report>) -> anyhow::Error {
        let error = SystemError::NotReady {
            guest: "x".parse().unwrap(),
            name: name(),
            source: Box::new(console_error(source, report)),
        };
        error.into()
    }

    fn late(report: Box<Report>) -> anyhow::Error {
        let error = SystemError::Late {
            name: name(),
            has_kernel: true,
            waited: WAITED,
            report,
        };
        error.into()
    }

    fn save_point(reason: &str, report: Box<Report>) -> anyhow::Error {
        let error = SystemError::SavePoint {
            name: name(),
            reason: reason.to_owned(),
            report,
        };
        error.into()
    }

    #[test]
    fn guests_that_do_not_start_are_lost() {
        assert_eq!(
            lost(&not_ready(silence(), report("", false))),
            Some(Lost::Silent)
        );
        assert_eq!(
            lost(&not_ready(silence(), report("x", false))),
            Some(Lost::Stuck)
        );
        assert_eq!(
            lost(&not_ready(end(), report("x", true))),
            Some(Lost::Reset)
        );
        assert_eq!(lost(&late(report("x", false))), Some(Lost::Stuck));
        assert_eq!(
            lost(&save_point("it ended", report("x", true))),
            Some(Lost::Reset)
        );
    }

    #[test]
    fn what_a_kernel_says_or_does_is_no_loss() {
        assert_eq!(lost(&not_ready(end(), report("x", false))), None);
        assert_eq!(
            lost(&not_ready(end(), report("Kernel panic - x", true))),
            None
        );
        assert_eq!(lost(&late(report("BUG: KASAN: x", false))), None);
        assert_eq!(
            lost(&save_point("its kernel refuses", report("x", false))),
            None
        );
        // Of a guest that runs, only the end is known.
        let silent = console_error(silence(), report("x", false));
        assert_eq!(lost(&silent.into()), None);
    }

    #[test]
    fn a_monitor_that_closes_with_a_reset_guest_is_a_loss() {
        let closed = |reset| MachineError::Qmp {
            cause: QmpError::Closed {
                doing: "balloon".to_owned(),
            },
            report: report("x", reset),
        };
        assert_eq!(lost(&closed(true).into()), Some(Lost::Reset));
        assert_eq!(lost(&closed(false).into()), None);
        let inside = SystemError::Machine(closed(true));
        assert_eq!(lost(&inside.into()), Some(Lost::Reset));
    }

    #[test]
    fn assertions_are_never_a_loss_whatever_they_say() {
        for text in [
            "x is 1, not 2",
            "the guest was reset without a complaint of its kernel",
            "The guest did not answer within 120000 ms: 1 read",
        ] {
            let failure = Failure::new(anyhow!("{text}"), "QEMU said: ".to_owned());
            assert_eq!(lost(&anyhow!("{text}")), None);
            assert_eq!(lost(&failure.into()), None);
        }
        let refused = control::Error::Timeout {
            doing: "1 read".to_owned(),
            waited: WAITED,
        };
        assert_eq!(lost(&refused.into()), None);
    }

    #[test]
    fn a_loss_is_found_behind_contexts_and_last_words() {
        let ended = || control::Error::Lost {
            error: Box::new(control::Error::Ended {
                doing: "1 read".to_owned(),
            }),
            lost: Lost::Reset,
        };
        let plain: Result<(), _> = Err(ended());
        let inner = plain.context("modules").unwrap_err();
        let failure = Failure::new(inner, "the console".to_owned());
        assert_eq!(
            failure.to_string(),
            "modules: The guest ended before it answered: 1 read: the guest was reset without a \
             complaint of its kernel\nthe console"
        );
        let outer = anyhow::Error::from(failure).context("guest 1 of 2");
        assert_eq!(lost(&outer), Some(Lost::Reset));
    }
}
