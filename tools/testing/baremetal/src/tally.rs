// SPDX-License-Identifier: GPL-2.0

//! Results of checks, as lines that a test harness counts.

use core::fmt;
use core::fmt::Write;

/// Counts checks and says how they went.
#[derive(Debug)]
pub struct Tally<W> {
    out: W,
    passed: u32,
    failed: u32,
}

impl<W: Write> Tally<W> {
    /// Starts at zero, with lines going to `out`.
    pub fn new(out: W) -> Self {
        Self {
            out,
            passed: 0,
            failed: 0,
        }
    }

    /// Writes the line of one check, with the reason if it has failed.
    ///
    /// # Errors
    ///
    /// When the line cannot be written.
    pub fn record<E: fmt::Display>(&mut self, text: &str, result: &Result<(), E>) -> fmt::Result {
        let number = self.passed + self.failed + 1;
        match result {
            Ok(()) => {
                self.passed += 1;
                writeln!(self.out, "ok {number} - {text}")
            }
            Err(why) => {
                self.failed += 1;
                writeln!(self.out, "not ok {number} - {text}: {why}")
            }
        }
    }

    /// Writes the last line and returns whether all checks have passed, and there were any.
    ///
    /// # Errors
    ///
    /// When the line cannot be written.
    pub fn finish(mut self) -> Result<bool, fmt::Error> {
        writeln!(self.out, "{} passed, {} failed", self.passed, self.failed)?;
        Ok(self.failed == 0 && self.passed > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_numbered_and_counted() {
        let mut lines = String::new();
        let mut tally = Tally::new(&mut lines);
        tally
            .record("the sky is blue", &Ok::<(), &str>(()))
            .unwrap();
        tally.record("water is dry", &Err("it is wet")).unwrap();
        assert_eq!(tally.finish(), Ok(false));
        assert_eq!(
            lines,
            "ok 1 - the sky is blue\nnot ok 2 - water is dry: it is wet\n1 passed, 1 failed\n"
        );
    }

    #[test]
    fn no_checks_are_no_success() {
        assert_eq!(Tally::new(String::new()).finish(), Ok(false));
    }
}
