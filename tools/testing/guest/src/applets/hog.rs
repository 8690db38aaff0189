// SPDX-License-Identifier: GPL-2.0

//! Anonymous memory: `hog`, `hold-memory`, `fragment-memory`.

use std::time::Duration;

use memmap2::Advice;
use memmap2::MmapMut;

use super::Until;
use crate::commands::Arguments;
use crate::memory;
use crate::Failure;

const PAGE_BYTES: usize = 4096;

/// How long memory is held at most: a host that is gone cannot end it.
const HOLD_LIMIT: Duration = Duration::from_secs(600);

/// How long a holder sleeps between two looks at its input.
const HOLD_PAUSE: Duration = Duration::from_millis(20);

/// `hog MIB`: writes to every page of so much memory, and gives it back.
pub(super) fn hog(arguments: &mut Arguments) -> Result<(), Failure> {
    let mut map = mapped(arguments)?;
    touch(&mut map);
    println!("touched={}", map.len());
    Ok(())
}

/// `hold-memory MIB`: as `hog`, but keeps the memory until the input is closed.
pub(super) fn hold(arguments: &mut Arguments) -> Result<(), Failure> {
    let mut map = mapped(arguments)?;
    touch(&mut map);
    wait()?;
    println!("touched={}", map.len());
    Ok(())
}

/// `fragment-memory MIB`: as `hold-memory`, but keeps every second page only, and no large ones.
pub(super) fn fragment(arguments: &mut Arguments) -> Result<(), Failure> {
    let mut map = mapped(arguments)?;
    // The kernel frees a part of a large page only when it needs memory.
    map.advise(Advice::NoHugePage)?;
    touch(&mut map);
    for page in (0..map.len() / PAGE_BYTES).step_by(2) {
        memory::forget(&mut map, page * PAGE_BYTES, PAGE_BYTES)?;
    }
    wait()?;
    println!("touched={}", map.len());
    Ok(())
}

fn wait() -> Result<(), Failure> {
    let until = Until::ready(HOLD_LIMIT)?;
    while until.goes_on() {
        std::thread::sleep(HOLD_PAUSE);
    }
    Ok(())
}

fn mapped(arguments: &mut Arguments) -> Result<MmapMut, Failure> {
    let mib: usize = arguments.number()?;
    Ok(MmapMut::map_anon(mib << 20)?)
}

fn touch(map: &mut MmapMut) {
    for byte in map.iter_mut().step_by(PAGE_BYTES) {
        *byte = 1;
    }
}
