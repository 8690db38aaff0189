// SPDX-License-Identifier: GPL-2.0

//! What a guest has written into its private copy of a segment space.
//!
//! QEMU writes the memory into files, in pieces, so that it can do something else in between. The guest is
//! paused meanwhile. What it has in its page cache and not written yet is not seen: it has to sync first.

use std::fs::File;
use std::io;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;

use onecopy_directory::Directory;
use onecopy_format::segment_space::Member;
use onecopy_format::segment_space::Name;
use onecopy_machine::qmp::commands;
use onecopy_machine::qmp::QmpError;
use onecopy_machine::Interrupt;
use onecopy_store::MemberContent;
use onecopy_store::Scratch;
use onecopy_store::Space;
use onecopy_store::Store;
use rustix::fs::statvfs;

use super::pause::Paused;
use super::Attachment;
use super::SpaceError;
use crate::control::Running;
use crate::error::Error;
use crate::guests::Record;
use crate::Result;

/// How much QEMU writes at once: what takes it less than a second.
const PIECE_BYTES: u64 = 32 << 20;

/// How much is looked at once, to leave out zeroes.
const BLOCK_BYTES: usize = 1 << 16;

/// A copy of the content of a guest's segment space; its files go with this.
#[derive(Debug)]
pub struct SpaceCopy {
    space: Space,
    contents: Vec<(Name, MemberContent)>,
    _scratch: Scratch,
}

impl SpaceCopy {
    /// Returns the generation that the guest had got.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Returns the content of each member that has some.
    pub fn contents(&self) -> &[(Name, MemberContent)] {
        &self.contents
    }
}

impl Running {
    /// Copies what the guest has in its private copy of a segment space, or of a member: the other members
    /// are then as they were saved. The guest is paused meanwhile.
    ///
    /// # Errors
    ///
    /// When it has no private copy, does not answer, or has ended, when there is no room, and when the
    /// interrupt comes. The guest goes on in any case.
    pub fn copy_space(&self, name: Name, interrupt: &Interrupt) -> Result<SpaceCopy> {
        let _lock = self.lock_running()?;
        let record = self.read_record()?;
        let attachment = find(&record, name)?;
        let store = Store::open(&record.store);
        let space = store.generation(attachment.space, attachment.generation)?;
        let scratch = Scratch::create(&store.shelf(space.name()).open()?)?;
        let is_copied = |member: &&Member| {
            member.kind.saved() && (name == attachment.space || name == member.name)
        };
        let copied: Vec<&Member> = space.members().iter().filter(is_copied).collect();

        let address = self.address_of(attachment)?;
        let paused = Paused::new(self)?;
        for member in &copied {
            self.write_pieces(address, member, scratch.path(), interrupt)?;
        }
        paused.go_on()?;
        for member in &copied {
            let image = join(scratch.directory(), member, interrupt)?;
            // It is as long as the member, also where it ends with zeroes.
            let path = scratch.directory().path(member.name.as_str());
            let extended = image.set_len(member.size_bytes);
            extended.map_err(Error::io("write", &path))?;
        }
        let saved = space.members().iter().filter(|member| member.kind.saved());
        let contents = saved.map(|member| {
            let image = scratch.path().join(member.name.as_str());
            (member.name, content(&space, member, image))
        });
        Ok(SpaceCopy {
            contents: contents.collect(),
            space,
            _scratch: scratch,
        })
    }

    /// Asks where the guest has a segment space.
    fn address_of(&self, attachment: &Attachment) -> Result<u64> {
        let devices = self.ask(&commands::QueryMemoryDevices {})?;
        let is_it = |device: &commands::MemoryDevice| {
            device.data.id.as_deref() == Some(attachment.device.as_str())
        };
        let device = devices.into_iter().find(is_it);
        let device = device.ok_or_else(|| SpaceError::NotHad {
            guest: self.record().guest.clone(),
            name: attachment.space,
        })?;
        Ok(device.data.address)
    }

    fn write_pieces(
        &self,
        address: u64,
        member: &Member,
        directory: &Path,
        interrupt: &Interrupt,
    ) -> Result<()> {
        for (number, from, size) in pieces(member.size_bytes) {
            interrupt.check()?;
            let from = address + member.offset_bytes + from;
            // QEMU writes it, perhaps as another user, so it gets the path.
            let path = directory.join(piece(member, number));
            let copied = self.copy_memory(from, size, &path);
            copied.map_err(|error| not_copied(error, member, is_full(directory, size)))?;
        }
        Ok(())
    }
}

/// Returns whether a disk has no room for so much. QEMU has left there what it could write.
fn is_full(directory: &Path, size_bytes: u64) -> bool {
    let found = statvfs(directory);
    found.is_ok_and(|found| found.f_bavail.saturating_mul(found.f_frsize) < size_bytes)
}

