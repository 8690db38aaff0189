// SPDX-License-Identifier: GPL-2.0

//! What a guest that fails has said last, and whether it is lost.

use std::time::Duration;

use super::Guest;
use crate::control;
use crate::failure::Failure;
use crate::lost::Evidence;

/// How long QEMU may take to end when it has hung up.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// How many lines of the console are shown when something fails.
const TAIL_LINES: usize = 60;

impl Guest {
    /// Says so if there is no answer because the guest is lost. `starting`: nothing of user space was
    /// heard yet.
    pub(super) fn explain(&mut self, error: control::Error, starting: bool) -> control::Error {
        let (patience, overdue) = match &error {
            // QEMU hangs up just before it ends.
            control::Error::Ended { .. } => (END_TIMEOUT, false),
            control::Error::Timeout { .. } => (Duration::ZERO, starting),
            _ => return error,
        };
        let outcome = self.machine().wait(patience).ok();
        let evidence = Evidence {
            outcome: outcome.as_ref(),
            console: &self.console(),
            overdue,
        };
        match evidence.verdict() {
            Some(lost) => control::Error::Lost {
                error: Box::new(error),
                lost,
            },
            None => error,
        }
    }

    /// Returns why the guest never took a command.
    pub(crate) fn not_up(&mut self, error: control::Error) -> Failure {
        let error = self.explain(error, true);
        self.failure(error)
    }

    /// Returns an error about the guest, with its last words.
    pub fn failure(&mut self, error: impl Into<anyhow::Error>) -> Failure {
        Failure::new(error.into(), self.last_words())
    }

    /// Returns the end of the console and of QEMU's standard error.
    pub fn last_words(&mut self) -> String {
        let text = self.console();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines
            .get(lines.len().saturating_sub(TAIL_LINES)..)
            .unwrap_or_default();
        let stderr = self.machine().report().stderr;
        format!(
            "console of the guest:\n{}\nQEMU said: {stderr}",
            tail.join("\n")
        )
    }
}
