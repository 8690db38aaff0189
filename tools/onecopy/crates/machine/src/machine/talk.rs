// SPDX-License-Identifier: GPL-2.0

//! What a guest says on its console, and is told there.

use std::time::Duration;
use std::time::Instant;

use super::Machine;
use super::TICK;
use crate::console::Console;
use crate::console::ConsoleError;
use crate::error::Error;
use crate::Result;

impl Machine {
    /// Waits until the console says `pattern`; see [`Console::wait_for`].
    ///
    /// # Errors
    ///
    /// When it does not within `timeout`; the guest's last words are in the error.
    pub fn wait_for(&mut self, pattern: &str, timeout: Duration) -> Result<String> {
        self.listen(timeout, |console, left| console.wait_for(pattern, left))
    }

    /// Waits for the first of several texts; see [`Console::wait_for_any`].
    ///
    /// # Errors
    ///
    /// When none comes within `timeout`; the guest's last words are in the error.
    pub fn wait_for_any(
        &mut self,
        patterns: &[&str],
        timeout: Duration,
    ) -> Result<(usize, String)> {
        self.listen(timeout, |console, left| {
            console.wait_for_any(patterns, left)
        })
    }

    /// Waits until a line with `pattern` is complete; see [`Console::wait_for_line`].
    ///
    /// # Errors
    ///
    /// When it does not come within `timeout`; the guest's last words are in the error.
    pub fn wait_for_line(&mut self, pattern: &str, timeout: Duration) -> Result<String> {
        self.listen(timeout, |console, left| {
            console.wait_for_line(pattern, left)
        })
    }

    /// Sends a line to the console.
    ///
    /// # Errors
    ///
    /// When the guest is gone or does not read.
    pub fn send_line(&mut self, line: &str) -> Result<()> {
        let sent = self.console.send_line(line);
        self.with_report(sent)
    }

    /// Listens in short pieces, so that an interrupt is seen between them.
    fn listen<T>(
        &mut self,
        timeout: Duration,
        wait: impl Fn(&Console, Duration) -> std::result::Result<T, ConsoleError>,
    ) -> Result<T> {
        let start = Instant::now();
        loop {
            self.interrupt.check()?;
            let left = timeout.saturating_sub(start.elapsed());
            let found = match wait(&self.console, left.min(TICK)) {
                Err(ConsoleError::Timeout { .. }) if left > TICK => continue,
                Err(ConsoleError::Timeout { expected, .. }) => Err(ConsoleError::Timeout {
                    expected,
                    waited: timeout,
                }),
                found => found,
            };
            return self.with_report(found);
        }
    }

    fn with_report<T>(&mut self, result: std::result::Result<T, ConsoleError>) -> Result<T> {
        result.map_err(|cause| {
            if matches!(cause, ConsoleError::Ended { .. }) {
                self.wait_for_last_words();
            }
            Error::Console {
                cause,
                report: Box::new(self.report()),
            }
        })
    }
}
