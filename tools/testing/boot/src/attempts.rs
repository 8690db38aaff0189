// SPDX-License-Identifier: GPL-2.0

//! How often tests are begun.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use anyhow::Result;
use onecopy_boot::lost;

/// How many tests there have to be for each one that is begun again. Emulated SVM loses about one boot in
/// ten; a saved state that is bad, which a reset without a complaint may be too, loses more.
const TESTS_PER_RETRY: u64 = 4;

/// How often each test may be begun, and how often that was needed in all.
#[derive(Debug)]
pub(crate) struct Attempts {
    allowed: u32,
    retried: AtomicU32,
}

impl Attempts {
    pub(crate) fn new(allowed: u32) -> Self {
        Self {
            allowed,
            retried: AtomicU32::new(0),
        }
    }

    /// Returns how often something was begun again.
    pub(crate) fn retried(&self) -> u32 {
        self.retried.load(Ordering::Relaxed)
    }

    /// Says what is wrong when more was begun again than a machine below may lose, of so many tests.
    pub(crate) fn excess(&self, tests: u64) -> Option<String> {
        let retried = self.retried();
        (u64::from(retried) * TESTS_PER_RETRY > tests).then(|| {
            format!(
                "{retried} retries of {tests} tests are more than one for {TESTS_PER_RETRY}: guests are \
                 not lost to the machine below them alone"
            )
        })
    }

    /// Does something; begins again, as often as is allowed, when a guest was lost in it, and says so.
    /// Any other failure is final.
    pub(crate) fn run<T>(&self, what: &str, run: impl Fn() -> Result<T>) -> Result<T> {
        let mut attempt = 1;
        loop {
            let error = match run() {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let Some(lost) = lost(&error).filter(|_| attempt < self.allowed) else {
                return Err(error);
            };
            eprintln!("{what} is begun again after attempt {attempt}: {lost}\n{error:#}");
            self.retried.fetch_add(1, Ordering::Relaxed);
            attempt += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use anyhow::anyhow;
    use onecopy_boot::control::Error;
    use onecopy_boot::Lost;

    use super::*;

    fn reset() -> anyhow::Error {
        let ended = Error::Ended {
            doing: "1 read".to_owned(),
        };
        let lost = Error::Lost {
            error: Box::new(ended),
            lost: Lost::Reset,
        };
        lost.into()
    }

    /// Runs what fails with these errors, and then succeeds; returns how often it was begun, and
    /// whether it has succeeded in the end.
    fn run(attempts: &Attempts, errors: &[fn() -> anyhow::Error]) -> (usize, bool) {
        let begun = Cell::new(0);
        let result = attempts.run("x", || {
            begun.set(begun.get() + 1);
            errors
                .get(begun.get() - 1)
                .map_or(Ok(()), |error| Err(error()))
        });
        (begun.get(), result.is_ok())
    }

    #[test]
    fn only_lost_guests_are_started_again_and_not_for_ever() {
        let assertion = || anyhow!("x is 1, not 2");
        for (errors, begun, passed, retried) in [
            (&[] as &[fn() -> anyhow::Error], 1, true, 0),
            (&[assertion], 1, false, 0),
            (&[reset], 2, true, 1),
            (&[reset, reset], 3, true, 2),
            (&[reset, reset, reset], 3, false, 2),
            (&[reset, assertion], 2, false, 1),
        ] {
            let attempts = Attempts::new(3);
            assert_eq!(run(&attempts, errors), (begun, passed));
            assert_eq!(attempts.retried(), retried);
        }
    }

    #[test]
    fn more_retries_than_a_quarter_of_the_tests_are_a_failure() {
        let attempts = Attempts::new(3);
        assert_eq!(attempts.excess(0), None);
        assert_eq!(attempts.excess(1), None);
        run(&attempts, &[reset]);
        assert_eq!(attempts.excess(4), None);
        run(&attempts, &[reset, reset]);
        assert_eq!(attempts.excess(12), None);
        let said = attempts.excess(11).unwrap();
        assert!(said.starts_with("3 retries of 11 tests "), "{said}");
        assert!(attempts.excess(0).is_some());
    }

    #[test]
    fn outside_the_inner_host_nothing_is_begun_again() {
        let attempts = Attempts::new(1);
        assert_eq!(run(&attempts, &[reset]), (1, false));
        assert_eq!(attempts.retried(), 0);
    }
}
