// SPDX-License-Identifier: GPL-2.0

//! File systems: `mount`, `umount`.

use std::ffi::CString;
use std::fs;
use std::path::Path;

use rustix::mount::mount as mount_at;
use rustix::mount::unmount;
use rustix::mount::MountFlags;
use rustix::mount::UnmountFlags;

use super::Arguments;
use super::Command;
use super::Lines;
use super::Result;
use super::Session;
use crate::Failure;

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "mount",
        arguments: "TYPE SOURCE DIRECTORY [OPTIONS]",
        run: mount,
    },
    Command {
        name: "umount",
        arguments: "DIRECTORY",
        run: umount,
    },
];

/// Mounts at a directory, which is made. The options may begin with `ro,`.
fn mount(_session: &mut Session, arguments: &mut Arguments, _lines: &mut Lines<'_>) -> Result {
    let kind = arguments.word()?;
    let source = arguments.path()?;
    let directory = arguments.path()?;
    let options = arguments.optional_word()?.unwrap_or_default();
    let read_only = options.split(',').any(|option| option == "ro");
    let data: Vec<&str> = options
        .split(',')
        .filter(|option| !matches!(*option, "" | "ro"))
        .collect();
    let data = CString::new(data.join(",")).map_err(|error| Failure::other(error.to_string()))?;
    let flags = if read_only {
        MountFlags::RDONLY
    } else {
        MountFlags::empty()
    };
    make_directory(&directory)?;
    mount_at(&source, &directory, kind.as_str(), flags, data.as_c_str())?;
    Ok(String::new())
}

fn make_directory(directory: &Path) -> Result<()> {
    if !directory.is_dir() {
        fs::create_dir_all(directory)?;
    }
    Ok(())
}

fn umount(_session: &mut Session, arguments: &mut Arguments, _lines: &mut Lines<'_>) -> Result {
    unmount(&arguments.path()?, UnmountFlags::empty())?;
    Ok(String::new())
}
