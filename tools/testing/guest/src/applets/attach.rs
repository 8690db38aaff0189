// SPDX-License-Identifier: GPL-2.0

//! `attach-loop`, `attach-count`: attach and detach a segment over and over.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

use rustix::io::Errno;

use super::Until;
use crate::commands::Arguments;
use crate::Failure;

const ADD: &str = "/sys/kernel/config/dcss/add";
const REMOVE: &str = "/sys/kernel/config/dcss/remove";

/// What another process that does the same, or uses the device, may cause.
const RACES: [Errno; 3] = [Errno::EXIST, Errno::NODEV, Errno::BUSY];

/// `attach-loop SEGMENTS DEVICE MILLISECONDS`: says how often attaching and detaching worked; any
/// error that no race explains ends it.
pub(super) fn attach_loop(arguments: &mut Arguments) -> Result<(), Failure> {
    let segments = arguments.bytes()?;
    let device = arguments.bytes()?;
    let until = Until::ready(Duration::from_millis(arguments.number()?))?;
    let (mut attached, mut detached) = (0_u64, 0_u64);
    while until.goes_on() {
        attached += tolerate(write(ADD, &segments))?;
        detached += tolerate(write(REMOVE, &device))?;
    }
    println!("attached={attached} detached={detached}");
    Ok(())
}

/// `attach-count SEGMENTS DEVICE COUNT`: every error ends it.
pub(super) fn attach_count(arguments: &mut Arguments) -> Result<(), Failure> {
    let segments = arguments.bytes()?;
    let device = arguments.bytes()?;
    let count: u64 = arguments.number()?;
    for round in 0..count {
        write(ADD, &segments)
            .and_then(|()| write(REMOVE, &device))
            .map_err(|failure| failure.context(format!("round {round}")))?;
    }
    println!("attached={count}");
    Ok(())
}

fn write(path: &str, text: &[u8]) -> Result<(), Failure> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(text)
        .map_err(|error| Failure::from(error).context(path))
}

/// Counts a success as 1 and a lost race as 0.
fn tolerate(result: Result<(), Failure>) -> Result<u64, Failure> {
    match result {
        Ok(()) => Ok(1),
        Err(failure) if RACES.iter().any(|e| e.raw_os_error() == failure.errno) => Ok(0),
        Err(failure) => Err(failure),
    }
}
