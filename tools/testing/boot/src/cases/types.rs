// SPDX-License-Identifier: GPL-2.0

//! What may be done with segments of each type.

use std::fs;

use anyhow::ensure;
use anyhow::Context as _;
use anyhow::Result;
use onecopy_boot::dcss::errno;
use onecopy_boot::dcss::node;
use onecopy_boot::space::Layout;
use onecopy_boot::space::MIB;
use onecopy_boot::Guest;
use onecopy_boot::Options;
use onecopy_format::segment_space::SegmentType;

use super::attach::ensure_works;
use super::cases;
use super::ensure_eq;
use crate::context::Context;

cases! {
    BuiltIn:
        read_only_types_refuse_writing,
        writable_types_reach_the_file_of_the_host;
    BuiltInFast:
        a_read_only_device_protects_writable_types;
}

const SIZE_BYTES: u64 = 2 * MIB;

fn read_only_types_refuse_writing(context: &Context) -> Result<()> {
    let directory = context.directory()?;
    let space = Layout::new("S")
        .member("SR", SegmentType::Sr, SIZE_BYTES)
        .member("ER", SegmentType::Er, SIZE_BYTES)
        .member("SC", SegmentType::Sc, SIZE_BYTES)
        .write(directory.path())?;
    // The host would let the guest write: it is the driver that does not.
    let options = Options::default()
        .writable_space(&space)
        .append("dcss.segments=SR,ER,SC");
    let before = fs::read(&space.path)?;
    context.guest(&options, |guest| {
        for name in ["SR", "ER", "SC"] {
            ensure_eq!(guest.attribute(name, "type")?, name);
            ensure_eq!(
                guest.read(&format!("/sys/block/dcss!{name}/ro"))?,
                "1",
                "{name}"
            );
            refuses_writing(guest, name)?;
            // What blockdev --setrw does changes nothing.
            guest.run("set-read-only", &[&node(name), "0"])?;
            refuses_writing(guest, name)?;
            ensure_works(guest, &space, name)?;
        }
        Ok(())
    })?;
    ensure!(fs::read(&space.path)? == before, "the file has changed");
    Ok(())
}

fn refuses_writing(guest: &mut Guest, name: &str) -> Result<()> {
    for mode in ["w", "wd"] {
        let refused = errno(guest.run("open", &["slot", mode, &node(name)]))?;
        ensure!(
            ["EROFS", "EACCES", "EPERM"].contains(&refused.as_str()),
            "{name}: {refused}"
        );
    }
    Ok(())
}

fn writable_types_reach_the_file_of_the_host(context: &Context) -> Result<()> {
    let directory = context.directory()?;
    let space = Layout::new("S")
        .member("EW", SegmentType::Ew, SIZE_BYTES)
        .member("SW", SegmentType::Sw, SIZE_BYTES)
        .member("EN", SegmentType::En, SIZE_BYTES)
        .member("SN", SegmentType::Sn, SIZE_BYTES)
        .write(directory.path())?;
    let options = Options::default()
        .writable_space(&space)
        .append("dcss.segments=EW,SW,EN,SN");
    let mut expected = fs::read(&space.path)?;
    context.guest(&options, |guest| {
        for (name, byte) in [("EW", 0x11), ("SW", 0x22), ("EN", 0x33), ("SN", 0x44)] {
            ensure_eq!(guest.attribute(name, "type")?, name);
            let start = usize::try_from(space.member(name)?.offset_bytes)?;
            for (mode, offset) in [("w", 100), ("wd", 8192)] {
                write(guest, name, mode, offset, byte)?;
                expected
                    .get_mut(start + offset..start + offset + 4096)
                    .context("the file is too short")?
                    .fill(byte);
            }
            ensure!(
                fs::read(&space.path)? == expected,
                "{name}: the file has other contents"
            );
        }
        Ok(())
    })
}

/// Writes a block and waits until the host has it on its storage.
fn write(guest: &mut Guest, name: &str, mode: &str, offset: usize, byte: u8) -> Result<()> {
    let (offset, byte) = (offset.to_string(), byte.to_string());
    guest.run("open", &["slot", mode, &node(name)])?;
    guest.run("pwrite", &["slot", &offset, "4096", &byte])?;
    let before = flush_interrupts(guest)?;
    guest.run("fsync", &["slot"])?;
    ensure!(
        flush_interrupts(guest)? > before,
        "{name}: the host was not asked to flush"
    );
    guest.run("close", &["slot"])?;
    Ok(())
}

/// Returns how often the host has answered a request of the flush queue.
pub(super) fn flush_interrupts(guest: &mut Guest) -> Result<u64> {
    let lines = guest.run("read", &["/proc/interrupts"])?.lines;
    let counts = lines
        .iter()
        .filter(|line| line.contains("virtio"))
        .flat_map(|line| {
            // After the number of the interrupt, one count per processor.
            line.split_ascii_whitespace()
                .skip(1)
                .map_while(|word| word.parse::<u64>().ok())
        });
    Ok(counts.sum())
}

fn a_read_only_device_protects_writable_types(context: &Context) -> Result<()> {
    let directory = context.directory()?;
    let space = Layout::new("S")
        .member("EW", SegmentType::Ew, SIZE_BYTES)
        .write(directory.path())?;
    let before = fs::read(&space.path)?;
    context.guest(
        &Options::default().space(&space).append("dcss.segments=EW"),
        |guest| ensure_works(guest, &space, "EW"),
    )?;
    ensure!(fs::read(&space.path)? == before, "the file has changed");
    Ok(())
}
