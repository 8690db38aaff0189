// SPDX-License-Identifier: GPL-2.0

//! Instruction counts of reads and faults: `calibrate`, `count-reads`, `count-faults`.

use std::fs::File;
use std::fs::OpenOptions;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use super::Arguments;
use super::Command;
use super::Lines;
use super::Result;
use super::Session;
use crate::content::Buffer;
use crate::measure::calibrate as calibrate_counter;
use crate::measure::empty;
use crate::measure::map_window;
use crate::measure::Counts;
use crate::proc_self::Faults;
use crate::Failure;

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "calibrate",
        arguments: "",
        run: calibrate,
    },
    Command {
        name: "count-reads",
        arguments: "DEVICE AREA_BYTES BLOCK_BYTES COUNT",
        run: count_reads,
    },
    Command {
        name: "count-faults",
        arguments: "FILE WINDOW_BYTES FAULT_BYTES",
        run: count_faults,
    },
];

const PAGE_BYTES: usize = 4096;

/// Reads before those that count.
const WARM_UP_READS: u64 = 8;

/// Block numbers advance by this prime, so that neighbours are not read one after the other.
const STRIDE_BLOCKS: u64 = 7919;

/// Fails unless the time stamp counter counts instructions.
fn calibrate(_session: &mut Session, _arguments: &mut Arguments, _lines: &mut Lines<'_>) -> Result {
    calibrate_counter()?;
    Ok(format!("empty={}", empty()))
}

/// Counts the instructions of direct reads, each one system call, all over an area of the device.
fn count_reads(
    _session: &mut Session,
    arguments: &mut Arguments,
    _lines: &mut Lines<'_>,
) -> Result {
    let device = open_direct(&arguments.path()?)?;
    let area_bytes: u64 = arguments.number()?;
    let block_bytes: usize = arguments.number()?;
    let count: usize = arguments.number()?;
    let blocks = area_bytes / (block_bytes as u64).max(1);
    if blocks == 0 {
        return Err(Failure::other("the area is smaller than a block"));
    }
    let mut buffer = Buffer::new(block_bytes);
    let buffer = buffer.as_mut_slice();
    let mut counts = Counts::with_capacity(count);
    for index in 0..WARM_UP_READS {
        device.read_exact_at(buffer, index % blocks * block_bytes as u64)?;
    }
    for index in 0..count as u64 {
        let offset = index * STRIDE_BLOCKS % blocks * block_bytes as u64;
        let read = counts.add(|| device.read_at(buffer, offset))?;
        if read != block_bytes {
            return Err(Failure::other(format!("{read} bytes read at {offset}")));
        }
    }
    Ok(counts.report(empty()))
}

/// Opens a device for direct reads that leave its access time alone: whether that is due for a change
/// is a matter of the clock.
fn open_direct(path: &Path) -> Result<File> {
    let flags = (OFlags::DIRECT | OFlags::NOATIME).bits();
    Ok(OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags).unwrap_or_default())
        .open(path)?)
}

/// Counts the instructions of faults: maps a file in windows and touches each one from its start to
/// its end, one page for each part that a fault is expected to map.
///
/// Fails unless each of these touches, and no other one in the window, was a fault.
fn count_faults(
    _session: &mut Session,
    arguments: &mut Arguments,
    _lines: &mut Lines<'_>,
) -> Result {
    let file = File::open(arguments.path()?)?;
    let window_bytes: usize = arguments.number()?;
    let fault_bytes: usize = arguments.number()?;
    let file_bytes = file.metadata()?.len();
    let windows = file_bytes / (window_bytes as u64).max(1);
    let faults = window_bytes / fault_bytes.max(1);
    let total = usize::try_from(windows).unwrap_or_default() * faults;
    if total == 0 {
        return Err(Failure::other("the file is smaller than a window"));
    }
    let mut first = Counts::with_capacity(total);
    let mut again = Counts::with_capacity(total);
    for window in 0..windows {
        let map = map_window(&file, window * window_bytes as u64, window_bytes)?;
        let made = touch(&map, fault_bytes, &mut first)?;
        if made != faults as u64 {
            return Err(Failure::other(format!(
                "{faults} touches of {fault_bytes} bytes made {made} faults"
            )));
        }
        let further = touch(
            &map,
            PAGE_BYTES,
            &mut Counts::with_capacity(window_bytes / PAGE_BYTES),
        )? + touch(&map, fault_bytes, &mut again)?;
        if further != 0 {
            return Err(Failure::other(format!(
                "{further} more faults in parts of {fault_bytes} bytes that were mapped"
            )));
        }
    }
    Ok(first.report(again.median()))
}

/// Touches a page in each part; returns the number of faults that this took.
fn touch(bytes: &[u8], part_bytes: usize, counts: &mut Counts) -> Result<u64> {
    // Asking takes memory, which may fault the first time.
    Faults::now()?;
    let before = Faults::now()?;
    for part in bytes.chunks(part_bytes) {
        counts.add(|| black_box(part.first().copied()));
    }
    let after = Faults::now()?;
    Ok((after.minor + after.major) - (before.minor + before.major))
}
