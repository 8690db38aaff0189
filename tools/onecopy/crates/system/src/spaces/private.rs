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
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;

use onecopy_format::segment_space;
use onecopy_format::segment_space::Member;
use onecopy_format::segment_space::SegmentType;
use onecopy_store::Space;

use super::Rules;
use super::SpaceError;
use crate::guests::Record;
use crate::Result;

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

/// Lets the guest write to all members of the copy that its QEMU has mapped and not plugged yet.
pub(super) fn make_writable(record: &Record, space: &Space) -> Result<()> {
    let block = writable_directory(space).map_err(|source| onecopy_store::Error::Format {
        path: space.path().to_owned(),
        source,
    })?;
    let pid = record.qemu.map_or(0, |qemu| qemu.pid);
    let write = || -> io::Result<()> {
        let start = mapping(pid, space.path())?.ok_or(io::ErrorKind::NotFound)?;
        let memory = File::options()
            .read(true)
            .write(true)
            .open(PathBuf::from(format!("/proc/{pid}/mem")))?;
        memory.write_all_at(&block, start)
    };
    write().map_err(|source| SpaceError::NotWritable {
        guest: record.guest.clone(),
        space: space.name(),
        source,
    })?;
    Ok(())
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

/// Returns where a process has mapped a file privately and writable from its beginning.
fn mapping(pid: u32, path: &Path) -> io::Result<Option<u64>> {
    let text = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let path = path.to_str().unwrap_or_default();
    Ok(text.lines().find_map(|line| start_of(line, path)))
}

/// Returns where a mapping starts, if it is the one that is looked for.
fn start_of(line: &str, path: &str) -> Option<u64> {
    let (range, rest) = line.split_once(' ')?;
    let (start, _) = range.split_once('-')?;
    let is_it = rest.starts_with("rw-p 00000000 ") && line.ends_with(&format!(" {path}"));
    is_it.then(|| u64::from_str_radix(start, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_private_writable_mapping_from_the_beginning_is_the_copy() {
        let line = |rest: &str| start_of(&format!("7f00-8f00 {rest}"), "/s/1.seg");
        let path = "fe:01 131                   /s/1.seg";
        assert_eq!(line(&format!("rw-p 00000000 {path}")), Some(0x7f00));
        for rest in [
            format!("r--s 00000000 {path}"),
            format!("rw-s 00000000 {path}"),
            format!("rw-p 00001000 {path}"),
            "rw-p 00000000 fe:01 131    /t/s/1.seg".to_owned(),
        ] {
            assert_eq!(line(&rest), None, "{rest}");
        }
    }
}
