// SPDX-License-Identifier: GPL-2.0

//! Checks that the host has a part in: it does what a line beginning with `request` asks for.

use onecopy_baremetal::contract;
use onecopy_baremetal::target;
use onecopy_baremetal::target::Action;
use onecopy_baremetal::PAGE_BYTES;

use super::expect_equal;
use super::Checker;
use crate::error::Error;
use crate::say;

/// How long the host may take for a request, in milliseconds.
const LIMIT_MS: u64 = 30_000;

/// The host is to leave the guest 1 byte.
pub(super) fn beyond(checker: &mut Checker<'_>) -> Result<(), Error> {
    say!("request balloon 1");
    let clock = checker.clock;
    let pool_pages = checker.ram.pool().pages();
    let balloon = checker.balloon()?;
    let is_beyond = || balloon.target_pages().is_ok_and(|pages| pages > pool_pages);
    clock.wait("a target beyond the pool", LIMIT_MS, is_beyond)?;
    let action = target::plan(balloon.target_pages()?, 0, pool_pages);
    let to_pages = pool_pages;
    expect_equal(&action, &Action::Release { to_pages })
}

/// The host is to ask for statistics at least twice.
pub(super) fn statistics(checker: &mut Checker<'_>) -> Result<(), Error> {
    let bytes = checker.ram.pool().pages() * PAGE_BYTES;
    let message = contract::stat_record(contract::STAT_TOTAL_MEMORY, bytes);
    say!("request stats {bytes}");
    for _ in 0..2 {
        let length = checker.balloon()?.wait_for_stats(&message, LIMIT_MS)?;
        expect_equal(&length, &0)?;
    }
    Ok(())
}
