// SPDX-License-Identifier: GPL-2.0

//! The demo of onecopy and its benchmarks.
//!
//! - `demo` ([`demo`]): four guests execute programs from one segment, then four guests from a
//!   virtio disk; a table puts both ways side by side. The parts: [`image`] makes the segment and
//!   the disk, [`guest`] and [`fleet`] boot and measure, [`tree`] checks the guests' results.
//! - `dcss` ([`dcss`]): what another guest costs, from the same parts, and how many instructions
//!   reads and faults take against the C drivers ([`instructions`]), as a table and as a file
//!   ([`report`]).

mod command;
mod counter;
mod dcss;
mod demo;
mod fleet;
mod guest;
mod host;
mod image;
mod instructions;
mod paths;
mod report;
mod sample;
mod table;
mod tree;

use std::process::ExitCode;

use clap::Parser;

use crate::command::Cli;
use crate::command::Command;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Command::Demo => demo::run(&cli.options),
        Command::Dcss { check } => dcss::run(&cli.options, *check),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("onecopy-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
