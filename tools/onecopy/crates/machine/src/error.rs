// SPDX-License-Identifier: GPL-2.0

//! What can go wrong with a guest, with what it said last.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::console::ConsoleError;
use crate::interrupt::Interrupted;
use crate::outcome::Outcome;
use crate::qmp::QmpError;

/// A failure of a guest or of its emulator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call around the guest failed.
    #[error("Cannot {doing}")]
    Io {
        /// What was being done, as an infinitive.
        doing: String,
        /// Why it failed.
        source: io::Error,
    },
    /// QEMU ended although it was still needed.
    #[error("QEMU ended while {doing}: {outcome}{report}")]
    Ended {
        /// What was being done.
        doing: String,
        /// How it ended.
        outcome: Outcome,
        /// Its last words.
        report: Box<Report>,
    },
    /// QEMU's user cannot open a file.
    #[error("QEMU runs as user {user}, who cannot {doing} {}; let that user do it, and pass the directories above, or give --qemu-user another one or root", .path.display())]
    Access {
        /// The file.
        path: std::path::PathBuf,
        /// What he cannot do, as a verb.
        doing: &'static str,
        /// The user.
        user: String,
    },
    /// QEMU was built without its sandbox.
    #[error("{} was built without seccomp, so its sandbox cannot be switched on; install one that has it, or \
             give --sandbox off: the guest is then confined by its user alone", .path.display())]
    NoSandbox {
        /// The emulator.
        path: std::path::PathBuf,
    },
    /// Something did not happen in time.
    #[error("No end of {doing} within {} ms{report}", .waited.as_millis())]
    Timeout {
        /// What was being waited for.
        doing: String,
        /// How long.
        waited: Duration,
        /// The guest's and QEMU's last words.
        report: Box<Report>,
    },
    /// The console ended or stayed silent.
    // The cause comes before the last words, so it is not the source: that would be said behind them.
    #[error("{}{report}", chain(.cause))]
    Console {
        /// What was waited for, and how it went.
        cause: ConsoleError,
        /// The guest's and QEMU's last words.
        report: Box<Report>,
    },
    /// The state of a machine was not saved or loaded.
    #[error("QEMU cannot {verb} the state: {reason}{report}")]
    State {
        /// What it was to do.
        verb: &'static str,
        /// QEMU's reason.
        reason: String,
        /// The guest's and QEMU's last words.
        report: Box<Report>,
    },
    /// QEMU has no way to name a file.
    #[error("QEMU takes no path with a comma here: {}", .path.display())]
    Path {
        /// The path.
        path: std::path::PathBuf,
    },
    /// A signal has said that this is to be given up.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The monitor refused a command or went away.
    #[error("{}{report}", chain(.cause))]
    Qmp {
        /// The monitor's answer.
        cause: QmpError,
        /// The guest's and QEMU's last words.
        report: Box<Report>,
    },
}

impl Error {
    /// Returns a closure for `map_err` that says what was being done.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            doing: doing.into(),
            source,
        }
    }
}

/// Says why, down to the last source.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

/// The last words of a guest and of its emulator, appended to every error about them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// End of QEMU's standard error.
    pub stderr: String,
    /// Last lines of the serial console.
    pub console: String,
    /// How QEMU has ended, if it has; the message of the error says that where it matters.
    pub outcome: Option<Outcome>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, text) in [
            ("QEMU said", &self.stderr),
            ("console ended with", &self.console),
        ] {
            if text.trim().is_empty() {
                continue;
            }
            write!(f, "\n{title}:")?;
            for line in text.trim_end().lines() {
                write!(f, "\n    {line}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_indents_what_was_said_and_leaves_out_silence() {
        let report = Report {
            stderr: "a\nb\n".to_owned(),
            console: " \n".to_owned(),
            outcome: None,
        };
        assert_eq!(report.to_string(), "\nQEMU said:\n    a\n    b");
        assert_eq!(Report::default().to_string(), "");
    }

    #[test]
    fn a_cause_is_said_once_and_before_the_last_words() {
        let report = || {
            Box::new(Report {
                console: "a".to_owned(),
                ..Report::default()
            })
        };
        let expected = "x".to_owned();
        let console = Error::Console {
            cause: ConsoleError::Ended { expected },
            report: report(),
        };
        let qmp = Error::Qmp {
            cause: QmpError::Io(io::Error::other("y")),
            report: report(),
        };
        for (error, expected) in [
            (console, "The console ended before it said x"),
            (qmp, "Cannot talk to QEMU's monitor: y"),
        ] {
            let expected = format!("{expected}\nconsole ended with:\n    a");
            assert_eq!(chain(&error), expected);
        }
    }
}
