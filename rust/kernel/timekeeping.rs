// SPDX-License-Identifier: GPL-2.0

//! The wall clock.
//!
//! C header: [`include/linux/timekeeping.h`](srctree/include/linux/timekeeping.h)

use crate::{
    bindings,
    error::to_result,
    prelude::*, //
};

const NSEC_PER_SEC: u64 = 1_000_000_000;

/// Sets the wall clock to a time in nanoseconds since 1970, UTC.
///
/// May sleep. Returns `EINVAL` if the time is earlier than the start of the machine.
pub fn set_wall_clock(time_ns: u64) -> Result {
    let time = bindings::timespec64 {
        // CAST: Seconds in 64 bits of nanoseconds are fewer than 2^35.
        tv_sec: (time_ns / NSEC_PER_SEC) as i64,
        // CAST: Less than a billion.
        tv_nsec: (time_ns % NSEC_PER_SEC) as c_long,
    };

    // SAFETY: `time` is a normalized time.
    to_result(unsafe { bindings::do_settimeofday64(&time) })
}

/// Returns the time in nanoseconds since 1970, UTC, that the machine keeps while the kernel does
/// not run: that of the hypervisor, if it tells, or of the clock with a battery, which has full
/// seconds only.
///
/// Returns 0 if there is none.
pub fn persistent_clock() -> u64 {
    let mut time = bindings::timespec64::default();

    // SAFETY: `time` is valid for writes.
    unsafe { bindings::read_persistent_clock64(&mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds
        .saturating_mul(NSEC_PER_SEC)
        .saturating_add(nanoseconds)
}
