// SPDX-License-Identifier: GPL-2.0

//! Segment spaces with a header or directory that is wrong.
//!
//! One guest gets all of them, each as a device of its own, beside a good one. A case looks at what
//! that guest said about its device.

use std::path::Path;

use anyhow::ensure;
use anyhow::Context as _;
use anyhow::Result;
use onecopy_boot::space::Head;
use onecopy_boot::space::Layout;
use onecopy_boot::space::SpaceFile;
use onecopy_boot::space::GENERATION;
use onecopy_boot::space::MIB;
use onecopy_boot::Guest;
use onecopy_boot::Options;
use onecopy_format::segment_space::SegmentType;

use super::attach::ensure_works;
use super::cases;
use super::ensure_eq;
use crate::context::Context;

/// What all the devices together have led to.
#[derive(Debug, Clone)]
pub(crate) struct Evidence {
    /// The messages of the kernel.
    messages: Vec<String>,
    /// The virtio devices that the driver is bound to.
    bound: Vec<String>,
    /// The segments that can be attached.
    available: Vec<String>,
    /// The lines of `/proc/iomem`.
    iomem: Vec<String>,
}

/// A space that has to be refused.
struct Bad {
    name: &'static str,
    errno: i32,
    message: &'static str,
    make: fn(&mut SpaceFile) -> Result<()>,
}

/// Changes bytes of the header or the directory and makes the checksums fit.
fn change(space: &SpaceFile, change: impl FnOnce(&mut Head)) -> Result<()> {
    space.change(|head| {
        change(head);
        head.fix_checksums();
    })
}

/// Makes a table and one case for each of its rows.
macro_rules! bad_directories {
    ($($function:ident: $errno:literal, $message:literal, $make:expr;)+) => {
        const BAD: &[Bad] = &[$(Bad {
            name: stringify!($function),
            errno: $errno,
            message: $message,
            make: $make,
        }),+];

        $(fn $function(context: &Context) -> Result<()> {
            is_refused(context, stringify!($function))
        })+

        cases! {
            BuiltIn: bad_directories_leave_nothing_behind, $($function),+;
        }
    };
}

// The name of the case, errno, what the message has to say, how to make the space.
bad_directories! {
    damaged_header_is_refused: 5, "header: checksum is ",
        |space| space.change(|head| head.header(24, &[9]));
    damaged_directory_is_refused: 5, "directory: checksum is ",
        |space| space.change(|head| head.entry(1, 64, &[9]));
    truncated_directory_is_refused: 5, "directory: truncated: 4096 of 4480 bytes",
        |space| space.resize(4096);
    truncated_space_is_refused: 34, "header: space_bytes 0x800000 exceeds the device, 0x600000",
        |space| space.resize(6 * MIB);
    wrong_endian_is_refused: 95, "header: version 0x01000000 is 1 in big-endian order",
        |space| change(space, |head| head.header(8, &1_u32.to_be_bytes()));
    unknown_version_is_refused: 95, "header: version is 2, not 1",
        |space| change(space, |head| head.header(8, &[2]));
    unknown_flag_is_refused: 95, "header: flags 0x4 are unknown",
        |space| change(space, |head| head.header(60, &[4]));
    reserved_byte_of_the_header_is_refused: 22, "header: reserved byte 70 is 0x01",
        |space| change(space, |head| head.header(70, &[1]));
    space_of_odd_size_is_refused: 22, "header: space_bytes 0x7ff000 is not a multiple of 2097152",
        |space| change(space, |head| head.header(16, &(8 * MIB - 4096).to_le_bytes()));
    no_members_are_refused: 22, "header: member_count 0 is not in 1..=512",
        |space| change(space, |head| head.header(40, &0_u32.to_le_bytes()));
    too_many_members_are_refused: 22, "header: member_count 513 is not in 1..=512",
        |space| change(space, |head| head.header(40, &513_u32.to_le_bytes()));
    overlap_is_refused: 16, "segment PY: offset 0x201000 is before the end of segment USR",
        |space| change(space, |head| head.entry(1, 16, &(2 * MIB + 4096).to_le_bytes()));
    misaligned_offset_is_refused: 22, "segment PY: offset 0x400200 is not a multiple of 4096",
        |space| change(space, |head| head.entry(1, 16, &(4 * MIB + 512).to_le_bytes()));
    misaligned_size_is_refused: 22, "segment PY: size_bytes 0x1001 is not a multiple of 4096",
        |space| change(space, |head| head.entry(1, 24, &4097_u64.to_le_bytes()));
    zero_size_is_refused: 22, "segment PY: size_bytes is zero",
        |space| change(space, |head| head.entry(1, 24, &0_u64.to_le_bytes()));
    overflow_is_refused: 34, "segment X: offset 0xfffffffffffff000 plus size_bytes 0x200000 exceeds",
        |space| change(space, |head| head.entry(2, 16, &(u64::MAX - 4095).to_le_bytes()));
    member_larger_than_the_space_is_refused: 34, "plus size_bytes 0x4000000 exceeds the space",
        |space| change(space, |head| head.entry(2, 24, &(64 * MIB).to_le_bytes()));
    member_on_the_directory_is_refused: 16, "segment USR: offset 0x1000 is before the end of the directory",
        |space| change(space, |head| head.entry(0, 16, &4096_u64.to_le_bytes()));
    unsorted_members_are_refused: 22, "segment PY: offset 0x400000 is not sorted",
        |space| change(space, |head| head.entry(0, 16, &(6 * MIB).to_le_bytes()));
    name_with_a_slash_is_refused: 22, "member #1: name has '/' at position 1",
        |space| change(space, |head| head.entry(1, 0, b"A/B\0\0\0\0\0"));
    name_with_a_nul_is_refused: 22, "member #1: name has '\\x00' at position 1",
        |space| change(space, |head| head.entry(1, 0, b"A\0B\0\0\0\0\0"));
    name_of_dots_is_refused: 22, "member #1: name has '.' at position 0",
        |space| change(space, |head| head.entry(1, 0, b"..\0\0\0\0\0\0"));
    empty_name_is_refused: 36, "member #1: name is empty",
        |space| change(space, |head| head.entry(1, 0, &[0; 8]));
    duplicate_name_is_refused: 17, "segment USR: name is that of both member #0 and member #1",
        |space| change(space, |head| head.entry(1, 0, b"USR\0\0\0\0\0"));
    unknown_type_is_refused: 22, "segment USR: type 7 is not in 0..=6",
        |space| change(space, |head| head.entry(0, 8, &[7]));
    reserved_byte_of_a_member_is_refused: 22, "segment PY: reserved byte 9 is 0x01, not zero",
        |space| change(space, |head| head.entry(1, 9, &[1]));
    generation_of_the_future_is_refused: 22, "segment USR: generation 8 is not in 1..=7",
        |space| change(space, |head| head.entry(0, 32, &(GENERATION + 1).to_le_bytes()));
    digest_without_data_is_refused: 22, "segment X: sha256 is not zero although type EN saves no data",
        |space| change(space, |head| head.entry(2, 64, &[1]));
}

