// SPDX-License-Identifier: GPL-2.0

//! The program: the first process of a guest, or one of its helpers.

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use onecopy_guest::applets;
use onecopy_guest::init;

fn main() -> ExitCode {
    if std::process::id() == 1 {
        init::run();
    }
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    match applets::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
