// SPDX-License-Identifier: GPL-2.0

//! Reading and writing ranges of files and devices, through the page cache or around it.

use std::fs::File;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use crate::Failure;

/// What direct I/O needs its buffers aligned to.
const ALIGN_BYTES: usize = 4096;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mode {
    writable: bool,
    direct: bool,
}

impl Mode {
    /// Reads `r`, `w` (read and write), `rd` or `wd` (the same with `O_DIRECT`).
    pub(crate) fn parse(word: &str) -> Result<Self, Failure> {
        match word {
            "r" => Ok(Self {
                writable: false,
                direct: false,
            }),
            "w" => Ok(Self {
                writable: true,
                direct: false,
            }),
            "rd" => Ok(Self {
                writable: false,
                direct: true,
            }),
            "wd" => Ok(Self {
                writable: true,
                direct: true,
            }),
            _ => Err(Failure::other(format!("{word} is not one of r, w, rd, wd"))),
        }
    }

    /// Opens a file.
    pub(crate) fn open(self, path: &Path) -> Result<File, Failure> {
        let flags = if self.direct {
            OFlags::DIRECT
        } else {
            OFlags::empty()
        };
        let flags = i32::try_from(flags.bits()).unwrap_or_default();
        OpenOptions::new()
            .read(true)
            .write(self.writable)
            .custom_flags(flags)
            .open(path)
            .map_err(|error| Failure::from(error).context(path.display()))
    }
}

/// A buffer that suits direct I/O.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// Makes a buffer of zeroes.
    pub(crate) fn new(len: usize) -> Self {
        let bytes = vec![0; len.saturating_add(ALIGN_BYTES)];
        let start = bytes.as_ptr().align_offset(ALIGN_BYTES);
        Self { bytes, start, len }
    }

    /// Returns the bytes.
    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        self.bytes
            .get_mut(self.start..self.start + self.len)
            .unwrap_or_default()
    }
}

/// Reads a range in blocks, one `pread(2)` each, and gives each to `use_block`.
///
/// Ends early at the end of the file. Returns the number of bytes.
pub(crate) fn read_range(
    file: &File,
    range: std::ops::Range<u64>,
    block_bytes: usize,
    mut use_block: impl FnMut(&[u8]),
) -> Result<u64, Failure> {
    let mut buffer = Buffer::new(block_bytes);
    let mut offset = range.start;
    while offset < range.end {
        let want = usize::try_from(range.end - offset)
            .unwrap_or(usize::MAX)
            .min(block_bytes);
        let block = buffer.as_mut_slice().get_mut(..want).unwrap_or_default();
        let count = file
            .read_at(block, offset)
            .map_err(|error| Failure::from(error).context(format!("read at {offset}")))?;
        if count == 0 {
            break;
        }
        use_block(block.get(..count).unwrap_or_default());
        offset += count as u64;
    }
    Ok(offset - range.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_as_long_as_asked_for() {
        for len in [1, 4096, 5000] {
            let mut buffer = Buffer::new(len);
            let slice = buffer.as_mut_slice();
            assert_eq!(
                (slice.len(), slice.as_ptr().align_offset(ALIGN_BYTES)),
                (len, 0)
            );
        }
    }

    #[test]
    fn a_range_ends_with_the_file() {
        let file = File::open("/proc/self/exe").unwrap();
        let size_bytes = file.metadata().unwrap().len();
        let mut blocks = Vec::new();
        let read = read_range(&file, size_bytes - 10..size_bytes + 10, 4, |block| {
            blocks.push(block.len());
        });
        assert_eq!((read, blocks), (Ok(10), vec![4, 4, 2]));
    }
}
