// SPDX-License-Identifier: GPL-2.0

//! Times: when the timed pool gives pages back, and how long to wait before trying again. Pure
//! arithmetic on milliseconds.

/// REUSE: every so many seconds the target of the timed pool drops by so many pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reuse {
    pub(crate) pages: u64,
    pub(crate) seconds: u64,
}

impl Reuse {
    /// Returns the period; [`None`] if nothing is given back.
    pub(crate) fn period_ms(self) -> Option<u64> {
        (self.pages > 0 && self.seconds > 0).then(|| self.seconds.saturating_mul(1000))
    }
}

/// When the next period of a [`Reuse`] ends.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReuseTimer {
    end_ms: Option<u64>,
}

impl ReuseTimer {
    /// Starts a period at `now_ms`, or none.
    pub(crate) fn restart(&mut self, reuse: Reuse, now_ms: u64) {
        self.end_ms = reuse
            .period_ms()
            .map(|period_ms| now_ms.saturating_add(period_ms));
    }

    /// There is nothing that could come back.
    pub(crate) fn stop(&mut self) {
        self.end_ms = None;
    }

    /// Returns how many pages come back by `now_ms`: those of all periods that have ended.
    pub(crate) fn due_pages(&mut self, reuse: Reuse, now_ms: u64) -> u64 {
        let (Some(end_ms), Some(period_ms)) = (self.end_ms, reuse.period_ms()) else {
            return 0;
        };
        if now_ms < end_ms {
            return 0;
        }
        // The period is not zero; a division that could fail would want a message.
        let periods = 1 + (now_ms - end_ms).checked_div(period_ms).unwrap_or(0);

        self.end_ms = Some(end_ms.saturating_add(periods.saturating_mul(period_ms)));
        reuse.pages.saturating_mul(periods)
    }

    /// Returns for how long nothing comes back.
    pub(crate) fn remaining_ms(&self, now_ms: u64) -> Option<u64> {
        self.end_ms.map(|end_ms| end_ms.saturating_sub(now_ms))
    }
}

/// Grows from one failed attempt to the next, so that a target which cannot be reached costs
/// little.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    next_ms: u64,
}

impl Backoff {
    const FIRST_MS: u64 = 100;
    const LAST_MS: u64 = 5_000;

    /// Begins with the shortest time.
    pub(crate) const fn new() -> Self {
        Self {
            next_ms: Self::FIRST_MS,
        }
    }

    /// Returns how long to wait now; it is twice as long the next time.
    pub(crate) fn next_ms(&mut self) -> u64 {
        let now_ms = self.next_ms;

        self.next_ms = (now_ms * 2).min(Self::LAST_MS);
        now_ms
    }
}

#[cfg(CONFIG_VIRTIO_CMM_KUNIT_TEST)]
#[kernel::macros::kunit_tests(cmm_reuse)]
mod tests {
    use super::*;

    const REUSE: Reuse = Reuse {
        pages: 10,
        seconds: 2,
    };

    #[test]
    fn either_number_at_zero_stops_the_timer() {
        for (pages, seconds) in [(0, 0), (0, 5), (5, 0)] {
            let reuse = Reuse { pages, seconds };
            let mut timer = ReuseTimer::default();

            timer.restart(reuse, 0);
            assert_eq!(timer.remaining_ms(0), None);
            assert_eq!(timer.due_pages(reuse, u64::MAX), 0);
        }
    }

    #[test]
    fn pages_come_back_once_a_period() {
        let mut timer = ReuseTimer::default();

        timer.restart(REUSE, 500);
        assert_eq!(timer.due_pages(REUSE, 2_499), 0);
        assert_eq!(timer.remaining_ms(2_499), Some(1));
        assert_eq!(timer.due_pages(REUSE, 2_500), 10);
        assert_eq!(timer.due_pages(REUSE, 2_500), 0);
        assert_eq!(timer.remaining_ms(2_500), Some(2_000));
    }

    #[test]
    fn a_timer_that_was_stopped_begins_with_a_full_period() {
        let mut timer = ReuseTimer::default();

        timer.restart(REUSE, 0);
        timer.stop();
        assert_eq!(timer.due_pages(REUSE, 5_000), 0);
        assert_eq!(timer.remaining_ms(5_000), None);
        timer.restart(REUSE, 5_000);
        assert_eq!(timer.remaining_ms(5_000), Some(2_000));
    }

    #[test]
    fn missed_periods_are_made_up_for() {
        let mut timer = ReuseTimer::default();

        timer.restart(REUSE, 0);
        assert_eq!(timer.due_pages(REUSE, 7_999), 30);
        assert_eq!(timer.remaining_ms(7_999), Some(1));
    }

    #[test]
    fn large_numbers_do_not_overflow() {
        let reuse = Reuse {
            pages: u64::MAX,
            seconds: u64::MAX,
        };
        let mut timer = ReuseTimer::default();

        timer.restart(reuse, u64::MAX - 1);
        assert_eq!(timer.due_pages(reuse, u64::MAX), u64::MAX);
    }

    #[test]
    fn attempts_become_rarer() {
        let mut backoff = Backoff::new();
        let mut sum_ms = 0;

        assert_eq!(backoff.next_ms(), 100);
        assert_eq!(backoff.next_ms(), 200);
        for _ in 0..10 {
            sum_ms = backoff.next_ms();
        }
        assert_eq!(sum_ms, 5_000);
    }
}
