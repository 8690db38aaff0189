// SPDX-License-Identifier: GPL-2.0

//! Leaks of kernel memory: `kmemleak`.

use std::fs;
use std::thread;
use std::time::Duration;

use super::Arguments;
use super::Command;
use super::Lines;
use super::Result;
use super::Session;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "kmemleak",
    arguments: "",
    run: kmemleak,
}];

const FILE: &str = "/sys/kernel/debug/kmemleak";

/// The detector does not report what is younger than this: it may still be on its way into a list.
const MIN_AGE: Duration = Duration::from_millis(5500);

/// Lets the detector scan and says its report; nothing when there is no leak.
fn kmemleak(_session: &mut Session, _arguments: &mut Arguments, lines: &mut Lines<'_>) -> Result {
    thread::sleep(MIN_AGE);
    // Two scans, since the first one may have met an object while it moved between lists.
    fs::write(FILE, "scan")?;
    fs::write(FILE, "scan")?;
    let report = fs::read_to_string(FILE)?;
    for line in report.lines() {
        lines(line.as_bytes());
    }
    Ok(format!(
        "leaks={}",
        report.matches("unreferenced object").count()
    ))
}
