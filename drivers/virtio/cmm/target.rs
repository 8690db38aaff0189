// SPDX-License-Identifier: GPL-2.0

//! How many pages the balloon is to hold, and what to do about it. Pure arithmetic.
//!
//! All numbers are pages of 4 KiB.

/// The two pools of z/VM's CMM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pool {
    /// SHRINK: the host decides, the pages stay until it asks for fewer.
    Static,
    /// RELEASE and REUSE: the pages come back by themselves after a time.
    Timed,
}

/// How many pages each pool holds, or is to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pages {
    pub(crate) fixed: u64,
    pub(crate) timed: u64,
}

impl Pages {
    /// Returns the pages of both pools.
    pub(crate) fn total(self) -> u64 {
        self.fixed.saturating_add(self.timed)
    }
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Take this many pages from the guest.
    Take(Pool, u64),
    /// Give this many pages back to the guest.
    Return(Pool, u64),
    /// Both pools hold what they are to hold.
    Rest,
}

/// How many pages the pools are to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Targets {
    /// What was asked for. SHRINK may be more than the guest has: it may get more memory later.
    wanted: Pages,
}

impl Targets {
    /// SHRINK: sets the static pool to `pages`.
    pub(crate) fn shrink(&mut self, pages: u64) {
        self.wanted.fixed = pages;
    }

    /// RELEASE: adds `pages` to the timed pool, up to `limit`.
    pub(crate) fn release(&mut self, pages: u64, limit: u64) {
        self.wanted.timed = self.wanted.timed.saturating_add(pages).min(limit);
    }

    /// REUSE: takes `pages` off the timed pool, down to none.
    pub(crate) fn reuse(&mut self, pages: u64) {
        self.wanted.timed = self.wanted.timed.saturating_sub(pages);
    }

    /// Returns whether the timed pool is to hold anything.
    pub(crate) fn has_timed(&self) -> bool {
        self.wanted.timed > 0
    }

    /// Gives up what the pools do not hold: the guest has run out of memory.
    pub(crate) fn settle_timed(&mut self, held: Pages) {
        self.wanted.timed = self.wanted.timed.min(held.timed);
    }

    /// Returns what the pools are to hold in a guest of `limit` pages.
    pub(crate) fn within(&self, limit: u64) -> Pages {
        let timed = self.wanted.timed.min(limit);

        Pages {
            fixed: self.wanted.fixed.min(limit.saturating_sub(timed)),
            timed,
        }
    }

    /// Returns what to do next, given what the pools of a guest of `limit` pages hold: first
    /// everything that is too much.
    pub(crate) fn step(&self, held: Pages, limit: u64) -> Step {
        let Pages { fixed, timed } = self.within(limit);

        if held.timed > timed {
            Step::Return(Pool::Timed, held.timed - timed)
        } else if held.fixed > fixed {
            Step::Return(Pool::Static, held.fixed - fixed)
        } else if held.fixed < fixed {
            Step::Take(Pool::Static, fixed - held.fixed)
        } else if held.timed < timed {
            Step::Take(Pool::Timed, timed - held.timed)
        } else {
            Step::Rest
        }
    }
}

/// Returns how many of `wanted` pages may be taken when `available` could be used without swapping,
/// and `floor` must stay.
pub(crate) fn allowed(wanted: u64, available: u64, floor: u64) -> u64 {
    wanted.min(available.saturating_sub(floor))
}

/// Returns how many pages reclaim may have back: those of the timed pool at any time, those of the
/// static pool only below the floor. Otherwise the page cache would eat up what the host was given.
pub(crate) fn reclaimable(held: Pages, available: u64, floor: u64) -> u64 {
    if available < floor {
        held.total()
    } else {
        held.timed
    }
}

/// The order of the largest block that fits in `pages`, at most `max_order`.
pub(crate) fn order_within(pages: u64, max_order: u32) -> u32 {
    pages.checked_ilog2().unwrap_or(0).min(max_order)
}

