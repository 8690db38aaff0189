// SPDX-License-Identifier: GPL-2.0

//! From what the host wants to what the guest does.

/// What the guest does next. Numbers are pages of 4 KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing: the balloon has the size that it can have.
    Rest,
    /// Gives memory back until the balloon has this many pages.
    Release {
        /// The size to reach.
        to_pages: u64,
    },
    /// Takes memory from the balloon until it has this many pages.
    TakeBack {
        /// The size to reach.
        to_pages: u64,
    },
}

/// Returns what to do for a host that wants `target_pages` in the balloon.
///
/// A target beyond `pool_pages`, all that the guest can give, counts as that.
pub fn plan(target_pages: u64, actual_pages: u64, pool_pages: u64) -> Action {
    let to_pages = target_pages.min(pool_pages);
    match to_pages.cmp(&actual_pages) {
        core::cmp::Ordering::Equal => Action::Rest,
        core::cmp::Ordering::Greater => Action::Release { to_pages },
        core::cmp::Ordering::Less => Action::TakeBack { to_pages },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_balloon_goes_to_the_target() {
        assert_eq!(plan(0, 0, 100), Action::Rest);
        assert_eq!(plan(60, 0, 100), Action::Release { to_pages: 60 });
        assert_eq!(plan(60, 59, 100), Action::Release { to_pages: 60 });
        assert_eq!(plan(60, 100, 100), Action::TakeBack { to_pages: 60 });
        assert_eq!(plan(0, 1, 100), Action::TakeBack { to_pages: 0 });
    }

    #[test]
    fn a_target_beyond_the_pool_takes_all_of_it_and_rests() {
        assert_eq!(plan(101, 99, 100), Action::Release { to_pages: 100 });
        assert_eq!(plan(u64::MAX, 100, 100), Action::Rest);
    }
}
