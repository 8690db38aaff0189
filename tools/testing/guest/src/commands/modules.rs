// SPDX-License-Identifier: GPL-2.0

//! Kernel modules: `insmod`, `rmmod`.

use std::ffi::CString;
use std::fs::File;

use rustix::system::delete_module;
use rustix::system::finit_module;

use super::Arguments;
use super::Command;
use super::Lines;
use super::Result;
use super::Session;
use crate::Failure;

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "insmod",
        arguments: "FILE [PARAMETERS]",
        run: insmod,
    },
    Command {
        name: "rmmod",
        arguments: "NAME",
        run: rmmod,
    },
];

/// `O_NONBLOCK` for `delete_module(2)`: fail instead of waiting while the module is in use.
const NONBLOCK: i32 = 0o4000;

fn insmod(_session: &mut Session, arguments: &mut Arguments, _lines: &mut Lines<'_>) -> Result {
    let file = File::open(arguments.path()?)?;
    let parameters = c_string(arguments.optional_word()?.unwrap_or_default())?;
    finit_module(&file, &parameters, 0)?;
    Ok(String::new())
}

fn rmmod(_session: &mut Session, arguments: &mut Arguments, _lines: &mut Lines<'_>) -> Result {
    delete_module(&c_string(arguments.word()?)?, NONBLOCK)?;
    Ok(String::new())
}

fn c_string(word: String) -> Result<CString> {
    CString::new(word).map_err(|error| Failure::other(error.to_string()))
}