#[cfg(CONFIG_VIRTIO_CMM_KUNIT_TEST)]
#[kernel::macros::kunit_tests(cmm_target)]
mod tests {
    use super::*;

    const LIMIT: u64 = 1000;

    fn held(fixed: u64, timed: u64) -> Pages {
        Pages { fixed, timed }
    }

    #[test]
    fn shrink_is_absolute() {
        let mut targets = Targets::default();

        targets.shrink(300);
        targets.shrink(200);
        assert_eq!(targets.within(LIMIT), held(200, 0));
    }

    #[test]
    fn release_adds_and_reuse_subtracts() {
        let mut targets = Targets::default();

        targets.release(100, LIMIT);
        targets.release(50, LIMIT);
        targets.reuse(30);
        assert_eq!(targets.within(LIMIT), held(0, 120));
        assert!(targets.has_timed());
        targets.reuse(u64::MAX);
        assert_eq!(targets.within(LIMIT), held(0, 0));
        assert!(!targets.has_timed());
    }

    #[test]
    fn the_sum_stays_within_what_the_guest_has() {
        let mut targets = Targets::default();

        targets.release(u64::MAX, LIMIT);
        targets.shrink(u64::MAX);
        assert_eq!(targets.within(LIMIT), held(0, LIMIT));
        targets.reuse(400);
        assert_eq!(targets.within(LIMIT), held(400, 600));
        assert_eq!(targets.within(100), held(0, 100));
    }

    #[test]
    fn what_did_not_fit_is_taken_when_it_does() {
        let mut targets = Targets::default();

        targets.release(LIMIT, LIMIT);
        targets.shrink(300);
        assert_eq!(targets.within(LIMIT), held(0, LIMIT));
        targets.reuse(LIMIT);
        assert_eq!(targets.within(LIMIT), held(300, 0));
        targets.shrink(LIMIT + 1);
        assert_eq!(targets.within(2 * LIMIT), held(LIMIT + 1, 0));
    }

    #[test]
    fn steps_lead_to_the_target() {
        let mut targets = Targets::default();
        let step = |fixed, timed, targets: &Targets| targets.step(held(fixed, timed), LIMIT);

        targets.shrink(300);
        targets.release(100, LIMIT);
        assert_eq!(step(0, 0, &targets), Step::Take(Pool::Static, 300));
        assert_eq!(step(300, 0, &targets), Step::Take(Pool::Timed, 100));
        assert_eq!(step(300, 100, &targets), Step::Rest);
        assert_eq!(step(301, 0, &targets), Step::Return(Pool::Static, 1));
        assert_eq!(step(0, 101, &targets), Step::Return(Pool::Timed, 1));
    }

    #[test]
    fn what_is_lost_in_the_timed_pool_is_not_taken_again() {
        let mut targets = Targets::default();

        targets.shrink(300);
        targets.release(100, LIMIT);
        targets.settle_timed(held(10, 20));
        assert_eq!(targets.within(LIMIT), held(300, 20));
    }

    #[test]
    fn the_floor_is_left_alone() {
        assert_eq!(allowed(50, 200, 100), 50);
        assert_eq!(allowed(150, 200, 100), 100);
        assert_eq!(allowed(1, 100, 100), 0);
        assert_eq!(allowed(1, 0, 100), 0);
    }

    #[test]
    fn reclaim_gets_the_static_pool_only_below_the_floor() {
        assert_eq!(reclaimable(held(300, 20), 100, 100), 20);
        assert_eq!(reclaimable(held(300, 20), 99, 100), 320);
    }

    #[test]
    fn blocks_fit_in_what_is_wanted() {
        assert_eq!(order_within(0, 10), 0);
        assert_eq!(order_within(1, 10), 0);
        assert_eq!(order_within(1023, 10), 9);
        assert_eq!(order_within(1024, 10), 10);
        assert_eq!(order_within(u64::MAX, 10), 10);
        assert_eq!(order_within(u64::MAX, 3), 3);
    }
}
