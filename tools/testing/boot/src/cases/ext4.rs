// SPDX-License-Identifier: GPL-2.0

//! A file system that is written in place, on a segment of a writable type.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use anyhow::Context as _;
use anyhow::Result;
use onecopy_boot::dcss::node;
use onecopy_boot::space::Layout;
use onecopy_boot::space::SpaceFile;
use onecopy_boot::space::MIB;
use onecopy_boot::Guest;
use onecopy_boot::Options;
use onecopy_format::segment_space::SegmentType;

use super::cases;
use super::ensure_eq;
use super::erofs::ensure_within;
use super::types::flush_interrupts;
use crate::context::Context;

cases! {
    BuiltIn: what_is_stored_in_mapped_files_reaches_the_host;
}

const SEGMENT: &str = "DATA";
const SEGMENT_BYTES: u64 = 16 * MIB;

/// The file in the file system: pages that tell their number, filled with a byte that nothing else
/// has so many of.
const FILE_PAGES: usize = 256;
const FILL: u8 = 0xa5;
const PAGE_BYTES: usize = 4096;

/// The first bytes of a page: what the guest increments, and the number of the page.
fn page(first: u8, number: usize) -> Vec<u8> {
    let mut page = vec![FILL; PAGE_BYTES];
    page[0] = first;
    page[1..9].copy_from_slice(&number.to_le_bytes());
    page
}

/// Makes an image of a file system without journal, with the files of a directory.
pub(super) fn format(image: &Path, size_bytes: u64, root: &Path) -> Result<()> {
    // Administration tools are not on every user's PATH.
    let path = env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let made = Command::new("mkfs.ext4")
        .env("PATH", path)
        .args(["-q", "-b", "4096", "-O", "^has_journal", "-d"])
        .args([root, image])
        .arg(format!("{}k", size_bytes >> 10))
        .output()
        .context("mkfs.ext4")?;
    ensure!(
        made.status.success(),
        "mkfs.ext4: {}",
        String::from_utf8_lossy(&made.stderr)
    );
    Ok(())
}

/// Makes a segment space with a file system without journal that holds the file.
fn space(context: &Context) -> Result<(tempfile::TempDir, SpaceFile)> {
    let directory = context.directory()?;
    let root = directory.path().join("root");
    fs::create_dir(&root)?;
    let file: Vec<u8> = (0..FILE_PAGES).flat_map(|number| page(1, number)).collect();
    fs::write(root.join("file"), file)?;
    fs::write(root.join("empty"), "")?;
    let image = directory.path().join("image");
    format(&image, SEGMENT_BYTES, &root)?;
    let space = Layout::new("S").member(SEGMENT, SegmentType::Ew, SEGMENT_BYTES);
    let space = space.write(directory.path())?;
    space.overwrite(SEGMENT, &fs::read(&image)?)?;
    Ok((directory, space))
}

/// How many pages of the file the host sees with that first byte.
fn pages_of_the_host(space: &SpaceFile, first: u8) -> Result<usize> {
    let segment = fs::read(&space.path)?;
    let wanted: Vec<Vec<u8>> = (0..FILE_PAGES).map(|number| page(first, number)).collect();
    let pages = segment.chunks(PAGE_BYTES);
    Ok(pages
        .filter(|page| wanted.iter().any(|wanted| wanted == page))
        .count())
}

fn what_is_stored_in_mapped_files_reaches_the_host(context: &Context) -> Result<()> {
    let (_directory, space) = space(context)?;
    ensure_eq!(pages_of_the_host(&space, 1)?, FILE_PAGES);
    let options = Options::default()
        .writable_space(&space)
        .module("ext4")
        .append(&format!("dcss.segments={SEGMENT}"));
    context.guest(&options, |guest| {
        guest.load(context.kernel(), "ext4", "")?;
        guest.run("mount", &["ext4", &node(SEGMENT), "/mnt", "dax=always"])?;
        store_through_a_mapping(guest)?;
        ensure_eq!(pages_of_the_host(&space, 2)?, FILE_PAGES);
        // A block is allocated and zeroed in place.
        guest.run("write", &["/mnt/empty", "written in place"])?;
        guest.run("umount", &["/mnt"])?;
        guest.detach(SEGMENT)?;
        guest.attach(SEGMENT)?;
        guest.run("mount", &["ext4", &node(SEGMENT), "/mnt", "ro,dax=always"])?;
        let read = guest.run("read", &["/mnt/empty"])?.lines;
        ensure_eq!(read.concat(), "written in place");
        guest.run("umount", &["/mnt"])?;
        Ok(())
    })?;
    ensure_eq!(pages_of_the_host(&space, 2)?, FILE_PAGES);
    ensure_eq!(pages_of_the_host(&space, 1)?, 0);
    Ok(())
}

/// The guest has the pages of the segment mapped, not copies, and asks the host to keep them.
fn store_through_a_mapping(guest: &mut Guest) -> Result<()> {
    let segment = guest
        .iomem(SEGMENT)?
        .context("the segment is not claimed")?;
    let before = flush_interrupts(guest)?;
    let answer = guest.run("applet", &["touch", "write", "/mnt/file"])?;
    ensure_within(&answer, &segment)?;
    ensure!(
        flush_interrupts(guest)? > before,
        "the host was not asked to flush"
    );
    Ok(())
}
