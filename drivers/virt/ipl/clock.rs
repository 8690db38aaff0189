// SPDX-License-Identifier: GPL-2.0

//! Which time it is. All times are nanoseconds since 1970, UTC.

const NSEC_PER_SEC: u64 = 1_000_000_000;

/// Returns the time, given what the machine's clock says now and what the host's clock said when
/// the host wrote the resources of the guest.
///
/// Most machines tell full seconds only. If the host wrote the resources within the same second,
/// its clock is the better one; if before, it is somewhere in that second, and the middle is wrong
/// by half a second at most.
pub(crate) fn wall_clock(machine: u64, host: u64) -> u64 {
    let is_full_second = machine % NSEC_PER_SEC == 0;

    if !is_full_second {
        machine
    } else if host >= machine {
        // Also if the machine has no clock, or one that is wrong.
        host
    } else {
        machine.saturating_add(NSEC_PER_SEC / 2)
    }
}

#[cfg(CONFIG_IPL_KUNIT_TEST)]
#[kernel::macros::kunit_tests(ipl_clock)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_800_000_000 * NSEC_PER_SEC;

    #[test]
    fn a_clock_with_fractions_of_seconds_is_right() {
        assert_eq!(wall_clock(SECOND + 1, SECOND - 7), SECOND + 1);
        assert_eq!(wall_clock(SECOND + 1, SECOND + 7), SECOND + 1);
    }

    #[test]
    fn within_the_same_second_the_host_is_right() {
        for fraction in [0, 1, NSEC_PER_SEC - 1] {
            assert_eq!(wall_clock(SECOND, SECOND + fraction), SECOND + fraction);
        }
    }

    #[test]
    fn after_a_slow_start_the_middle_of_the_second_is_close_enough() {
        assert_eq!(
            wall_clock(SECOND, SECOND - 5 * NSEC_PER_SEC),
            SECOND + NSEC_PER_SEC / 2
        );
    }

    #[test]
    fn a_machine_without_a_clock_has_the_hosts_time() {
        assert_eq!(wall_clock(0, SECOND), SECOND);
    }
}
