// SPDX-License-Identifier: GPL-2.0

//! Attaching and detaching, and what the driver says about segments.

use anyhow::ensure;
use anyhow::Context as _;
use anyhow::Result;
use onecopy_boot::dcss::errno;
use onecopy_boot::dcss::node;
use onecopy_boot::space::Layout;
use onecopy_boot::space::SpaceFile;
use onecopy_boot::space::GENERATION;
use onecopy_boot::space::MIB;
use onecopy_boot::Guest;
use onecopy_boot::Options;
use onecopy_format::segment_space::SegmentType;

use super::cases;
use super::ensure_eq;
use crate::context::Context;

cases! {
    BuiltIn:
        the_boot_parameter_attaches,
        configfs_attaches_and_detaches,
        attributes_have_the_true_values,
        detaching_returns_the_struct_pages,
        attaching_100_times_loses_no_memory,
        a_misaligned_segment_works_without_dax;
    BuiltInFast:
        bad_words_of_the_boot_parameter_do_not_keep_the_others_away,
        contiguous_segments_work_as_one_device,
        all_of_512_members_can_be_attached;
}

fn pair(context: &Context) -> Result<(tempfile::TempDir, SpaceFile)> {
    let directory = context.directory()?;
    let layout = Layout::new("PAIR")
        .member("A", SegmentType::Sr, 4 * MIB)
        .member("B", SegmentType::Sr, 2 * MIB);
    let space = layout.write(directory.path())?;
    Ok((directory, space))
}

/// Fails unless a segment is attached as a device with the contents that were saved.
pub(super) fn ensure_works(guest: &mut Guest, space: &SpaceFile, name: &str) -> Result<()> {
    let member = space.member(name)?;
    let (bytes, digest) = guest.digest(&node(name), "r", 0..member.size_bytes, MIB)?;
    ensure_eq!(bytes, member.size_bytes);
    ensure_eq!(digest, onecopy_boot::space::hexadecimal(&member.sha256));
    Ok(())
}

/// Fails unless a segment is not attached and leaves no trace.
pub(super) fn ensure_detached(guest: &mut Guest, name: &str) -> Result<()> {
    ensure!(!guest.exists(&node(name))?, "{} is still there", node(name));
    ensure_eq!(guest.iomem(name)?, None);
    ensure!(
        !guest.attached()?.contains(&name.to_owned()),
        "{name} is still attached"
    );
    Ok(())
}

fn the_boot_parameter_attaches(context: &Context) -> Result<()> {
    let (_directory, space) = pair(context)?;
    let options = Options::default().space(&space).append("dcss.segments=a,B");
    context.guest(&options, |guest| {
        ensure_eq!(guest.attached()?, ["A", "B"]);
        ensure_works(guest, &space, "A")?;
        ensure_works(guest, &space, "B")
    })
}

fn bad_words_of_the_boot_parameter_do_not_keep_the_others_away(context: &Context) -> Result<()> {
    let (_directory, space) = pair(context)?;
    let segments = "dcss.segments=WAYTOOLONG,A(local),,MISSING,A:,B";
    let options = Options::default().space(&space).append(segments);
    context.guest(&options, |guest| {
        ensure_eq!(guest.attached()?, ["B"]);
        for text in [
            "WAYTOOLONG",
            "(local)",
            "segment MISSING: not found",
            "name is empty",
        ] {
            ensure!(!guest.dmesg(text)?.is_empty(), "no message with {text:?}");
        }
        Ok(())
    })
}

fn configfs_attaches_and_detaches(context: &Context) -> Result<()> {
    let (_directory, space) = pair(context)?;
    context.guest(&Options::default().watch_leaks().space(&space), |guest| {
        ensure_eq!(guest.available()?, ["A", "B"]);
        ensure_detached(guest, "A")?;
        guest.attach("a\n")?;
        ensure_eq!(guest.attached()?, ["A"]);
        ensure_eq!(guest.available()?, ["B"]);
        ensure_works(guest, &space, "A")?;
        guest.detach("a\n")?;
        ensure_detached(guest, "A")?;
        ensure_eq!(guest.available()?, ["A", "B"]);
        guest.attach("A")?;
        ensure_works(guest, &space, "A")
    })
}

