// SPDX-License-Identifier: GPL-2.0

//! `storm`: many processes at once.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use rustix::process::getuid;

use crate::commands::Arguments;
use crate::Failure;

/// Our own program, also where there is no other.
const SELF: &str = "/proc/self/exe";

/// `storm PROCESSES ROUNDS`: starts so many processes at once, each of which executes our program,
/// writes to memory and ends; waits for all of them, and does that so often.
pub(super) fn storm(arguments: &mut Arguments) -> Result<(), Failure> {
    let (processes, rounds): (usize, usize) = (arguments.number()?, arguments.number()?);
    let mut ended = 0;
    for _ in 0..rounds {
        let started: Vec<_> = (0..processes).map(|_| start()).collect();
        // Those that were started are waited for also where one was not.
        let results: Vec<_> = started.into_iter().map(|child| wait(child?)).collect();
        for result in results {
            result?;
            ended += 1;
        }
    }
    println!("ended={ended}");
    Ok(())
}

fn start() -> io::Result<Child> {
    let mut program = Command::new(SELF);
    program
        .args(["hog", "1"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        // The library copies the process, page tables and all, only where it has to change
        // something between fork and exec: this user is the same.
        .uid(getuid().as_raw());
    program.spawn()
}

fn wait(mut child: Child) -> Result<(), Failure> {
    let status = child.wait()?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::other(format!("a process of the storm: {status}")))
}
