// SPDX-License-Identifier: GPL-2.0

//! Writing an image with its file data at new places.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use onecopy_format::segment_space::crc32c;
use zerocopy::IntoBytes;

use super::format::SuperBlock;
use super::format::BLOCK_BYTES;
use super::format::BLOCK_LEN;
use super::format::COMPAT_CHECKSUM;
use super::format::SUPER_OFFSET;
use super::format::SUPER_START;
use super::image::Image;
use super::image::LayoutError;
use super::plan::Plan;
use crate::copy::copy_range;
use crate::copy::Range;
use crate::progress::Meter;

/// An image of mkfs.erofs with a new layout, to be written elsewhere.
#[derive(Debug)]
pub(crate) struct AlignedImage<'a> {
    image: &'a File,
    superblock: SuperBlock,
    plan: Plan,
}

impl<'a> AlignedImage<'a> {
    /// Plans the layout.
    pub(crate) fn plan(image: &'a File) -> Result<Self, LayoutError> {
        let parsed = Image::open(image)?;
        let files = parsed.files()?;
        let old_blocks = image.metadata()?.len().div_ceil(BLOCK_BYTES);
        let plan = Plan::new(&files, old_blocks)?;
        Ok(Self {
            image,
            superblock: parsed.superblock,
            plan,
        })
    }

    /// Returns the size of the new image in bytes.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.plan.blocks * BLOCK_BYTES
    }

    /// Returns the number of bytes that [`Self::write`] copies.
    pub(crate) fn data_bytes(&self) -> u64 {
        self.ranges(0).map(|range| range.len).sum()
    }

    /// Writes the image at `offset` of `destination`, which must be a hole there.
    pub(crate) fn write(
        &self,
        destination: &File,
        offset: u64,
        meter: &mut Meter<'_>,
    ) -> io::Result<()> {
        let image_bytes = self.image.metadata()?.len();
        for mut range in self.ranges(offset) {
            // The last block of the image may be shorter than a block.
            range.len = range.len.min(image_bytes.saturating_sub(range.from));
            copy_range(self.image, destination, range, meter)?;
        }
        for patch in &self.plan.patches {
            destination.write_all_at(&patch.address.to_le_bytes(), offset + patch.pointer)?;
        }
        self.write_superblock(destination, offset)
    }

    /// The fixed part of the image, then the data that moves.
    fn ranges(&self, offset: u64) -> impl Iterator<Item = Range> + '_ {
        let fixed = Range {
            from: 0,
            to: offset,
            len: self.plan.fixed_blocks * BLOCK_BYTES,
        };
        let moved = self.plan.moves.iter().map(move |moved| Range {
            from: u64::from(moved.run.start) * BLOCK_BYTES,
            to: offset + u64::from(moved.to) * BLOCK_BYTES,
            len: u64::from(moved.run.blocks) * BLOCK_BYTES,
        });
        std::iter::once(fixed).chain(moved)
    }

    /// Corrects the size, and the checksum over the first block, which may hold inodes as well.
    fn write_superblock(&self, destination: &File, offset: u64) -> io::Result<()> {
        let mut block = vec![0; BLOCK_LEN - SUPER_START];
        destination.read_exact_at(&mut block, offset + SUPER_OFFSET)?;
        let mut superblock = self.superblock;
        let blocks = u32::try_from(self.plan.blocks).map_err(io::Error::other)?;
        superblock.blocks = blocks.into();
        superblock.checksum = 0.into();
        write_prefix(&mut block, &superblock)?;
        if superblock.feature_compat.get() & COMPAT_CHECKSUM != 0 {
            // EROFS leaves out the final inversion of the usual CRC-32C.
            superblock.checksum = (!crc32c(&block)).into();
            write_prefix(&mut block, &superblock)?;
        }
        destination.write_all_at(&block, offset + SUPER_OFFSET)
    }
}

fn write_prefix(block: &mut [u8], superblock: &SuperBlock) -> io::Result<()> {
    superblock
        .write_to_prefix(block)
        .map_err(|_| io::ErrorKind::InvalidData.into())
}
