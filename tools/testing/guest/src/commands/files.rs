// SPDX-License-Identifier: GPL-2.0

//! Files and directories: `write`, `read`, `ls`, `mkdir`, `rmdir`, `stat`.

use std::fs;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;

use super::Arguments;
use super::Command;
use super::Lines;
use super::Result;
use super::Session;
use crate::Failure;

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "write",
        arguments: "FILE TEXT",
        run: write,
    },
    Command {
        name: "read",
        arguments: "FILE",
        run: read,
    },
    Command {
        name: "ls",
        arguments: "DIRECTORY",
        run: ls,
    },
    Command {
        name: "mkdir",
        arguments: "DIRECTORY",
        run: mkdir,
    },
    Command {
        name: "rmdir",
        arguments: "DIRECTORY",
        run: rmdir,
    },
    Command {
        name: "stat",
        arguments: "PATH",
        run: stat,
    },
];

/// Writes by one system call: that is what attributes of drivers act on.
fn write(_session: &mut Session, arguments: &mut Arguments, _lines: &mut Lines<'_>) -> Result {
    let path = arguments.path()?;
    let text = arguments.bytes()?;
    let mut file = OpenOptions::new().write(true).open(&path)?;
    let written = file.write(&text)?;
    if written != text.len() {
        return Err(Failure::other(format!(
            "{written} of {} bytes were taken",
            text.len()
        )));
    }
    Ok(String::new())
}

fn read(_session: &mut Session, arguments: &mut Arguments, lines: &mut Lines<'_>) -> Result {
    let bytes = fs::read(arguments.path()?)?;
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let end = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(rest.len());
        lines(rest.get(..end).unwrap_or_default());
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    Ok(format!("bytes={}", bytes.len()))
}

fn ls(_session: &mut Session, arguments: &mut Arguments, lines: &mut Lines<'_>) -> Result {
    let mut names = Vec::new();
    for entry in fs::read_dir(arguments.path()?)? {
        names.push(entry?.file_name());
    }
    names.sort_unstable();
    for name in &names {
        lines(name.as_bytes());
    }
    Ok(format!("count={}", names.len()))
}

fn mkdir(_session: &mut Session, arguments: &mut Arguments, _lines: &mut Lines<'_>) -> Result {
    fs::create_dir(arguments.path()?)?;
    Ok(String::new())
}

fn rmdir(_session: &mut Session, arguments: &mut Arguments, _lines: &mut Lines<'_>) -> Result {
    fs::remove_dir(arguments.path()?)?;
    Ok(String::new())
}

fn stat(_session: &mut Session, arguments: &mut Arguments, _lines: &mut Lines<'_>) -> Result {
    let metadata = fs::metadata(arguments.path()?)?;
    let kind = metadata.file_type();
    let kind = match () {
        () if kind.is_dir() => "directory",
        () if kind.is_block_device() => "block",
        () if kind.is_char_device() => "char",
        () if kind.is_file() => "file",
        () => "other",
    };
    Ok(format!("kind={kind} bytes={}", metadata.len()))
}
