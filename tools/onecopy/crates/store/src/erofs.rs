// SPDX-License-Identifier: GPL-2.0

//! EROFS images of directories, laid out for direct access.
//!
//! mkfs.erofs makes the image and then [`AlignedImage`] moves file data in it. This is needed for
//! large mappings: a file of 2 MiB or more has to start at a multiple of 2 MiB, and erofs-utils
//! (tried: 1.8.6) offers no such layout. `--dsunit=512` aligns *every* file in the flat layout,
//! so a thousand small files would take 2 GiB of each guest's address space, and in the
//! chunk-based layout it aligns only the first file.
//!
//! The chunk-based layout lends itself to moving: file data is referred to only by block
//! addresses in inodes, which have a fixed size, so nothing else in the image changes.

mod format;
mod image;
mod mkfs;
mod plan;
mod relocate;

pub use self::image::LayoutError;
pub(crate) use self::mkfs::ImageOptions;
pub use self::mkfs::Mkfs;
pub use self::mkfs::MkfsError;
pub(crate) use self::relocate::AlignedImage;