fn attributes_have_the_true_values(context: &Context) -> Result<()> {
    let (_directory, space) = pair(context)?;
    context.guest(&Options::default().space(&space), |guest| {
        for (name, value) in [
            ("attached", "0"),
            ("users", "0"),
            ("dax", "off: not attached"),
        ] {
            ensure_eq!(
                guest.attribute("A", name)?,
                value,
                "{name} before attaching"
            );
        }
        guest.attach("A")?;
        guest.run("open", &["slot", "r", &node("A")])?;
        let size_bytes = (4 * MIB).to_string();
        let generation = (GENERATION - 1).to_string();
        for (name, value) in [
            ("attached", "1"),
            ("type", "SR"),
            ("size_bytes", size_bytes.as_str()),
            ("users", "1"),
            ("generation", generation.as_str()),
            ("dax", "on"),
            ("space", "PAIR"),
            ("seglist", "A"),
        ] {
            ensure_eq!(guest.attribute("A", name)?, value, "{name}");
        }
        guest.run("close", &["slot"])?;
        ensure_eq!(guest.attribute("A", "users")?, "0");
        address_is_that_of_the_device(guest, &space)?;
        ensure_eq!(
            errno(guest.run("mkdir", &["/sys/kernel/config/dcss/MISSING"]))?,
            "ENOENT"
        );
        guest.run("rmdir", &["/sys/kernel/config/dcss/A"])?;
        ensure_works(guest, &space, "A")
    })
}

/// The host knows where the device is; the guest has to say the same in two places.
fn address_is_that_of_the_device(guest: &mut Guest, space: &SpaceFile) -> Result<()> {
    let devices = onecopy_machine::qmp::commands::QueryMemoryDevices {};
    let devices = guest.machine().execute(&devices)?;
    let device = devices.first().context("no memory device")?;
    let member = space.member("A")?;
    let start = device.data.address + member.offset_bytes;
    ensure_eq!(guest.attribute("A", "address")?, format!("{start:#x}"));
    ensure_eq!(guest.iomem("A")?, Some(start..start + member.size_bytes));
    Ok(())
}

fn detaching_returns_the_struct_pages(context: &Context) -> Result<()> {
    const SIZE_BYTES: u64 = 64 * MIB;
    let directory = context.directory()?;
    let space = Layout::new("BIG").member("BIG", SegmentType::Sn, SIZE_BYTES);
    let space = space.write(directory.path())?;
    context.guest(&Options::default().writable_space(&space), |guest| {
        let before = guest.memmap_pages()?;
        guest.attach("BIG")?;
        let attached = guest.memmap_pages()?;
        // A struct page of 64 bytes for each page of 4096.
        ensure_eq!(attached - before, SIZE_BYTES / 4096 * 64 / 4096);
        guest.detach("BIG")?;
        ensure_eq!(guest.memmap_pages()?, before);
        Ok(())
    })
}

fn attaching_100_times_loses_no_memory(context: &Context) -> Result<()> {
    /// What the kernel may keep in its per-processor lists and caches.
    const TOLERANCE_KIB: u64 = 256;
    let (_directory, space) = pair(context)?;
    context.guest(&Options::default().watch_leaks().space(&space), |guest| {
        guest.run("applet", &["attach-count", "A:B", "A", "20"])?;
        let before = free_kib(guest)?;
        let answer = guest.run("applet", &["attach-count", "A:B", "A", "100"])?;
        ensure_eq!(answer.value("attached"), Some("100"), "{answer:?}");
        let after = free_kib(guest)?;
        // A page per round would be 400 KiB. KASAN keeps what was freed for a while; a kernel that
        // has it has kmemleak too.
        ensure!(
            context.kernel().is_debug() || after + TOLERANCE_KIB >= before,
            "{before} KiB were free before 100 rounds, {after} KiB after them"
        );
        guest.attach("A")?;
        ensure_works(guest, &space, "A")
    })
}

