// SPDX-License-Identifier: GPL-2.0

//! The `onecopy` command.
//!
//! Exit status: 0 when everything asked for was done, 1 when something failed (the reason is on
//! standard error), 2 when the command line or a configuration was not understood.

mod boot;
mod cli;
mod commands;
mod emulator;
mod keeper;
mod outcome;
mod progress;
mod segments;
mod size;
mod terminal;

use std::process::ExitCode;

use clap::Parser;
use onecopy_vmrm::config::ConfigError;

use crate::cli::Cli;
use crate::outcome::Outcome;

/// Exit status of a failure.
const FAILURE: u8 = 1;

/// Exit status when a configuration was not understood: trying again does not help.
const NOT_UNDERSTOOD: u8 = 2;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("onecopy: {error:#}");
            ExitCode::from(if error.is::<ConfigError>() {
                NOT_UNDERSTOOD
            } else {
                FAILURE
            })
        }
    }
}

fn run() -> anyhow::Result<ExitCode> {
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
    let outcome: Outcome = commands::run(&cli)?;
    outcome.render(&mut std::io::stdout().lock(), &mut std::io::stderr().lock())?;
    Ok(if outcome.is_success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILURE)
    })
}
