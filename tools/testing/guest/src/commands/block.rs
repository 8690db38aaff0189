// SPDX-License-Identifier: GPL-2.0

//! Block devices: `set-read-only`.

use std::fs::File;

use super::Arguments;
use super::Command;
use super::Lines;
use super::Result;
use super::Session;
use crate::memory;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "set-read-only",
    arguments: "DEVICE 0|1",
    run: set_read_only,
}];

fn set_read_only(
    _session: &mut Session,
    arguments: &mut Arguments,
    _lines: &mut Lines<'_>,
) -> Result {
    let device = File::open(arguments.path()?)?;
    memory::set_read_only(&device, arguments.number::<u8>()? != 0)?;
    Ok(String::new())
}
