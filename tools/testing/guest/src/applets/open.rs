// SPDX-License-Identifier: GPL-2.0

//! `open-loop`: opens, reads and closes a device over and over.

use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;

use super::Until;
use crate::commands::Arguments;
use crate::content::read_range;
use crate::content::Mode;
use crate::Failure;

/// What a device that is just being detached may answer.
const GONE: [Errno; 5] = [
    Errno::NOENT,
    Errno::NXIO,
    Errno::NODEV,
    Errno::IO,
    Errno::BUSY,
];

/// `open-loop DEVICE MILLISECONDS`: says how often that worked and how often the device was gone;
/// any other error ends it.
pub(super) fn open_loop(arguments: &mut Arguments) -> Result<(), Failure> {
    let path = arguments.path()?;
    let until = Until::ready(Duration::from_millis(arguments.number()?))?;
    let (mut opened, mut gone) = (0_u64, 0_u64);
    while until.goes_on() {
        match read_first_block(&path) {
            Ok(()) => opened += 1,
            Err(failure) if GONE.iter().any(|e| e.raw_os_error() == failure.errno) => gone += 1,
            Err(failure) => return Err(failure),
        }
    }
    println!("opened={opened} gone={gone}");
    Ok(())
}

fn read_first_block(path: &Path) -> Result<(), Failure> {
    let file = Mode::parse("rd")?.open(path)?;
    read_range(&file, 0..4096, 4096, |_| ()).map(drop)
}
