// SPDX-License-Identifier: GPL-2.0

//! The demo of onecopy and its benchmarks.
//!
//! - `demo` ([`demo`]): four guests of a saved system execute programs from one segment, then four
//!   that have booted, then four from a virtio disk; a table puts the [`way`]s side by side. The
//!   parts: [`image`] makes the segment and the disk, [`guest`] and [`fleet`] start and measure,
//!   [`tree`] checks the guests' results.
//! - `cmm` ([`cmm`]): how fast memory goes to the host and comes back, against the driver in C and
//!   against a guest without an operating system ([`limit`]).
//! - `dcss` ([`dcss`]): what another guest costs, from the same parts, and how many instructions
//!   reads and faults take against the C drivers ([`instructions`]), as a table and as a file
//!   ([`report`]).
//! - `ipl` ([`ipl`]): guests from a saved system against booted ones.
//! - `vmrm` ([`vmrm`]): how many guests are killed for lack of memory with the resource manager and
//!   without, and how long a decision takes.

mod cmm;
mod command;
mod counter;
mod dcss;
mod demo;
mod fleet;
mod guest;
mod host;
mod image;
mod instructions;
mod ipl;
mod limit;
mod paths;
mod report;
mod sample;
mod table;
mod tree;
mod vmrm;
mod way;

use std::process::ExitCode;

use clap::Parser;

use crate::command::Cli;
use crate::command::Command;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Command::Demo => demo::run(&cli.options),
        Command::BalloonContract { baremetal } => limit::check_contract(&cli.options, baremetal),
        Command::Cmm { check, baremetal } => cmm::run(&cli.options, baremetal, *check),
        Command::Dcss { check } => dcss::run(&cli.options, *check),
        Command::Ipl(ipl) => ipl::run(&cli.options, ipl),
        Command::Vmrm { check, inner } => vmrm::run(&cli.options, *check, *inner),
        Command::Squeeze => vmrm::squeeze::run(&cli.options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("onecopy-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
