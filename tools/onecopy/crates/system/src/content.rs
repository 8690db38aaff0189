// SPDX-License-Identifier: GPL-2.0

//! The files of a generation: room for them, their digests, and holes where they are zero.

use std::fs::File;
use std::fs::Permissions;
use std::io;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::PermissionsExt;

use onecopy_directory::Directory;
use rustix::fs::fallocate;
use rustix::fs::fstatfs;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use sha2::Digest;
use sha2::Sha256;

use crate::error::Error;
use crate::manifest::SavedFile;
use crate::Result;

/// Bytes per read.
const CHUNK_BYTES: usize = 1 << 20;

/// What holes are multiples of, in bytes.
const BLOCK_BYTES: usize = 4096;

/// What says that a file is in a tmpfs.
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// Creates a file of zeroes and reserves its space, so that a full disk is noticed now and not by
/// a guest that stores there.
pub(crate) fn reserve(directory: &Directory, name: &str, size_bytes: u64) -> io::Result<File> {
    // Memory of processes comes here, and what it is to be is decided when it is sealed.
    let file = directory.create_file(name, 0o600)?;
    file.set_len(size_bytes)?;
    match fallocate(&file, FallocateFlags::empty(), 0, size_bytes) {
        // A file system that cannot reserve space finds out later.
        Ok(()) | Err(Errno::OPNOTSUPP) => Ok(file),
        Err(error) => Err(error.into()),
    }
}

/// Who may read a file: everybody, where it has nothing but a kernel that has just booted; or only
/// its owner.
pub(crate) const PUBLIC: u32 = 0o444;
pub(crate) const PRIVATE: u32 = 0o400;

/// Gives back the space of blocks that are zero, except on tmpfs, makes the file read-only, writes it to disk and
/// computes its digest.
pub(crate) fn seal(directory: &Directory, name: &str, mode: u32) -> Result<SavedFile> {
    // QEMU may have written it, and it could be led elsewhere.
    let file = directory.open_to_write(name)?;
    let (size_bytes, sha256) =
        seal_file(&file, mode).map_err(Error::io("write", &directory.path(name)))?;
    Ok(SavedFile {
        name: name.to_owned(),
        size_bytes,
        sha256,
    })
}

fn seal_file(file: &File, mode: u32) -> io::Result<(u64, String)> {
    let mut hasher = Sha256::new();
    let mut holes = Holes::new(file)?;
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut at = 0;
    loop {
        let count = read_full(file, &mut buffer, at)?;
        let chunk = buffer.get(..count).unwrap_or_default();
        if chunk.is_empty() {
            break;
        }
        hasher.update(chunk);
        for block in chunk.chunks(BLOCK_BYTES) {
            holes.block(at, block)?;
            at += block.len() as u64;
        }
    }
    holes.punch(at)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()?;
    Ok((at, hexadecimal(&hasher.finalize())))
}

/// Computes the digest of a file, in hexadecimal.
pub(crate) fn digest(mut file: &File) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hexadecimal(&hasher.finalize())),
            Ok(count) => hasher.update(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Writes bytes in hexadecimal.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Collects neighbouring blocks of zeroes into one hole.
struct Holes<'a> {
    file: &'a File,
    are_allowed: bool,
    start: Option<u64>,
}

impl<'a> Holes<'a> {
    fn new(file: &'a File) -> io::Result<Self> {
        Ok(Self {
            file,
            are_allowed: !is_in_tmpfs(file)?,
            start: None,
        })
    }

    /// Looks at the block at an offset.
    fn block(&mut self, at: u64, block: &[u8]) -> io::Result<()> {
        if block.iter().any(|byte| *byte != 0) {
            return self.punch(at);
        }
        self.start.get_or_insert(at);
        Ok(())
    }

    /// Ends a hole before an offset.
    fn punch(&mut self, end: u64) -> io::Result<()> {
        let Some(start) = self.start.take().filter(|_| self.are_allowed) else {
            return Ok(());
        };
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(self.file, flags, start, end - start) {
            // Without holes the file only takes more space.
            Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a hole needs space as soon as a guest reads it; the guest would die of a full disk then.
fn is_in_tmpfs(file: &File) -> io::Result<bool> {
    Ok(fstatfs(file)?.f_type == TMPFS_MAGIC)
}

/// Reads until the buffer is full or the file ends.
fn read_full(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn open(directory: &tempfile::TempDir) -> Directory {
        Directory::open(directory.path()).unwrap().unwrap()
    }

    #[test]
    fn a_sealed_file_has_holes_and_keeps_its_content() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let file = reserve(&open(&directory), "a", 8 << 20).unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        for at in [0, 3 << 20, (8 << 20) - 1] {
            file.write_all_at(b"x", at).unwrap();
        }
        let before = digest(&file).unwrap();
        let sealed = seal(&open(&directory), "a", PUBLIC).unwrap();
        assert_eq!((sealed.size_bytes, &sealed.sha256), (8 << 20, &before));
        assert_eq!(digest(&File::open(&path).unwrap()).unwrap(), before);
        let metadata = path.metadata().unwrap();
        if !is_in_tmpfs(&file).unwrap() {
            assert!(metadata.blocks() * 512 < 1 << 20, "{}", metadata.blocks());
        }
        assert_eq!(metadata.permissions().mode() & 0o777, 0o444);
    }

    #[test]
    fn a_file_that_is_in_memory_keeps_its_space() {
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = directory.path().join("a");
        reserve(&open(&directory), "a", 8 << 20).unwrap();
        seal(&open(&directory), "a", PUBLIC).unwrap();
        assert_eq!(path.metadata().unwrap().blocks() * 512, 8 << 20);
    }

    #[test]
    fn the_size_need_not_be_a_multiple_of_anything() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        std::fs::write(&path, "abc").unwrap();
        let sealed = seal(&open(&directory), "state", PUBLIC).unwrap();
        // The example of FIPS 180.
        assert_eq!(
            sealed.sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(sealed.size_bytes, 3);
    }

    #[test]
    fn what_is_not_a_file_of_the_generation_is_not_sealed() {
        let root = tempfile::tempdir().unwrap();
        let directory = open(&root);
        let outside = root.path().join("outside");
        std::fs::write(&outside, [0; 3 * BLOCK_BYTES]).unwrap();
        let mode = || outside.metadata().unwrap().permissions().mode();
        let before = mode();
        std::os::unix::fs::symlink(&outside, root.path().join("state")).unwrap();
        reserve(&directory, "state", 1).unwrap_err();
        let said = seal(&directory, "state", PRIVATE).unwrap_err().to_string();
        assert!(said.contains("/state is a symbolic link"), "{said}");
        directory.create_child("d").unwrap();
        seal(&directory, "d", PUBLIC).unwrap_err();
        assert_eq!(
            (mode(), outside.metadata().unwrap().len()),
            (before, 3 << 12)
        );
    }
}