/// Says what QEMU could not write; it does not say why.
fn not_copied(error: Error, member: &Member, full: bool) -> Error {
    match error {
        Error::Monitor {
            source: QmpError::Refused { description, .. },
            guest,
        } => SpaceError::NotCopied {
            guest,
            member: member.name,
            reason: description,
            full,
        }
        .into(),
        error => error,
    }
}

/// Finds the private copy with this name, or with a member of this name.
fn find(record: &Record, name: Name) -> Result<&Attachment> {
    let guest = &record.guest;
    let attachments = &record.attachments;
    let of_space = attachments.iter().find(|one| one.space == name);
    let of_member = || attachments.iter().find(|one| one.members.contains(&name));
    match of_space.or_else(of_member) {
        Some(attachment) if attachment.non_shared => Ok(attachment),
        Some(attachment) => Err(SpaceError::Shared {
            guest: guest.clone(),
            space: attachment.space,
        }
        .into()),
        None => Err(SpaceError::NotHad {
            guest: guest.clone(),
            name,
        }
        .into()),
    }
}

/// Divides so many bytes: the number of each piece, where it begins and how long it is.
fn pieces(size_bytes: u64) -> impl Iterator<Item = (u64, u64, u64)> {
    (0..size_bytes.div_ceil(PIECE_BYTES)).map(move |number| {
        let from = number * PIECE_BYTES;
        (number, from, PIECE_BYTES.min(size_bytes - from))
    })
}

fn piece(member: &Member, number: u64) -> String {
    format!("{}.{number}", member.name)
}

/// Makes one file of the pieces, with holes for zeroes, and removes them.
fn join(directory: &Directory, member: &Member, interrupt: &Interrupt) -> Result<File> {
    let image = member.name.as_str();
    let created = directory.create_file(image, 0o644);
    let out = created.map_err(Error::io("create", &directory.path(image)))?;
    for (number, from, _) in pieces(member.size_bytes) {
        interrupt.check()?;
        let name = piece(member, number);
        let path = directory.path(&name);
        let missing = || Error::io("copy", &path)(io::ErrorKind::NotFound.into());
        let piece = directory.file(&name)?.ok_or_else(missing)?;
        append(piece, &out, from).map_err(Error::io("copy", &path))?;
        let removed = directory.remove_file(&name);
        removed.map_err(Error::io("remove", &path))?;
    }
    Ok(out)
}

fn append(mut piece: File, out: &File, mut at: u64) -> io::Result<()> {
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let count = piece.read(&mut block)?;
        let Some(bytes @ [_, ..]) = block.get(..count) else {
            return Ok(());
        };
        if bytes.iter().any(|byte| *byte != 0) {
            out.write_all_at(bytes, at)?;
        }
        at += bytes.len() as u64;
    }
}

/// Returns where the content of a member is: in the image, if there is one, or as it was saved.
fn content(space: &Space, member: &Member, image: PathBuf) -> MemberContent {
    if image.exists() {
        return MemberContent::Image(image);
    }
    MemberContent::Extent {
        path: space.path().to_owned(),
        offset_bytes: member.offset_bytes,
        size_bytes: member.size_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_everything_once() {
        let divide = |size| pieces(size).collect::<Vec<_>>();
        assert_eq!(divide(2 << 20), [(0, 0, 2 << 20)]);
        assert_eq!(
            divide(PIECE_BYTES + 4096),
            [(0, 0, PIECE_BYTES), (1, PIECE_BYTES, 4096)]
        );
    }

    #[test]
    fn zeroes_stay_holes_where_pieces_are_joined() {
        let directory = tempfile::tempdir().unwrap();
        let [piece, image] = ["piece", "image"].map(|name| directory.path().join(name));
        let mut bytes = vec![0; 3 * BLOCK_BYTES];
        bytes[2 * BLOCK_BYTES + 7] = 9;
        std::fs::write(&piece, &bytes).unwrap();
        let out = File::create(&image).unwrap();
        append(File::open(&piece).unwrap(), &out, BLOCK_BYTES as u64).unwrap();
        let found = std::fs::read(&image).unwrap();
        assert_eq!(found.len(), 4 * BLOCK_BYTES);
        assert_eq!(found[3 * BLOCK_BYTES + 7], 9);
        assert_eq!(found.iter().filter(|byte| **byte != 0).count(), 1);
        std::fs::write(&piece, [0; 8]).unwrap();
        let out = File::create(&image).unwrap();
        append(File::open(&piece).unwrap(), &out, 0).unwrap();
        assert_eq!(out.metadata().unwrap().len(), 0);
    }
}
