// SPDX-License-Identifier: GPL-2.0

//! What pages fill a piece of another process's address space, by the ioctl `PAGEMAP_SCAN`.
//!
//! `/proc/PID/smaps` says more and takes twenty times as long: the kernel writes two dozen lines for
//! each mapping, and QEMU has 570 mappings, nearly all of them its libraries'. The ioctl looks at the
//! pages that are asked for and at no others. Linux has it since 6.7
//! (Documentation/admin-guide/mm/pagemap.rst).

use std::fs::File;
use std::io;
use std::ops::Range;

use rustix::ioctl::ioctl;
use rustix::ioctl::opcode;
use rustix::ioctl::Opcode;
use rustix::ioctl::Updater;

use super::Pages;

/// `PAGE_IS_FILE`: the page belongs to a file.
const FILE: u64 = 1 << 2;

/// `PAGE_IS_PRESENT`: it is in memory.
const PRESENT: u64 = 1 << 3;

/// `PAGE_IS_SWAPPED`: it is not, or is just being moved.
const SWAPPED: u64 = 1 << 4;

/// `PAGE_IS_PFNZERO`: it is the page of zeroes that all processes have together.
const ZERO: u64 = 1 << 5;

/// `PAGEMAP_SCAN`.
const PAGEMAP_SCAN: Opcode = opcode::read_write::<Request>(b'f', 16);

/// How many runs of pages of one kind a call returns at the most: 6 KiB of them.
const RUNS: usize = 256;

/// `struct pm_scan_arg`.
#[repr(C)]
#[derive(Debug, Default)]
struct Request {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    runs: u64,
    runs_length: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `struct page_region`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    start: u64,
    end: u64,
    categories: u64,
}

/// The address space of a process.
#[derive(Debug)]
pub(super) struct Pagemap {
    file: File,
    runs: [Run; RUNS],
}

impl Pagemap {
    /// Opens the address space of a process.
    ///
    /// # Errors
    ///
    /// When the process has ended or belongs to somebody else.
    pub(super) fn of_process(pid: u32) -> io::Result<Self> {
        Ok(Self {
            file: File::open(format!("/proc/{pid}/pagemap"))?,
            runs: [Run::default(); RUNS],
        })
    }

    /// Counts the pages at `addresses`, which begin and end with a page.
    ///
    /// # Errors
    ///
    /// When the process has ended, and [`io::ErrorKind::Unsupported`] when the kernel has no
    /// `PAGEMAP_SCAN`.
    pub(super) fn count(&mut self, addresses: Range<u64>) -> io::Result<Pages> {
        let mut pages = Pages::default();
        let mut start = addresses.start;
        while start < addresses.end {
            let looked = self.scan(start..addresses.end)?;
            // Those that were not written are empty.
            for run in &self.runs {
                pages += sort(*run);
            }
            if looked <= start {
                return Err(io::Error::other("PAGEMAP_SCAN stands still"));
            }
            start = looked;
        }
        Ok(pages)
    }

    /// Fills [`Self::runs`], and returns the address up to which the kernel has looked.
    #[expect(
        unsafe_code,
        reason = "no library has PAGEMAP_SCAN, and ioctls take addresses as numbers"
    )]
    fn scan(&mut self, addresses: Range<u64>) -> io::Result<u64> {
        self.runs = [Run::default(); RUNS];
        let mut request = Request {
            size: size_of::<Request>() as u64,
            start: addresses.start,
            end: addresses.end,
            runs: self.runs.as_mut_ptr().expose_provenance() as u64,
            runs_length: RUNS as u64,
            category_anyof_mask: PRESENT | SWAPPED,
            return_mask: FILE | PRESENT | SWAPPED | ZERO,
            ..Request::default()
        };
        // SAFETY: `Request` has the fields of `struct pm_scan_arg`, which the opcode's size is made
        // of. Without flags the kernel changes nothing in the process; it writes `walk_end` and up to
        // `runs_length` elements at `runs`, which is an array of as many `struct page_region` that
        // lives longer than the call.
        let done = unsafe {
            let call = Updater::<PAGEMAP_SCAN, Request>::new(&mut request);
            ioctl(&self.file, call)
        };
        match done {
            Ok(()) => Ok(request.walk_end),
            Err(rustix::io::Errno::NOTTY) => Err(io::ErrorKind::Unsupported.into()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Says which kind of pages a run is, as `smaps` counts them: the page of zeroes costs nobody anything.
fn sort(run: Run) -> Pages {
    let bytes = run.end.saturating_sub(run.start);
    let has = |category| run.categories & category != 0;
    let mut pages = Pages::default();
    if has(PRESENT) && !has(ZERO) {
        pages.resident_bytes = bytes;
        if !has(FILE) {
            pages.anonymous_bytes = bytes;
        }
    } else if has(SWAPPED) {
        pages.swap_bytes = bytes;
    }
    pages
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 4096;

    #[test]
    fn runs_are_sorted_as_smaps_counts() {
        let run = |categories| {
            let pages = sort(Run {
                start: 0x1000,
                end: 0x4000,
                categories,
            });
            [
                pages.resident_bytes,
                pages.anonymous_bytes,
                pages.swap_bytes,
            ]
        };
        assert_eq!(run(PRESENT), [0x3000, 0x3000, 0]);
        assert_eq!(run(PRESENT | FILE), [0x3000, 0, 0]);
        assert_eq!(run(PRESENT | ZERO), [0, 0, 0]);
        assert_eq!(run(PRESENT | ZERO | FILE), [0, 0, 0]);
        assert_eq!(run(SWAPPED), [0, 0, 0x3000]);
        assert_eq!(run(0), [0, 0, 0]);
    }

    /// Returns the pages that lie wholly in some memory of ours.
    fn addresses(memory: &[u8]) -> Range<u64> {
        let start = memory.as_ptr().addr() as u64;
        let end = start + memory.len() as u64;
        start.next_multiple_of(PAGE)..end / PAGE * PAGE
    }

    fn ours() -> Option<Pagemap> {
        let mut pagemap = Pagemap::of_process(std::process::id()).unwrap();
        match pagemap.count(PAGE..2 * PAGE) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                eprintln!("skipped: the kernel has no PAGEMAP_SCAN");
                None
            }
            counted => {
                assert_eq!(counted.unwrap(), Pages::default());
                Some(pagemap)
            }
        }
    }

    #[test]
    fn pages_with_holes_are_counted_in_many_calls() {
        let Some(mut pagemap) = ours() else { return };
        let pages = 3 * RUNS;
        let mut memory = vec![0_u8; (2 * pages + 1) * 4096];
        let addresses = addresses(&memory);
        let before = pagemap.count(addresses.clone()).unwrap();
        // Without large pages, every second page makes a run of its own.
        for page in 0..pages {
            memory[2 * page * 4096 + 4095] = 1;
        }
        let counted = pagemap.count(addresses.clone()).unwrap();
        assert!(before.anonymous_bytes < counted.anonymous_bytes);
        assert!(counted.anonymous_bytes >= (pages as u64 - 1) * PAGE);
        assert_eq!(counted.resident_bytes, counted.anonymous_bytes);
        memory.fill(1);
        let counted = pagemap.count(addresses.clone()).unwrap();
        assert_eq!(counted.anonymous_bytes, addresses.end - addresses.start);
        std::hint::black_box(&memory);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        let error = Pagemap::of_process(u32::MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