fn layout(name: &'static str) -> Layout {
    Layout::new(name)
        .member("USR", SegmentType::Sr, 2 * MIB)
        .member("PY", SegmentType::Sr, 2 * MIB)
        .member("X", SegmentType::En, 2 * MIB)
}

/// Returns what the guest with all the devices has said; the first caller starts it.
fn evidence(context: &Context) -> Result<Evidence> {
    context.bad_directories(|| gather(context))
}

fn gather(context: &Context) -> Result<Evidence> {
    let directory = context.directory()?;
    let mut options = Options::default().watch_leaks();
    for bad in BAD {
        let directory = directory.path().join(bad.name);
        std::fs::create_dir(&directory)?;
        let mut space = layout("BAD").write(&directory)?;
        (bad.make)(&mut space).with_context(|| bad.name)?;
        options = options.space(&space);
    }
    let good = good(directory.path())?;
    let mut evidence = None;
    context.guest(&options.space(&good), |guest| {
        guest.attach("GOOD")?;
        ensure_works(guest, &good, "GOOD")?;
        guest.detach("GOOD")?;
        evidence = Some(look(guest)?);
        Ok(())
    })?;
    evidence.context("the guest was not looked at")
}

fn good(directory: &Path) -> Result<SpaceFile> {
    Layout::new("GOOD")
        .member("GOOD", SegmentType::Sr, 2 * MIB)
        .write(directory)
}

fn look(guest: &mut Guest) -> Result<Evidence> {
    Ok(Evidence {
        messages: guest.dmesg("virtio")?,
        bound: guest.bound()?,
        available: guest.available()?,
        iomem: guest.run("read", &["/proc/iomem"])?.lines,
    })
}

fn is_refused(context: &Context, name: &str) -> Result<()> {
    let evidence = evidence(context)?;
    let index = BAD
        .iter()
        .position(|bad| bad.name == name)
        .context("not in the table")?;
    let bad = BAD.get(index).context("not in the table")?;
    // Devices are numbered in the order of the command line.
    let device = format!("virtio{index}: ");
    let messages: Vec<&String> = evidence
        .messages
        .iter()
        .filter(|message| message.contains(&device))
        .collect();
    let refused = messages
        .iter()
        .find(|message| message.contains("segment space refused: "));
    let refused = refused.with_context(|| format!("not refused: {messages:#?}"))?;
    ensure!(
        refused.contains(bad.message),
        "{refused:?} does not say {:?}",
        bad.message
    );
    let failed = format!("failed with error -{}", bad.errno);
    ensure!(
        messages.iter().any(|message| message.ends_with(&failed)),
        "no message {failed:?}: {messages:#?}"
    );
    Ok(())
}

fn bad_directories_leave_nothing_behind(context: &Context) -> Result<()> {
    let evidence = evidence(context)?;
    ensure_eq!(evidence.bound, [format!("virtio{}", BAD.len())]);
    ensure_eq!(evidence.available, ["GOOD"]);
    for line in &evidence.iomem {
        ensure!(
            !line.contains("DCSS") && !line.contains("segment space"),
            "{line}"
        );
    }
    Ok(())
}
