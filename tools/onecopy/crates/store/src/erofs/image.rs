// SPDX-License-Identifier: GPL-2.0

//! Finding all file data in an image.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use zerocopy::FromBytes;
use zerocopy::FromZeros;
use zerocopy::IntoBytes;

use super::format::chunk_bytes;
use super::format::Dirent;
use super::format::InodeStart;
use super::format::Layout;
use super::format::SuperBlock;
use super::format::BLOCK_BYTES;
use super::format::BLOCK_LEN;
use super::format::HOLE;
use super::format::INCOMPAT_UNDERSTOOD;
use super::format::INODE_DATA_OFFSET;
use super::format::INODE_SLOT_BYTES;
use super::format::MAGIC;
use super::format::SUPER_OFFSET;

/// Why an image cannot be laid out again.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The image cannot be read.
    #[error("The image cannot be read")]
    Io(#[from] io::Error),
    /// The image uses something that this crate does not know.
    #[error("mkfs.erofs made an image of an unknown kind: {0}")]
    Unknown(String),
}

/// Consecutive blocks of file data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Run {
    /// Address of the first block.
    pub(super) start: u32,
    /// Number of blocks, at least 1.
    pub(super) blocks: u32,
}

impl Run {
    /// Returns the address after the last block.
    pub(super) fn end(self) -> u64 {
        u64::from(self.start) + u64::from(self.blocks)
    }
}

/// A run, and where in the image its address is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reference {
    /// Offset in bytes of the 32-bit address.
    pub(super) pointer: u64,
    /// The blocks it refers to.
    pub(super) run: Run,
}

/// The data of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FileData {
    /// Size of the file in bytes.
    pub(super) size_bytes: u64,
    /// Size of each run but the last, in bytes.
    pub(super) chunk_bytes: u64,
    /// Its runs in order; holes have none.
    pub(super) references: Vec<Reference>,
}

/// An image and what is known about it.
#[derive(Debug)]
pub(super) struct Image<'a> {
    file: &'a File,
    pub(super) superblock: SuperBlock,
}

impl<'a> Image<'a> {
    /// Reads the superblock.
    pub(super) fn open(file: &'a File) -> Result<Self, LayoutError> {
        let mut superblock = SuperBlock::new_zeroed();
        file.read_exact_at(superblock.as_mut_bytes(), SUPER_OFFSET)?;
        let unknown = superblock.feature_incompat.get() & !INCOMPAT_UNDERSTOOD;
        if superblock.magic.get() != MAGIC {
            return Err(LayoutError::Unknown(
                "it has no EROFS superblock".to_owned(),
            ));
        }
        if 1u64.checked_shl(superblock.block_bits.into()) != Some(BLOCK_BYTES) {
            return Err(LayoutError::Unknown(
                "its blocks do not have 4096 bytes".to_owned(),
            ));
        }
        if unknown != 0 {
            return Err(LayoutError::Unknown(format!("features {unknown:#x}")));
        }
        Ok(Self { file, superblock })
    }

    /// Walks the tree and returns the data of every file, in the order of the walk.
    pub(super) fn files(&self) -> Result<Vec<FileData>, LayoutError> {
        let mut files = Vec::new();
        let mut seen = HashSet::new();
        let mut pending = vec![u64::from(self.superblock.root_nid.get())];
        while let Some(nid) = pending.pop() {
            // A file with several names appears several times.
            if !seen.insert(nid) {
                continue;
            }
            let (offset, inode) = self.inode(nid)?;
            if inode.is_directory() {
                let entries = self.entries(offset, inode)?;
                pending.extend(entries.into_iter().rev());
            } else if inode.has_file_data() && inode.size_bytes() > 0 {
                files.push(self.data(offset, inode)?);
            }
        }
        Ok(files)
    }

    fn inode(&self, nid: u64) -> Result<(u64, InodeStart), LayoutError> {
        let offset = u64::from(self.superblock.meta_block.get()) * BLOCK_BYTES
            + nid.saturating_mul(INODE_SLOT_BYTES);
        let mut inode = InodeStart::new_zeroed();
        self.file.read_exact_at(inode.as_mut_bytes(), offset)?;
        Ok((offset, inode))
    }

    /// Returns the inode numbers in a directory, without its own and its parent's.
    fn entries(&self, offset: u64, inode: InodeStart) -> Result<Vec<u64>, LayoutError> {
        let size_bytes = inode.size_bytes();
        let tail = match inode.layout() {
            Layout::Inline => offset + inode.head_bytes(),
            Layout::Plain => u64::from(inode.data.get()) * BLOCK_BYTES + whole_blocks(size_bytes),
            layout => return Err(LayoutError::Unknown(format!("directory layout {layout:?}"))),
        };
        let mut nids = Vec::new();
        for start in (0..size_bytes).step_by(BLOCK_LEN) {
            let at = if start == whole_blocks(size_bytes) {
                tail
            } else {
                u64::from(inode.data.get()) * BLOCK_BYTES + start
            };
            let mut block = [0; BLOCK_LEN];
            let len = usize::try_from((size_bytes - start).min(BLOCK_BYTES)).unwrap_or_default();
            let block = block.get_mut(..len).unwrap_or_default();
            self.file.read_exact_at(block, at)?;
            nids.extend(block_entries(block)?);
        }
        Ok(nids)
    }

