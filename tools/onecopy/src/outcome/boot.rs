// SPDX-License-Identifier: GPL-2.0

//! The end of a guest in the foreground.

use std::io;
use std::io::Write;

use schemars::JsonSchema;
use serde::Serialize;

use crate::boot::End;

/// A guest in the foreground that has ended.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Ended {
    /// How it has ended.
    end: How,
    /// The same in words; nothing if the guest has switched itself off.
    detail: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum How {
    /// The guest has switched itself off.
    SwitchedOff,
    /// It was reset, has panicked, or QEMU has failed.
    Failed,
    /// It was ended because its time was over.
    Timeout,
    /// It was ended by a signal to the command.
    Signal,
}

impl Ended {
    pub(crate) fn new(end: &End) -> Self {
        let (end, detail) = match end {
            End::Machine(outcome) if outcome.is_clean_shutdown() => (How::SwitchedOff, None),
            End::Machine(outcome) => (How::Failed, Some(outcome.to_string())),
            End::Timeout(timeout) => {
                let detail = format!("the guest was ended after {} s", timeout.as_secs());
                (How::Timeout, Some(detail))
            }
            End::Signal(signal) => {
                let detail = format!("the guest was ended by signal {signal}");
                (How::Signal, Some(detail))
            }
        };
        Self { end, detail }
    }

    /// Whether the guest switched itself off.
    pub(super) fn is_success(&self) -> bool {
        self.end == How::SwitchedOff
    }

    /// Says how the guest ended, unless it ended as it should.
    pub(super) fn render(&self, err: &mut dyn Write) -> io::Result<()> {
        match &self.detail {
            Some(detail) => writeln!(err, "onecopy: {detail}"),
            None => Ok(()),
        }
    }
}
