// SPDX-License-Identifier: GPL-2.0

//! Counting instructions, for benchmarks.
//!
//! Under `-icount shift=0` QEMU's virtual time is the number of instructions that the guest has
//! executed, and the time stamp counter shows it. [`calibrate`] finds out whether that is so.

#![expect(
    unsafe_code,
    reason = "the time stamp counter, a loop of known length, and parts of a mapped file"
)]

use std::arch::asm;
use std::fs::File;
use std::io;

use memmap2::Mmap;
use memmap2::MmapOptions;

use crate::Failure;

/// Iterations of the known loop.
const LOOP_ITERATIONS: u64 = 10_000;

/// Instructions of one iteration.
const LOOP_INSTRUCTIONS: u64 = 2;

/// How often things are tried whose smallest count is wanted: a timer interrupt may hit some.
const TRIES: usize = 101;

/// Returns the time stamp counter.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: Every x86-64 processor has the instruction, and Linux lets programs use it.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// Returns how much the counter advances when nothing is measured.
pub(crate) fn empty() -> u64 {
    smallest(|| ())
}

/// Makes sure that the counter counts instructions, by a loop of known length.
pub(crate) fn calibrate() -> Result<(), Failure> {
    let counted = smallest(|| known_loop(LOOP_ITERATIONS)) - smallest(|| known_loop(1));
    let executed = (LOOP_ITERATIONS - 1) * LOOP_INSTRUCTIONS;
    if counted == executed {
        return Ok(());
    }
    Err(Failure::other(format!(
        "the time stamp counter does not count instructions: {executed} executed, {counted} counted"
    )))
}

/// Returns the smallest count of several tries.
fn smallest(mut work: impl FnMut()) -> u64 {
    let mut smallest = u64::MAX;
    for _ in 0..TRIES {
        let before = now();
        work();
        smallest = smallest.min(now() - before);
    }
    smallest
}

/// Executes two instructions so many times.
#[inline(always)]
fn known_loop(iterations: u64) {
    // SAFETY: Only the register that the compiler has chosen, and flags, are changed. The number of
    // iterations is not 0, so the loop ends.
    unsafe {
        asm!(
            "2: dec {count}",
            "jnz 2b",
            count = inout(reg) iterations => _,
            options(nomem, nostack),
        );
    }
}

/// Maps a part of a file read-only.
pub(crate) fn map_window(file: &File, offset: u64, len: usize) -> io::Result<Mmap> {
    // SAFETY: The file is on a read-only file system of a benchmark, so its content stays as it is.
    unsafe { MmapOptions::new().offset(offset).len(len).map(file) }
}

/// Counts of single operations.
#[derive(Debug)]
pub(crate) struct Counts {
    counts: Vec<u64>,
}

impl Counts {
    /// Makes room for so many counts, so that adding them faults no pages in.
    pub(crate) fn with_capacity(count: usize) -> Self {
        let mut counts = vec![1; count];
        counts.clear();
        Self { counts }
    }

    /// Executes `work` and adds what it took.
    #[inline(always)]
    pub(crate) fn add<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let before = now();
        let result = work();
        let after = now();
        self.counts.push(after - before);
        result
    }

    /// Returns the middle count; 0 if there are none.
    pub(crate) fn median(&mut self) -> u64 {
        self.counts.sort_unstable();
        self.counts
            .get(self.counts.len() / 2)
            .copied()
            .unwrap_or_default()
    }

    /// Returns the result of a command: what the operations took beyond `empty`.
    pub(crate) fn report(mut self, empty: u64) -> String {
        let median = self.median().saturating_sub(empty);
        let sum: u64 = self
            .counts
            .iter()
            .map(|count| count.saturating_sub(empty))
            .sum();
        let at = |index: Option<&u64>| index.map_or(0, |count| count.saturating_sub(empty));
        format!(
            "operations={} sum={sum} median={median} min={} max={}",
            self.counts.len(),
            at(self.counts.first()),
            at(self.counts.last()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_leaves_out_what_an_empty_operation_takes() {
        let mut counts = Counts::with_capacity(4);
        counts.counts.extend([30, 12, 10, 14]);
        assert_eq!(
            counts.report(10),
            "operations=4 sum=26 median=4 min=0 max=20"
        );
    }

    #[test]
    fn the_counter_advances_with_work() {
        let mut counts = Counts::with_capacity(1);
        counts.add(|| known_loop(1_000_000));
        assert!(counts.median() > 1000);
        assert!(empty() < 1000);
    }
}