    fn data(&self, offset: u64, inode: InodeStart) -> Result<FileData, LayoutError> {
        let size_bytes = inode.size_bytes();
        let mut data = FileData {
            size_bytes,
            chunk_bytes: size_bytes,
            references: Vec::new(),
        };
        match inode.layout() {
            Layout::Plain => data.add(offset + INODE_DATA_OFFSET, inode.data.get(), size_bytes)?,
            // Only symbolic links have all their data behind the inode; nothing is to be moved.
            Layout::Inline if size_bytes < BLOCK_BYTES => {}
            Layout::Chunks => self.add_chunks(offset, inode, &mut data)?,
            layout => return Err(LayoutError::Unknown(format!("file layout {layout:?}"))),
        }
        Ok(data)
    }

    fn add_chunks(
        &self,
        offset: u64,
        inode: InodeStart,
        data: &mut FileData,
    ) -> Result<(), LayoutError> {
        let format = inode.data.get();
        data.chunk_bytes = chunk_bytes(format)
            .ok_or_else(|| LayoutError::Unknown(format!("chunk format {format:#x}")))?;
        let count = data.size_bytes.div_ceil(data.chunk_bytes);
        let map = (offset + inode.head_bytes()).next_multiple_of(4);
        let len = usize::try_from(count * 4)
            .map_err(|_| LayoutError::Unknown(format!("{count} chunks")))?;
        let mut addresses = vec![0; len];
        self.file.read_exact_at(&mut addresses, map)?;
        for (index, address) in (0..count).zip(addresses.chunks_exact(4)) {
            let address = u32::read_from_bytes(address).map_or(HOLE, u32::from_le);
            let bytes = data
                .chunk_bytes
                .min(data.size_bytes - index * data.chunk_bytes);
            data.add(map + index * 4, address, bytes)?;
        }
        Ok(())
    }
}

impl FileData {
    /// Adds the reference at `pointer` to `bytes` of data, unless it is a hole.
    fn add(&mut self, pointer: u64, start: u32, bytes: u64) -> Result<(), LayoutError> {
        let blocks = u32::try_from(bytes.div_ceil(BLOCK_BYTES))
            .map_err(|_| LayoutError::Unknown(format!("a file of {bytes} bytes")))?;
        if start != HOLE {
            self.references.push(Reference {
                pointer,
                run: Run { start, blocks },
            });
        }
        Ok(())
    }
}

/// Rounds down to whole blocks.
fn whole_blocks(bytes: u64) -> u64 {
    bytes / BLOCK_BYTES * BLOCK_BYTES
}

/// Returns the inode numbers in one block of a directory.
fn block_entries(block: &[u8]) -> Result<Vec<u64>, LayoutError> {
    let damaged = || LayoutError::Unknown("a damaged directory".to_owned());
    let (first, _) = Dirent::read_from_prefix(block).map_err(|_| damaged())?;
    // The names begin where the entries end.
    let count = usize::from(first.name_offset.get()) / size_of::<Dirent>();
    let entries = block
        .get(..count * size_of::<Dirent>())
        .ok_or_else(damaged)?;
    let entries = <[Dirent]>::ref_from_bytes(entries).map_err(|_| damaged())?;
    let mut nids = Vec::with_capacity(count);
    for (index, entry) in entries.iter().enumerate() {
        let start = usize::from(entry.name_offset.get());
        let end = entries
            .get(index + 1)
            .map_or(block.len(), |next| next.name_offset.get().into());
        let name = block.get(start..end).ok_or_else(damaged)?;
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        if name != b"." && name != b".." {
            nids.push(entry.nid.get());
        }
    }
    Ok(nids)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(nid: u64, name_offset: u16) -> Vec<u8> {
        let mut bytes = nid.to_le_bytes().to_vec();
        bytes.extend(name_offset.to_le_bytes());
        bytes.extend([0, 0]);
        bytes
    }

    #[test]
    fn a_directory_lists_its_children_only() {
        let mut block = [entry(1, 48), entry(2, 49), entry(3, 51), entry(4, 52)].concat();
        block.extend(b"...ab\0\0");
        // ".", "..", "a", "b"
        assert_eq!(block_entries(&block).unwrap(), [3, 4]);
    }

    #[test]
    fn damaged_directories_are_refused() {
        for block in [
            vec![],
            entry(1, 4000),
            [entry(1, 24), entry(2, 23)].concat(),
        ] {
            assert!(block_entries(&block).is_err(), "{block:?}");
        }
    }

    #[test]
    fn a_file_that_is_no_image_is_refused() {
        let file = tempfile::tempfile().unwrap();
        assert!(matches!(Image::open(&file), Err(LayoutError::Io(_))));
        file.set_len(8192).unwrap();
        let error = Image::open(&file).unwrap_err();
        assert!(error.to_string().contains("no EROFS superblock"), "{error}");
    }
}
