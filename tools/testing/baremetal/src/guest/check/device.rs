// SPDX-License-Identifier: GPL-2.0

//! Checks of features, queues, the configuration and the reset.

use onecopy_baremetal::contract::Features;
use onecopy_baremetal::contract::Queues;

use super::expect_equal;
use super::Checker;
use crate::error::Error;
use crate::say;

pub(super) fn features(checker: &mut Checker<'_>) -> Result<(), Error> {
    let offered = checker.balloon()?.offered();
    say!("# offered: {offered:?}");
    let needed = Features::VERSION_1 | Features::STATS_VQ;
    expect_equal(&(offered & needed), &needed)
}

pub(super) fn queues(checker: &mut Checker<'_>) -> Result<(), Error> {
    let balloon = checker.balloon()?;
    let expected = Queues::of(balloon.offered()).count;
    expect_equal(&balloon.count_queues(), &expected)
}

pub(super) fn empty(checker: &mut Checker<'_>) -> Result<(), Error> {
    let balloon = checker.balloon()?;
    let sizes = (balloon.target_pages()?, balloon.actual_pages()?);
    expect_equal(&sizes, &(0, 0))
}

pub(super) fn size(checker: &mut Checker<'_>) -> Result<(), Error> {
    let balloon = checker.balloon()?;
    for pages in [1, 0x0102_0304, u64::from(u32::MAX), 0] {
        balloon.set_actual_pages(pages)?;
        expect_equal(&balloon.actual_pages()?, &pages)?;
    }
    Ok(())
}

pub(super) fn restart(checker: &mut Checker<'_>) -> Result<(), Error> {
    let before = checker.balloon()?.offered();
    checker.balloon()?.set_actual_pages(77)?;
    checker.restart(checker.wanted)?;
    let balloon = checker.balloon()?;
    // The specification says nothing about the size after a reset, so a driver has to write it.
    let pages = balloon.actual_pages()?;
    say!("# size after a reset, 77 before: {pages}");
    balloon.set_actual_pages(0)?;
    expect_equal(&balloon.offered(), &before)
}
