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
///
/// # Invariants
///
/// The sum of both is at most `limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Targets {
    pages: Pages,
    limit: u64,
}

impl Targets {
    /// Begins with empty pools, which are never to hold more than `limit` pages together.
    pub(crate) const fn new(limit: u64) -> Self {
        Self {
            pages: Pages { fixed: 0, timed: 0 },
            limit,
        }
    }

    /// Returns what the pools are to hold.
    #[cfg(CONFIG_VIRTIO_CMM_KUNIT_TEST)]
    fn pages(&self) -> Pages {
        self.pages
    }

    /// SHRINK: sets the static pool to `pages`. Returns whether that had to be cut to the limit.
    pub(crate) fn shrink(&mut self, pages: u64) -> bool {
        self.pages.fixed = pages.min(self.limit - self.pages.timed);
        self.pages.fixed < pages
    }

    /// RELEASE: adds `pages` to the timed pool. Returns whether that had to be cut to the limit.
    pub(crate) fn release(&mut self, pages: u64) -> bool {
        let room = self.limit - self.pages.total();

        self.pages.timed += pages.min(room);
        pages > room
    }

    /// REUSE: takes `pages` off the timed pool, down to none.
    pub(crate) fn reuse(&mut self, pages: u64) {
        self.pages.timed = self.pages.timed.saturating_sub(pages);
    }

    /// Gives up what the pools do not hold: the guest has run out of memory.
    pub(crate) fn settle_timed(&mut self, held: Pages) {
        self.pages.timed = self.pages.timed.min(held.timed);
    }

    /// Returns what to do next, given what the pools hold: first everything that is too much.
    pub(crate) fn step(&self, held: Pages) -> Step {
        let (fixed, timed) = (self.pages.fixed, self.pages.timed);

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
        let mut targets = Targets::new(LIMIT);

        assert!(!targets.shrink(300));
        assert!(!targets.shrink(200));
        assert_eq!(targets.pages(), held(200, 0));
    }

    #[test]
    fn release_adds_and_reuse_subtracts() {
        let mut targets = Targets::new(LIMIT);

        assert!(!targets.release(100));
        assert!(!targets.release(50));
        targets.reuse(30);
        assert_eq!(targets.pages(), held(0, 120));
        targets.reuse(u64::MAX);
        assert_eq!(targets.pages(), held(0, 0));
    }

    #[test]
    fn the_sum_stays_within_the_limit() {
        let mut targets = Targets::new(LIMIT);

        assert!(targets.release(u64::MAX));
        assert!(targets.shrink(1));
        assert_eq!(targets.pages(), held(0, LIMIT));
        targets.reuse(400);
        assert!(targets.shrink(u64::MAX));
        assert_eq!(targets.pages(), held(400, 600));
        assert!(targets.release(1));
        assert_eq!(targets.pages().total(), LIMIT);
    }

    #[test]
    fn steps_lead_to_the_target() {
        let mut targets = Targets::new(LIMIT);

        targets.shrink(300);
        targets.release(100);
        assert_eq!(targets.step(held(0, 0)), Step::Take(Pool::Static, 300));
        assert_eq!(targets.step(held(300, 0)), Step::Take(Pool::Timed, 100));
        assert_eq!(targets.step(held(300, 100)), Step::Rest);
        assert_eq!(targets.step(held(301, 0)), Step::Return(Pool::Static, 1));
        assert_eq!(targets.step(held(0, 101)), Step::Return(Pool::Timed, 1));
    }

    #[test]
    fn what_is_lost_in_the_timed_pool_is_not_taken_again() {
        let mut targets = Targets::new(LIMIT);

        targets.shrink(300);
        targets.release(100);
        targets.settle_timed(held(10, 20));
        assert_eq!(targets.pages(), held(300, 20));
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
