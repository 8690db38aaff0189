// SPDX-License-Identifier: GPL-2.0

//! Several guests that are started at once.

use std::thread;

use anyhow::anyhow;
use anyhow::Context;
use anyhow::Result;

use crate::Guest;

/// Starts guests at once, each from a thread of its own, and waits until all take commands. `start`
/// gets the number of the guest, from 1.
///
/// # Errors
///
/// When one of them does not come up; the others are ended then.
pub fn start_at_once(
    count: usize,
    start: impl Fn(usize) -> Result<Guest> + Sync,
) -> Result<Vec<Guest>> {
    let start = &start;
    thread::scope(|scope| {
        let threads: Vec<_> = (1..=count)
            .map(|number| scope.spawn(move || start(number)))
            .collect();
        let joined = threads.into_iter().zip(1..).map(|(thread, number)| {
            let started = thread.join().map_err(|_| anyhow!("its thread panicked"))?;
            started.with_context(|| format!("guest {number} of {count}"))
        });
        // All threads are waited for, also behind one that has failed.
        let started: Vec<_> = joined.collect();
        started.into_iter().collect()
    })
}
