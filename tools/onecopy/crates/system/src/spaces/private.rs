// SPDX-License-Identifier: GPL-2.0

//! Private copies of segment spaces: CP's LOADNSHR.
//!
//! QEMU maps the file privately, so what a guest stores reaches nobody. But the guest's driver looks into
//! the directory of the space, which is in the same file, and makes a disk of type SR read-only. So the
//! directory in the copy has to say something else, before the guest sees it: every member with content
//! has type EW there. That block is written into the memory of QEMU, from where the guest gets it; the file
//! is not opened for writing at all.

use std::fs;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use onecopy_format::segment_space;
use onecopy_format::segment_space::Member;
use onecopy_format::segment_space::SegmentType;
use onecopy_machine::Interrupt;
use onecopy_store::Space;
use rustix::fs::major;
use rustix::fs::minor;

use super::Rules;
use super::SpaceError;
use crate::error::Error;
use crate::guests::Record;
use crate::process::Process;
use crate::Result;

/// How long QEMU may take to give back a mapping, and how often it is looked for.
const UNMAP_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(10);

/// Makes sure that a segment space may be loaded non-shared: as with CP one that is restricted, or that the
/// host may change, may not.
///
/// # Errors
///
/// When it may not, with the reason.
pub fn check_non_shared(space: &Space, rules: &Rules) -> Result<()> {
    let changing = |member: &&Member| member.kind == SegmentType::Sc;
    let reason = match space.members().iter().find(changing) {
        _ if rules.is_restricted() => "it is restricted".to_owned(),
        Some(member) => format!("member {} has type SC", member.name),
        None => return Ok(()),
    };
    Err(SpaceError::NotNonShared {
        space: space.name(),
        reason,
    }
    .into())
}

/// Waits until QEMU has no private copy of a segment space: it may still be giving back one that an attach has
/// left that was killed.
pub(super) fn wait_until_unmapped(
    record: &Record,
    space: &Space,
    interrupt: &Interrupt,
) -> Result<()> {
    let qemu = qemu_of(record)?;
    let start = Instant::now();
    loop {
        let starts = copies(qemu, space).map_err(|source| not_writable(record, space, source))?;
        if starts.is_empty() {
            return Ok(());
        }
        if start.elapsed() >= UNMAP_TIMEOUT {
            return Err(mapped(record, space, starts.len(), 0));
        }
        interrupt.check()?;
        thread::sleep(RETRY);
    }
}

/// Lets the guest write to all members of the copy that its QEMU has mapped and not plugged yet. It is the only
/// one, see [`wait_until_unmapped`].
pub(super) fn make_writable(record: &Record, space: &Space) -> Result<()> {
    let block = writable_directory(space).map_err(|source| onecopy_store::Error::Format {
        path: space.path().to_owned(),
        source,
    })?;
    let failed = |source| not_writable(record, space, source);
    let qemu = qemu_of(record)?;
    let path = format!("/proc/{}/mem", qemu.pid);
    let memory = File::options().read(true).write(true).open(path);
    let memory = memory.map_err(failed)?;
    let starts = copies(qemu, space).map_err(failed)?;
    // What is open is the memory of one process. Only now it is known that this is QEMU, and not somebody who
    // has got its number.
    if !qemu.is_alive() {
        return Err(Error::Gone(record.guest.clone()));
    }
    let [start] = *starts else {
        return Err(mapped(record, space, starts.len(), 1));
    };
    memory.write_all_at(&block, start).map_err(failed)?;
    Ok(())
}

fn qemu_of(record: &Record) -> Result<Process> {
    let qemu = record.qemu;
    qemu.ok_or_else(|| Error::Gone(record.guest.clone()))
}

fn not_writable(record: &Record, space: &Space, source: io::Error) -> Error {
    SpaceError::NotWritable {
        guest: record.guest.clone(),
        space: space.name(),
        source,
    }
    .into()
}

fn mapped(record: &Record, space: &Space, found: usize, wanted: usize) -> Error {
    SpaceError::Mapped {
        guest: record.guest.clone(),
        space: space.name(),
        found,
        wanted,
    }
    .into()
}

/// Returns the header and the directory with members that guests may write to.
fn writable_directory(space: &Space) -> std::result::Result<Vec<u8>, segment_space::FormatError> {
    let mut members = space.members().to_vec();
    for member in members.iter_mut().filter(|member| member.kind.saved()) {
        member.kind = SegmentType::Ew;
    }
    let mut block = vec![0; segment_space::encoded_bytes(members.len())];
    let (name, generation) = (space.name(), space.generation());
    segment_space::encode(name, generation, space.size_bytes(), &members, &mut block)?;
    Ok(block)
}

/// Returns where a process has private copies of a segment space: its file, mapped writable from the beginning.
fn copies(process: Process, space: &Space) -> io::Result<Vec<u64>> {
    let file = FileId::of(space.file())?;
    let text = fs::read_to_string(format!("/proc/{}/maps", process.pid))?;
    let starts = text.lines().filter_map(|line| start_of(line, &file));
    Ok(starts.collect())
}

/// A file, as the mappings of processes say it. Its path in there is without symbolic links.
#[derive(Debug)]
struct FileId {
    device: (u32, u32),
    inode: u64,
    path: PathBuf,
}

impl FileId {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let device = metadata.dev();
        Ok(Self {
            device: (major(device), minor(device)),
            inode: metadata.ino(),
            path: fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?,
        })
    }
}

/// Returns where a mapping starts, if it is a private copy of the file.
fn start_of(line: &str, file: &FileId) -> Option<u64> {
    let mut fields = line.splitn(6, ' ');
    let (start, _) = fields.next()?.split_once('-')?;
    let is_copy = (fields.next()?, fields.next()?) == ("rw-p", "00000000");
    let (major, minor) = fields.next()?.split_once(':')?;
    let number = |text| u32::from_str_radix(text, 16).ok();
    let device = (number(major)?, number(minor)?);
    let inode: u64 = fields.next()?.parse().ok()?;
    // Some file systems have another number of the device here than for those who examine a file.
    let is_file = inode == file.inode
        && (device == file.device || Path::new(fields.next()?.trim_start()) == file.path);
    let start = u64::from_str_radix(start, 16).ok()?;
    (is_copy && is_file).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rest: &str) -> Option<u64> {
        let file = FileId {
            device: (0xfe, 1),
            inode: 131,
            path: "/s/1.seg".into(),
        };
        start_of(&format!("7f00-8f00 {rest}"), &file)
    }

    #[test]
    fn a_private_writable_mapping_of_the_file_from_the_beginning_is_the_copy() {
        for rest in [
            "rw-p 00000000 fe:01 131                   /s/1.seg",
            // By another way, or of a file system with numbers of its own.
            "rw-p 00000000 fe:01 131                   /link/1.seg",
            "rw-p 00000000 00:2a 131                   /s/1.seg",
        ] {
            assert_eq!(found(rest), Some(0x7f00), "{rest}");
        }
    }

    #[test]
    fn other_mappings_are_not() {
        for rest in [
            "r--s 00000000 fe:01 131    /s/1.seg",
            "rw-s 00000000 fe:01 131    /s/1.seg",
            "rw-p 00001000 fe:01 131    /s/1.seg",
            "rw-p 00000000 fe:01 132    /s/1.seg",
            "rw-p 00000000 fe:02 131    /t/s/1.seg",
            "rw-p 00000000 00:00 0 ",
            "rw-p",
        ] {
            assert_eq!(found(rest), None, "{rest}");
        }
    }
}
