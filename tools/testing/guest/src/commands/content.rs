// SPDX-License-Identifier: GPL-2.0

//! Content of files and devices: `digest`, `random`, `open`, `pwrite`, `fsync`, `close`.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

use sha2::Digest;
use sha2::Sha256;

use super::Arguments;
use super::Command;
use super::Lines;
use super::Result;
use super::Session;
use crate::content::read_range;
use crate::content::Buffer;
use crate::content::Mode;
use crate::Failure;

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "digest",
        arguments: "FILE r|rd OFFSET LENGTH BLOCK_BYTES",
        run: digest,
    },
    Command {
        name: "random",
        arguments: "FILE LENGTH",
        run: random,
    },
    Command {
        name: "open",
        arguments: "SLOT r|w|rd|wd FILE",
        run: open,
    },
    Command {
        name: "close",
        arguments: "SLOT",
        run: close,
    },
    Command {
        name: "pread",
        arguments: "SLOT OFFSET LENGTH",
        run: pread,
    },
    Command {
        name: "pwrite",
        arguments: "SLOT OFFSET LENGTH BYTE",
        run: pwrite,
    },
    Command {
        name: "fsync",
        arguments: "SLOT",
        run: fsync,
    },
];

/// Computes the SHA-256 digest of a range, which may be cut by the end of the file.
fn digest(_session: &mut Session, arguments: &mut Arguments, _lines: &mut Lines<'_>) -> Result {
    let path = arguments.path()?;
    let file = Mode::parse(&arguments.word()?)?.open(&path)?;
    let offset: u64 = arguments.number()?;
    let length: u64 = arguments.number()?;
    let mut hasher = Sha256::new();
    let end = offset.saturating_add(length);
    let bytes = read_range(&file, offset..end, arguments.number()?, |block| {
        hasher.update(block)
    })?;
    Ok(format!(
        "bytes={bytes} sha256={}",
        hexadecimal(&hasher.finalize())
    ))
}

/// Writes a file of random bytes, which nobody can have in common or guess.
fn random(_session: &mut Session, arguments: &mut Arguments, _lines: &mut Lines<'_>) -> Result {
    let path = arguments.path()?;
    let length = arguments.number()?;
    let mut source = File::open("/dev/urandom")?.take(length);
    let bytes = std::io::copy(&mut source, &mut File::create(path)?)?;
    Ok(format!("bytes={bytes}"))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Opens a file and keeps it open under a name.
fn open(session: &mut Session, arguments: &mut Arguments, _lines: &mut Lines<'_>) -> Result {
    let slot = arguments.word()?;
    let mode = Mode::parse(&arguments.word()?)?;
    session.files.insert(slot, mode.open(&arguments.path()?)?);
    Ok(String::new())
}

fn close(session: &mut Session, arguments: &mut Arguments, _lines: &mut Lines<'_>) -> Result {
    let slot = arguments.word()?;
    match session.files.remove(&slot) {
        Some(_) => Ok(String::new()),
        None => Err(Failure::other(format!("no open file {slot}"))),
    }
}

/// Reads by one system call.
fn pread(session: &mut Session, arguments: &mut Arguments, _lines: &mut Lines<'_>) -> Result {
    let slot = arguments.word()?;
    let offset = arguments.number()?;
    let mut buffer = Buffer::new(arguments.number()?);
    let count = session
        .file(&slot)?
        .read_at(buffer.as_mut_slice(), offset)?;
    Ok(format!("bytes={count}"))
}

/// Writes by one system call.
fn pwrite(session: &mut Session, arguments: &mut Arguments, _lines: &mut Lines<'_>) -> Result {
    let slot = arguments.word()?;
    let offset = arguments.number()?;
    let mut buffer = Buffer::new(arguments.number()?);
    let bytes = buffer.as_mut_slice();
    bytes.fill(arguments.number()?);
    let count = session.file(&slot)?.write_at(bytes, offset)?;
    Ok(format!("bytes={count}"))
}

fn fsync(session: &mut Session, arguments: &mut Arguments, _lines: &mut Lines<'_>) -> Result {
    session.file(&arguments.word()?)?.sync_all()?;
    Ok(String::new())
}
