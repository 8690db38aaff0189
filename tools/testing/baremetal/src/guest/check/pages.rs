// SPDX-License-Identifier: GPL-2.0

//! Checks of the inflate and deflate queues, which take page numbers.

use alloc::vec;

use onecopy_baremetal::PAGE_BYTES;

use super::expect_equal;
use super::Checker;
use super::MIB;
use crate::balloon::page_messages;
use crate::error::Error;

pub(super) fn inflate(checker: &mut Checker<'_>) -> Result<(), Error> {
    let ram = checker.ram;
    let mut pieces = checker.row(MIB, PAGE_BYTES, 256);
    pieces.push(checker.part(8 * MIB, 2 * MIB));
    ram.fill(checker.scratch)?;
    let messages = page_messages(pieces.iter().copied())?;
    let lengths = checker.balloon()?.send_inflate(&messages)?;
    expect_equal(&lengths, &vec![0; messages.len()])?;
    ram.verify(checker.scratch, &pieces)?;
    // The balloon is empty again for the next check.
    checker.balloon()?.send_deflate(&messages).map(drop)
}

/// Pages that were never given away are taken back: the device answers and leaves them alone.
pub(super) fn deflate(checker: &mut Checker<'_>) -> Result<(), Error> {
    let ram = checker.ram;
    ram.fill(checker.scratch)?;
    let messages = page_messages([checker.part(0, 4 * MIB)].into_iter())?;
    let lengths = checker.balloon()?.send_deflate(&messages)?;
    expect_equal(&lengths, &vec![0; messages.len()])?;
    ram.verify(checker.scratch, &[])
}
