// SPDX-License-Identifier: GPL-2.0

//! The members of a segment space to be made, and where their content comes from.

use std::fs::File;
use std::path::Path;
use std::path::PathBuf;

use onecopy_directory::Directory;
use onecopy_format::segment_space::Name;
use onecopy_format::segment_space::SegmentType;

use super::align;
use crate::copy::copy_range;
use crate::copy::Range;
use crate::digest::sha256;
use crate::draft::Draft;
use crate::error::Error;
use crate::progress::Meter;
use crate::progress::Progress;
use crate::progress::Stage;
use crate::Result;

/// Where the content of a member comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberContent {
    /// A directory, of which an EROFS image is made.
    Directory(PathBuf),
    /// An image, which is copied as it is and padded with zeroes.
    Image(PathBuf),
    /// A part of a file, which is copied as it is.
    Extent {
        /// The file.
        path: PathBuf,
        /// Where the part begins, in bytes.
        offset_bytes: u64,
        /// How long it is, in bytes.
        size_bytes: u64,
    },
    /// No content, for types that have none.
    Nothing {
        /// Size of the member in bytes; rounded up to 2 MiB.
        size_bytes: u64,
    },
}

/// A member to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberSource {
    /// Name of the member.
    pub name: Name,
    /// Type of the member.
    pub kind: SegmentType,
    /// Its content.
    pub content: MemberContent,
}

/// Who owns the files in the images of directories.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ownership {
    /// Whoever owns them in the directory.
    #[default]
    Keep,
    /// Root owns all of them.
    Root,
}

/// The place of a member in the draft.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) draft: &'a Draft,
    pub(super) directory: &'a Directory,
    pub(super) name: Name,
    pub(super) offset_bytes: u64,
}

impl Target<'_> {
    pub(super) fn sha256(
        self,
        size_bytes: u64,
        report: &mut dyn FnMut(Progress),
    ) -> Result<[u8; 32]> {
        let mut meter = Meter::start(report, Stage::Hashing, Some(self.name), size_bytes);
        sha256(self.draft.file(), self.offset_bytes, size_bytes, &mut meter)
            .map_err(Error::io("read a file in", self.directory.location()))
    }
}

pub(super) fn add_image(
    path: &Path,
    at: Target<'_>,
    report: &mut dyn FnMut(Progress),
) -> Result<u64> {
    let image = File::open(path).map_err(Error::io("open", path))?;
    let len = image.metadata().map_err(Error::io("examine", path))?.len();
    if len == 0 {
        return Err(Error::Empty {
            member: at.name,
            path: path.to_owned(),
        });
    }
    copy(&image, path, 0, len, at, report)
}

pub(super) fn add_extent(
    path: &Path,
    from: u64,
    len: u64,
    at: Target<'_>,
    report: &mut dyn FnMut(Progress),
) -> Result<u64> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    copy(&file, path, from, len, at, report)
}

fn copy(
    file: &File,
    path: &Path,
    from: u64,
    len: u64,
    at: Target<'_>,
    report: &mut dyn FnMut(Progress),
) -> Result<u64> {
    let mut meter = Meter::start(report, Stage::Copying, Some(at.name), len);
    let range = Range {
        from,
        to: at.offset_bytes,
        len,
    };
    copy_range(file, at.draft.file(), range, &mut meter).map_err(Error::io("copy", path))?;
    Ok(align(len))
}
