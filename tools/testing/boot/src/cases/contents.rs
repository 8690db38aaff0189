// SPDX-License-Identifier: GPL-2.0

//! What is read from a segment's device is what was saved.

use anyhow::Result;
use onecopy_boot::dcss::errno;
use onecopy_boot::dcss::node;
use onecopy_boot::space::hexadecimal;
use onecopy_boot::space::Layout;
use onecopy_boot::space::MIB;
use onecopy_boot::Options;
use onecopy_format::segment_space::SegmentType;

use super::cases;
use super::ensure_eq;
use crate::context::Context;

cases! {
    BuiltIn:
        the_digest_is_that_of_the_directory;
    BuiltInFast:
        reads_end_at_the_last_block;
}

fn the_digest_is_that_of_the_directory(context: &Context) -> Result<()> {
    const SIZE_BYTES: u64 = 6 * MIB;
    let directory = context.directory()?;
    let space = Layout::new("S")
        .member("A", SegmentType::Sr, SIZE_BYTES)
        .member("B", SegmentType::Sr, SIZE_BYTES);
    let space = space.write(directory.path())?;
    let options = Options::default().space(&space).append("dcss.segments=A,B");
    context.guest(&options, |guest| {
        for name in ["A", "B"] {
            let expected = hexadecimal(&space.member(name)?.sha256);
            for mode in ["r", "rd"] {
                for block_bytes in [4096, MIB] {
                    guest.run("drop-caches", &[])?;
                    let read = guest.digest(&node(name), mode, 0..SIZE_BYTES, block_bytes)?;
                    ensure_eq!(
                        read,
                        (SIZE_BYTES, expected.clone()),
                        "{name} {mode} {block_bytes}"
                    );
                }
            }
        }
        Ok(())
    })
}

fn reads_end_at_the_last_block(context: &Context) -> Result<()> {
    const SIZE_BYTES: u64 = 2 * MIB;
    let directory = context.directory()?;
    let space = Layout::new("S")
        .member("A", SegmentType::Sr, SIZE_BYTES)
        .member("B", SegmentType::Sr, SIZE_BYTES);
    let space = space.write(directory.path())?;
    let start = space.member("A")?.offset_bytes;
    let options = Options::default().space(&space).append("dcss.segments=A");
    context.guest(&options, |guest| {
        for mode in ["r", "rd"] {
            let last = SIZE_BYTES - 4096..SIZE_BYTES;
            let expected = space.digest(start + last.start, 4096)?;
            ensure_eq!(
                guest.digest(&node("A"), mode, last, 4096)?,
                (4096, expected),
                "{mode}"
            );
            // What follows is segment B, and none of this device's business.
            let over = SIZE_BYTES - 4096..SIZE_BYTES + MIB;
            ensure_eq!(
                guest.digest(&node("A"), mode, over, 8192)?.0,
                4096,
                "{mode}"
            );
            let past = SIZE_BYTES..SIZE_BYTES + 4096;
            ensure_eq!(guest.digest(&node("A"), mode, past, 4096)?.0, 0, "{mode}");
        }
        // Direct I/O has to be aligned to a block.
        for (offset, length) in [("512", "4096"), ("0", "512")] {
            guest.run("open", &["slot", "rd", &node("A")])?;
            ensure_eq!(
                errno(guest.run("pread", &["slot", offset, length]))?,
                "EINVAL"
            );
            guest.run("close", &["slot"])?;
        }
        Ok(())
    })
}
