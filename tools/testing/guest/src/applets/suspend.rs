// SPDX-License-Identifier: GPL-2.0

//! The machine as a whole: `suspend`.

use std::fs;
use std::io::Write;
use std::thread;
use std::time::Duration;

use crate::commands::Arguments;
use crate::Failure;

/// How long the answer that says so may take to the host.
const PAUSE: Duration = Duration::from_millis(500);

/// `suspend STATE`: says that it is about to, then suspends the machine, for example to `mem`.
pub(super) fn suspend(arguments: &mut Arguments) -> Result<(), Failure> {
    let state = arguments.word()?;
    println!("ready");
    std::io::stdout().flush()?;
    thread::sleep(PAUSE);
    fs::write("/sys/power/state", state)?;
    println!("resumed");
    Ok(())
}
