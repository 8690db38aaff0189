// SPDX-License-Identifier: GPL-2.0

//! Mapped files: `touch`, `hold`, `self`.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::Until;
use crate::commands::Arguments;
use crate::memory;
use crate::proc_self::physical_addresses;
use crate::proc_self::smaps_of;
use crate::proc_self::Faults;
use crate::Failure;

const PAGE_BYTES: usize = 4096;

/// How long a mapping is held at most: a host that is gone cannot end it.
const HOLD_LIMIT: Duration = Duration::from_secs(600);

/// How long `hold` waits between two looks at the pages.
const HOLD_PAUSE: Duration = Duration::from_millis(20);

/// `touch shared|private|private-write|write FILE`: maps a file, touches each page, and says what
/// that took: a line `pages= sum= faults= lowest= highest=`, then the lines of `smaps`.
pub(super) fn touch(arguments: &mut Arguments) -> Result<(), Failure> {
    let mode = arguments.word()?;
    let path = arguments.path()?;
    match mode.as_str() {
        "shared" => {
            let map = memory::map_shared(&File::open(&path)?)?;
            report(&path, || read_pages(&map))
        }
        "private" => {
            let map = memory::map_private(&File::open(&path)?)?;
            report(&path, || read_pages(&map))
        }
        "private-write" => {
            let mut map = memory::map_private(&File::open(&path)?)?;
            report(&path, || write_pages(&mut map))
        }
        "write" => {
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            let mut map = memory::map_writable(&file)?;
            report(&path, || write_pages(&mut map))?;
            Ok(map.flush()?)
        }
        other => Err(Failure::other(format!("no such mapping: {other}"))),
    }
}

/// `hold FILE`: maps a file and looks at its pages again and again, until the input is closed.
pub(super) fn hold(arguments: &mut Arguments) -> Result<(), Failure> {
    let map = memory::map_shared(&File::open(arguments.path()?)?)?;
    let sum = read_pages(&map);
    let until = Until::ready(HOLD_LIMIT)?;
    while until.goes_on() {
        if read_pages(&map) != sum {
            return Err(Failure::other("the content has changed"));
        }
        thread::sleep(HOLD_PAUSE);
    }
    println!("sum={sum:#x}");
    Ok(())
}

/// `self`: says which memory this program is executed from, like `touch`.
pub(super) fn own_program(_arguments: &mut Arguments) -> Result<(), Failure> {
    report(&fs::read_link("/proc/self/exe")?, || 0)
}

fn report(path: &Path, work: impl FnOnce() -> u64) -> Result<(), Failure> {
    let before = Faults::now()?;
    let sum = work();
    let after = Faults::now()?;
    let addresses = physical_addresses(path)?;
    println!(
        "pages={} sum={sum:#x} faults={} lowest={:#x} highest={:#x}",
        addresses.len(),
        (after.minor + after.major) - (before.minor + before.major),
        addresses.iter().min().copied().unwrap_or_default(),
        addresses.iter().max().copied().unwrap_or_default(),
    );
    for line in smaps_of(path)? {
        println!("{line}");
    }
    Ok(())
}

/// Reads the first byte of each page.
fn read_pages(bytes: &[u8]) -> u64 {
    let first = bytes.chunks(PAGE_BYTES).filter_map(|page| page.first());
    // Otherwise the loop could be merged with another one over the same bytes.
    first.fold(0, |sum, byte| std::hint::black_box(sum + u64::from(*byte)))
}

/// Increments the first byte of each page.
fn write_pages(bytes: &mut [u8]) -> u64 {
    for byte in bytes
        .chunks_mut(PAGE_BYTES)
        .filter_map(|page| page.first_mut())
    {
        *byte = std::hint::black_box(byte.wrapping_add(1));
    }
    read_pages(bytes)
}
