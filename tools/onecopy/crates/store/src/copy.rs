// SPDX-License-Identifier: GPL-2.0

//! Copying between files without filling holes.

use std::fs::File;
use std::io;

use rustix::fs::copy_file_range;
use rustix::fs::seek;
use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::progress::Meter;

/// Bytes per call, so that progress is seen.
const CHUNK_BYTES: u64 = 16 << 20;

/// A range of bytes: what to copy from where to where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    /// Offset in the source.
    pub(crate) from: u64,
    /// Offset in the destination.
    pub(crate) to: u64,
    /// Number of bytes.
    pub(crate) len: u64,
}

/// Copies a range; holes in the source stay holes in the destination, which must be empty there.
pub(crate) fn copy_range(
    source: &File,
    destination: &File,
    range: Range,
    meter: &mut Meter<'_>,
) -> io::Result<()> {
    let end = range.from + range.len;
    let mut at = range.from;
    while at < end {
        let data = next(source, SeekFrom::Data(at), end)?;
        meter.advance(data - at);
        let hole = next(source, SeekFrom::Hole(data), end)?;
        copy_data(
            source,
            destination,
            data,
            range.to + (data - range.from),
            hole - data,
            meter,
        )?;
        at = hole;
    }
    Ok(())
}

/// Finds the next data or hole, at most up to `end`.
fn next(file: &File, from: SeekFrom, end: u64) -> io::Result<u64> {
    match seek(file, from) {
        Ok(at) => Ok(at.min(end)),
        // There is no more data.
        Err(Errno::NXIO) => Ok(end),
        Err(error) => Err(error.into()),
    }
}

fn copy_data(
    source: &File,
    destination: &File,
    mut from: u64,
    mut to: u64,
    mut len: u64,
    meter: &mut Meter<'_>,
) -> io::Result<()> {
    while len > 0 {
        let step = usize::try_from(len.min(CHUNK_BYTES)).unwrap_or(usize::MAX);
        let copied =
            match copy_file_range(source, Some(&mut from), destination, Some(&mut to), step) {
                Ok(0) => {
                    return Err(io::Error::other(
                        "the source became shorter while it was copied",
                    ))
                }
                Ok(copied) => copied as u64,
                // The two files lie on file systems between which the kernel does not copy.
                Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    let copied = copy_through_memory(source, destination, from, to, step)?;
                    from += copied;
                    to += copied;
                    copied
                }
                Err(Errno::INTR) => 0,
                Err(error) => return Err(error.into()),
            };
        len -= copied;
        meter.advance(copied);
    }
    Ok(())
}

fn copy_through_memory(
    source: &File,
    destination: &File,
    from: u64,
    to: u64,
    len: usize,
) -> io::Result<u64> {
    use std::os::unix::fs::FileExt;

    let mut buffer = vec![0; len.min(1 << 20)];
    source.read_exact_at(&mut buffer, from)?;
    destination.write_all_at(&buffer, to)?;
    Ok(buffer.len() as u64)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::progress::Stage;

    fn copy(source: &File, destination: &File, range: Range) -> u64 {
        let mut done = 0;
        let mut report = |progress: crate::Progress| done = progress.done_bytes;
        let mut meter = Meter::start(&mut report, Stage::Copying, None, range.len);
        copy_range(source, destination, range, &mut meter).unwrap();
        done
    }

    #[test]
    fn holes_stay_holes_and_data_moves() {
        let source = tempfile::tempfile().unwrap();
        source.set_len(64 << 20).unwrap();
        source.write_all_at(b"data", 32 << 20).unwrap();
        let destination = tempfile::tempfile().unwrap();
        destination.set_len(128 << 20).unwrap();

        let range = Range {
            from: 16 << 20,
            to: 64 << 20,
            len: 48 << 20,
        };
        assert_eq!(copy(&source, &destination, range), 48 << 20);
        let mut found = [0; 4];
        destination.read_exact_at(&mut found, 80 << 20).unwrap();
        assert_eq!(&found, b"data");
        let allocated = destination.metadata().unwrap().blocks() * 512;
        assert!(
            allocated < 1 << 20,
            "{allocated} bytes are allocated for 4 bytes of data"
        );
    }

    #[test]
    fn only_the_range_is_copied() {
        let source = tempfile::tempfile().unwrap();
        source.write_all_at(b"abcdef", 0).unwrap();
        let destination = tempfile::tempfile().unwrap();
        copy(
            &source,
            &destination,
            Range {
                from: 1,
                to: 2,
                len: 3,
            },
        );
        let mut found = [0; 5];
        destination.read_exact_at(&mut found, 0).unwrap();
        assert_eq!(&found, b"\0\0bcd");
    }

    #[test]
    fn files_between_which_the_kernel_does_not_copy_go_through_memory() {
        let source = tempfile::tempfile().unwrap();
        source.write_all_at(b"abc", 0).unwrap();
        let destination = tempfile::tempfile().unwrap();
        assert_eq!(
            copy_through_memory(&source, &destination, 1, 0, 2).unwrap(),
            2
        );
        let mut found = [0; 2];
        destination.read_exact_at(&mut found, 0).unwrap();
        assert_eq!(&found, b"bc");
    }
}
