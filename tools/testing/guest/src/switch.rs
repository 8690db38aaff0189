// SPDX-License-Identifier: GPL-2.0

//! Going on from a root file system on a segment.
//!
//! A saved kernel has its initial RAM file system, and the segment comes only when the guest is
//! started. Its command line then says `onecopy_root=SEGMENT`, and, with the kernel's own words,
//! `rootfstype=`, `rootflags=` and `init=`.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use rustix::io::Errno;
use rustix::mount::mount;
use rustix::mount::mount_move;
use rustix::mount::MountFlags;
use rustix::process::chdir;
use rustix::process::chroot;

use crate::Failure;

/// Where segments are attached.
const ADD: &str = "/sys/kernel/config/dcss/add";

/// Where the file system is mounted before it becomes the root.
const DIRECTORY: &str = "/root";

/// How long the device may take to appear, and the pause between two looks.
const TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// The level of messages that reach the console, as `quiet` sets it: the kernel's words must not get
/// in between those of the first program.
const QUIET: &str = "4";

/// A root file system and its first program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Root<'a> {
    segment: &'a str,
    kind: &'a str,
    flags: &'a str,
    init: &'a str,
}

impl<'a> Root<'a> {
    /// Reads a command line; [`None`] if it names no segment.
    pub(crate) fn of(command_line: &'a str) -> Option<Self> {
        // The last one wins, as in the kernel.
        let value = |name: &str| {
            let mut words = command_line.split_whitespace().rev();
            words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        Some(Self {
            segment: value("onecopy_root")?,
            kind: value("rootfstype").unwrap_or("erofs"),
            flags: value("rootflags").unwrap_or_default(),
            init: value("init").unwrap_or("/sbin/init"),
        })
    }

    /// Makes the file system the root and its program the first process. Returns only if that fails.
    pub(crate) fn switch(&self) -> Result<Infallible, Failure> {
        fs::write("/proc/sys/kernel/printk", QUIET)?;
        self.attach()?;
        fs::create_dir_all(DIRECTORY)?;
        let device = Path::new("/dev/dcss").join(self.segment);
        let flags = CString::new(self.flags).map_err(io::Error::from)?;
        mount(&device, DIRECTORY, self.kind, MountFlags::RDONLY, &*flags)?;
        // What the initial RAM file system holds is memory that all guests share: it stays.
        chdir(DIRECTORY)?;
        mount_move(".", "/")?;
        chroot(".")?;
        chdir("/")?;
        Err(Command::new(self.init).exec().into())
    }

    /// Attaches the segment as soon as its device is there.
    fn attach(&self) -> Result<(), Failure> {
        let start = Instant::now();
        loop {
            let added = OpenOptions::new()
                .write(true)
                .open(ADD)
                .and_then(|mut file| file.write_all(self.segment.as_bytes()));
            let error = match added {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            match Errno::from_io_error(&error) {
                Some(Errno::EXIST) => return Ok(()),
                Some(Errno::NOENT | Errno::NODEV) if start.elapsed() < TIMEOUT => {
                    thread::sleep(POLL_INTERVAL);
                }
                _ => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_described_with_the_kernels_words() {
        let line = "a=b onecopy_root=OLD init=/x rootflags=dax=always onecopy_root=USR\n";
        let expected = Root {
            segment: "USR",
            kind: "erofs",
            flags: "dax=always",
            init: "/x",
        };
        assert_eq!(Root::of(line), Some(expected));
        assert_eq!(Root::of("root=/dev/dcss/USR init=/x"), None);
    }
}
