// SPDX-License-Identifier: GPL-2.0

//! What the kernel says of page frames: `count-pages`.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::Arguments;
use super::Command;
use super::Lines;
use super::Result;
use super::Session;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "count-pages",
    arguments: "FIRST PAGES FLAG",
    run: count_pages,
}];

/// The bytes of one page frame's flags.
const ENTRY_BYTES: usize = 8;

/// Counts the page frames of a range that have a flag: a bit number of `linux/kernel-page-flags.h`.
fn count_pages(
    _session: &mut Session,
    arguments: &mut Arguments,
    _lines: &mut Lines<'_>,
) -> Result {
    let first: u64 = arguments.number()?;
    let pages: usize = arguments.number()?;
    let flag: usize = arguments.number()?;
    let mut flags = vec![0; pages * ENTRY_BYTES];
    File::open("/proc/kpageflags")?.read_exact_at(&mut flags, first * ENTRY_BYTES as u64)?;
    let count = flags
        .chunks_exact(ENTRY_BYTES)
        // The machine is little-endian: flag 0 is the lowest bit of the first byte.
        .filter_map(|entry| entry.get(flag / 8))
        .filter(|byte| (*byte >> (flag % 8)) & 1 == 1)
        .count();
    Ok(format!("pages={count}"))
}
