// SPDX-License-Identifier: GPL-2.0

//! The `onecopy` command.
//!
//! Exit status: 0 when everything asked for was done, 1 when something failed (the reason is on
//! standard error), 2 when the command line or a configuration was not understood. The verbs about
//! partitions, and `ipl` in one, say more: 3 when there is nothing of the name, 4 when its state does
//! not allow it, 5 when the host does not give so much, 6 when a file is damaged.

mod boot;
mod cli;
mod commands;
mod emulator;
mod files;
mod keeper;
mod outcome;
mod progress;
mod segments;
mod size;
mod terminal;

use std::process::ExitCode;

use clap::Parser;
use rustix::fs::Mode;
use rustix::process::umask;

use crate::cli::Cli;
use crate::outcome::Outcome;

/// Exit status of a failure.
const FAILURE: u8 = 1;

/// Exit status when a configuration was not understood: trying again does not help.
const NOT_UNDERSTOOD: u8 = 2;

/// Exit statuses of failures of which the verbs about partitions tell the kind.
const UNKNOWN: u8 = 3;
const WRONG_STATE: u8 = 4;
const SHORTAGE: u8 = 5;
const DAMAGED: u8 = 6;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("onecopy: {error:#}");
            ExitCode::from(FAILURE)
        }
    }
}

fn run() -> anyhow::Result<ExitCode> {
    // Whatever the user's habit is, others do not write to what we and QEMU create.
    let habit = umask(Mode::WGRP | Mode::WOTH);
    umask(habit | Mode::WGRP | Mode::WOTH);
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are "errors" of status 0; the others have status 2.
            error.print()?;
            return Ok(ExitCode::from(
                u8::try_from(error.exit_code()).unwrap_or(FAILURE),
            ));
        }
    };
    let outcome: Outcome = match commands::run(&cli) {
        Ok(outcome) => outcome,
        Err(error) => {
            eprintln!("onecopy: {error:#}");
            return Ok(ExitCode::from(commands::exit_status(&cli, &error)));
        }
    };
    outcome.render(&mut std::io::stdout().lock(), &mut std::io::stderr().lock())?;
    Ok(ExitCode::from(outcome.exit_status()))
}
