// SPDX-License-Identifier: GPL-2.0

//! What the applet `draw-random` has recorded: `draws`.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::Arguments;
use super::Command;
use super::Lines;
use super::Result;
use super::Session;
use crate::applets::DRAW_BYTES;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "draws",
    arguments: "FILE FIRST COUNT",
    run: draws,
}];

/// Says time and number of some draws, a line each, and how many there are in all.
fn draws(_session: &mut Session, arguments: &mut Arguments, lines: &mut Lines<'_>) -> Result {
    let file = File::open(arguments.path()?)?;
    let first: u64 = arguments.number()?;
    let count: u64 = arguments.number()?;
    for index in first..first.saturating_add(count) {
        let mut draw = [0; DRAW_BYTES];
        file.read_exact_at(&mut draw, index * DRAW_BYTES as u64)?;
        let (time, number) = draw.split_at(DRAW_BYTES / 2);
        let hexadecimal: String = number.iter().map(|byte| format!("{byte:02x}")).collect();
        let time: [u8; DRAW_BYTES / 2] = time.try_into().unwrap_or_default();
        lines(format!("{} {hexadecimal}", u64::from_le_bytes(time)).as_bytes());
    }
    Ok(format!(
        "draws={}",
        file.metadata()?.len() / DRAW_BYTES as u64
    ))
}
