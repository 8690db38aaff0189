// SPDX-License-Identifier: GPL-2.0

//! BPF programs: `bpf-kprobe`.

use std::ffi::CString;

use super::Arguments;
use super::Command;
use super::Lines;
use super::Result;
use super::Session;
use crate::bpf;
use crate::Failure;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "bpf-kprobe",
    arguments: "SLOT FUNCTION",
    run: attach,
}];

/// Attaches a program to a function of the kernel, until the slot is closed.
fn attach(session: &mut Session, arguments: &mut Arguments, _lines: &mut Lines<'_>) -> Result {
    let slot = arguments.word()?;
    let function = CString::new(arguments.bytes()?);
    let function = function.map_err(|error| Failure::other(error.to_string()))?;
    session.files.insert(slot, bpf::attach(&function)?);
    Ok(String::new())
}