/// Returns the free memory after everything was freed that can be.
fn free_kib(guest: &mut Guest) -> Result<u64> {
    guest.run("drop-caches", &[])?;
    guest.run("sleep", &["300"])?;
    guest.run("drop-caches", &[])?;
    guest.meminfo_kib("MemFree")
}

fn contiguous_segments_work_as_one_device(context: &Context) -> Result<()> {
    let (_directory, space) = pair(context)?;
    context.guest(&Options::default().space(&space), |guest| {
        // In any order, and named after the first one listed.
        for (segments, name) in [("A:B", "A"), ("b:a", "B")] {
            guest.attach(segments)?;
            ensure_eq!(guest.attribute(name, "seglist")?, "A\nB");
            ensure_eq!(guest.attribute(name, "size_bytes")?, (6 * MIB).to_string());
            ensure_eq!(guest.attached()?, [name]);
            let (bytes, digest) = guest.digest(&node(name), "r", 0..6 * MIB, MIB)?;
            ensure_eq!(bytes, 6 * MIB);
            ensure_eq!(
                digest,
                space.digest(space.member("A")?.offset_bytes, 6 << 20)?
            );
            ensure_eq!(errno(guest.attach("B"))?, "EEXIST");
            guest.detach(name)?;
            ensure_detached(guest, name)?;
        }
        Ok(())
    })
}

fn a_misaligned_segment_works_without_dax(context: &Context) -> Result<()> {
    let directory = context.directory()?;
    let space = Layout::new("ODD")
        .member_at("LATE", SegmentType::Sr, 2 * MIB + 4096, 2 * MIB)
        .member_at("SHORT", SegmentType::Sr, 6 * MIB, 2 * MIB - 4096)
        .member_at("GOOD", SegmentType::Sr, 8 * MIB, 2 * MIB)
        .write(directory.path())?;
    context.guest(&Options::default().space(&space), |guest| {
        for name in ["LATE", "SHORT"] {
            guest.attach(name)?;
            let dax = guest.attribute(name, "dax")?;
            ensure!(
                dax.starts_with("off: ") && dax.contains("2097152"),
                "{name}: {dax}"
            );
            let message = guest.dmesg(&format!("segment {name}: DAX off: "))?;
            ensure_eq!(message.len(), 1, "messages about {name}");
            ensure_works(guest, &space, name)?;
        }
        guest.attach("GOOD")?;
        ensure_eq!(guest.attribute("GOOD", "dax")?, "on");
        ensure_works(guest, &space, "GOOD")
    })
}

fn all_of_512_members_can_be_attached(context: &Context) -> Result<()> {
    /// How many lines with a name of eight characters fit in a file in configfs.
    const LISTED: usize = 4096 / 9;
    let directory = context.directory()?;
    let names: Vec<String> = (0..512).map(|index| format!("MEM{index:05}")).collect();
    let mut layout = Layout::new("MANY");
    for name in &names {
        layout = layout.member(name, SegmentType::En, 2 * MIB);
    }
    let space = layout.write(directory.path())?;
    context.guest(&Options::default().writable_space(&space), |guest| {
        ensure_eq!(guest.available()?, names[..LISTED]);
        for name in &names {
            guest.attach(name)?;
        }
        ensure_eq!(guest.attached()?, names[..LISTED]);
        ensure_eq!(guest.available()?, Vec::<String>::new());
        ensure_eq!(guest.run("ls", &["/dev/dcss"])?.lines.len(), 512);
        ensure_eq!(guest.attribute(&names[511], "dax")?, "on");
        for name in &names {
            guest.detach(name)?;
        }
        ensure_eq!(guest.available()?.len(), LISTED);
        Ok(())
    })
}
