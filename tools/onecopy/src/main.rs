// SPDX-License-Identifier: GPL-2.0

//! The `onecopy` command. What its exit statuses mean is in [`status`].

mod boot;
mod cli;
mod commands;
mod emulator;
mod failure;
mod json;
mod keeper;
mod manual;
mod outcome;
mod progress;
mod remark;
mod segments;
mod size;
mod status;
mod terminal;

use std::io;
use std::io::ErrorKind;
use std::process::ExitCode;

use clap::Parser;
use rustix::fs::Mode;
use rustix::process::umask;

use crate::cli::Cli;
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::status::Status;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("onecopy: {error:#}");
            Status::of(&error).into()
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
            return Ok(not_parsed(&error)?.into());
        }
    };
    let outcome: Outcome = match commands::run(&cli) {
        Ok(outcome) => outcome,
        Err(error) => {
            let failure = Failure::of(&error);
            failure.render(&mut anstream::stderr().lock(), cli.json)?;
            return Ok(ExitCode::from(failure.exit_status));
        }
    };
    while_read(show(&outcome, cli.json))?;
    Ok(outcome.status().into())
}

fn show(outcome: &Outcome, json: bool) -> io::Result<()> {
    if json {
        return outcome.render_json(&mut io::stdout().lock(), &mut io::stderr().lock());
    }
    // These take out the colours unless they are for a terminal whose user wants them.
    outcome.render(
        &mut anstream::stdout().lock(),
        &mut anstream::stderr().lock(),
    )
}

/// Who reads no further, as head does, has seen what he wanted: that is no failure.
fn while_read(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Shows why there is nothing to carry out. Help and version are "errors" of status 0.
fn not_parsed(error: &clap::Error) -> io::Result<Status> {
    if !error.use_stderr() {
        while_read(error.print())?;
        return Ok(Status::Done);
    }
    // What was typed is not understood, but this may be seen in it.
    if std::env::args_os().any(|argument| argument == "--json") {
        let failure = Failure::of_usage(error);
        failure.render(&mut io::stderr().lock(), true)?;
    } else {
        error.print()?;
    }
    Ok(Status::NotUnderstood)
}
