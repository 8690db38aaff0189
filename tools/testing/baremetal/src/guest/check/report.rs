// SPDX-License-Identifier: GPL-2.0

//! Checks of the reporting queue.

use alloc::vec;
use alloc::vec::Vec;

use onecopy_baremetal::contract::Features;
use onecopy_baremetal::pool::Piece;
use onecopy_baremetal::PAGE_BYTES;

use super::expect_equal;
use super::Checker;
use super::MIB;
use crate::error::Error;

const SMALL_BYTES: u64 = 64 << 10;
/// What the guest says that it fills free pages with.
const POISON: u32 = 0xaaaa_aaaa;

pub(super) fn large_range(checker: &mut Checker<'_>) -> Result<(), Error> {
    let chain = vec![checker.part(4 * MIB, 4 * MIB)];
    report_and_verify(checker, &[chain])
}

pub(super) fn small_range(checker: &mut Checker<'_>) -> Result<(), Error> {
    let chain = vec![checker.part(4 * MIB + PAGE_BYTES, PAGE_BYTES)];
    report_and_verify(checker, &[chain])
}

pub(super) fn chain(checker: &mut Checker<'_>) -> Result<(), Error> {
    let chain = checker.row(0, SMALL_BYTES, 32);
    report_and_verify(checker, &[chain])
}

pub(super) fn chains(checker: &mut Checker<'_>) -> Result<(), Error> {
    let before = checker.balloon()?.kicks();
    let pieces = checker.row(0, PAGE_BYTES, 32 * 32);
    let chains: Vec<_> = pieces.chunks(32).map(<[Piece]>::to_vec).collect();
    report_and_verify(checker, &chains)?;
    expect_equal(&(checker.balloon()?.kicks() - before), &1)
}

pub(super) fn out_of_order(checker: &mut Checker<'_>) -> Result<(), Error> {
    let mut chains = [
        checker.row(8 * MIB, SMALL_BYTES, 8),
        checker.row(0, PAGE_BYTES, 8),
        checker.row(4 * MIB, 2 * MIB, 1),
    ];
    for chain in &mut chains {
        chain.reverse();
    }
    report_and_verify(checker, &chains)
}

pub(super) fn length(checker: &mut Checker<'_>) -> Result<(), Error> {
    let large = vec![checker.part(0, 4 * MIB)];
    let small = checker.row(4 * MIB, PAGE_BYTES, 4);
    let ram = checker.ram;
    let lengths = checker.balloon()?.report(ram, &[large, small])?;
    expect_equal(&lengths, &vec![0, 0])
}

/// A host that discarded the pages would hand out zeroes, where the guest counts on its filling.
pub(super) fn poison(checker: &mut Checker<'_>) -> Result<(), Error> {
    checker.restart(checker.wanted | Features::PAGE_POISON)?;
    checker.balloon()?.set_poison(POISON)?;
    let chain = vec![checker.part(4 * MIB, 4 * MIB)];
    let ram = checker.ram;
    ram.fill(checker.scratch)?;
    checker.balloon()?.report(ram, &[chain])?;
    let result = ram.verify(checker.scratch, &[]);
    checker.restart(checker.wanted)?;
    result
}

/// Gives ranges back and looks at all of the scratch memory: zeroes there, the pattern everywhere
/// else.
fn report_and_verify(checker: &mut Checker<'_>, chains: &[Vec<Piece>]) -> Result<(), Error> {
    let ram = checker.ram;
    ram.fill(checker.scratch)?;
    checker.balloon()?.report(ram, chains)?;
    ram.verify(checker.scratch, &chains.concat())
}
