// SPDX-License-Identifier: GPL-2.0

//! What is refused when attaching and detaching, with which errno.
//!
//! The errors are those of dcssblk, see `Documentation/block/dcss.rst`.

use anyhow::ensure;
use anyhow::Result;
use onecopy_boot::dcss::errno;
use onecopy_boot::dcss::node;
use onecopy_boot::space::Layout;
use onecopy_boot::space::MIB;
use onecopy_boot::Guest;
use onecopy_boot::Options;
use onecopy_format::segment_space::SegmentType;

use super::attach::ensure_detached;
use super::attach::ensure_works;
use super::cases;
use super::ensure_eq;
use crate::context::Context;

cases! {
    BuiltIn:
        bad_names_are_refused,
        attaching_twice_is_refused,
        segments_that_do_not_fit_together_are_refused,
        detaching_is_refused_while_the_device_is_open,
        detaching_is_refused_while_the_device_is_mounted;
    BuiltInFast:
        unknown_segments_are_refused,
        a_name_in_two_spaces_means_the_first,
        detaching_what_is_not_attached_is_refused,
        a_boot_parameter_that_is_too_long_is_refused;
}

/// Two contiguous segments of type SR, one after a gap, and one of each other type.
fn with_guest(context: &Context, body: impl FnOnce(&mut Guest) -> Result<()>) -> Result<()> {
    let directory = context.directory()?;
    let size_bytes = 2 * MIB;
    let space = Layout::new("S")
        .member("A", SegmentType::Sr, size_bytes)
        .member("B", SegmentType::Sr, size_bytes)
        .member_after_gap("C", SegmentType::Sr, size_bytes)
        .member("ER", SegmentType::Er, size_bytes)
        .member("EW", SegmentType::Ew, size_bytes)
        .member("EN", SegmentType::En, size_bytes)
        .member("SN", SegmentType::Sn, size_bytes);
    let space = space.write(directory.path())?;
    context.guest(
        &Options::default().watch_leaks().writable_space(&space),
        |guest| {
            body(guest)?;
            // Whatever was refused, nothing else has suffered.
            if !guest.attached()?.contains(&"A".to_owned()) {
                guest.attach("A")?;
            }
            ensure_works(guest, &space, "A")
        },
    )
}

fn refused(guest: &mut Guest, segments: &str, expected: &str) -> Result<()> {
    let before = guest.attached()?;
    ensure_eq!(errno(guest.attach(segments))?, expected, "for {segments:?}");
    ensure_eq!(guest.attached()?, before, "after {segments:?}");
    Ok(())
}

fn bad_names_are_refused(context: &Context) -> Result<()> {
    with_guest(context, |guest| {
        for segments in ["NINECHARS", "\n", "A:", "A:\n", ":A", "A::B", "A:NINECHARS"] {
            refused(guest, segments, "ENAMETOOLONG")?;
        }
        for segments in ["A/B", "..", "A B", "A\0", "A\n\n", "-A", "A:A", "\u{e9}"] {
            refused(guest, segments, "EINVAL")?;
        }
        refused(guest, "A(local)", "EOPNOTSUPP")?;
        for (name, expected) in [("NINECHARS", "ENAMETOOLONG"), ("A:B", "EINVAL")] {
            ensure_eq!(errno(guest.detach(name))?, expected, "detaching {name:?}");
        }
        Ok(())
    })
}

fn unknown_segments_are_refused(context: &Context) -> Result<()> {
    with_guest(context, |guest| {
        refused(guest, "MISSING", "ENOENT")?;
        refused(guest, "A:MISSING", "ENOENT")?;
        ensure!(!guest
            .dmesg("segment MISSING: there is no such segment")?
            .is_empty());
        ensure_detached(guest, "A")
    })
}

fn attaching_twice_is_refused(context: &Context) -> Result<()> {
    with_guest(context, |guest| {
        guest.attach("A")?;
        for segments in ["A", "a", "A:B", "B:A"] {
            refused(guest, segments, "EEXIST")?;
        }
        ensure_detached(guest, "B")
    })
}

fn segments_that_do_not_fit_together_are_refused(context: &Context) -> Result<()> {
    with_guest(context, |guest| {
        refused(guest, "A:C", "EINVAL")?;
        ensure!(!guest
            .dmesg("segments A and C: adjacent but not contiguous")?
            .is_empty());
        refused(guest, "A:B:C", "EINVAL")?;
        refused(guest, "C:ER", "EINVAL")?;
        ensure!(!guest
            .dmesg("segments C and ER: the types are incompatible")?
            .is_empty());
        refused(guest, "EN:SN", "EINVAL")?;
        // The exception.
        guest.attach("EW:EN")?;
        ensure_eq!(guest.attribute("EW", "size_bytes")?, (4 * MIB).to_string());
        guest.detach("EW")?;
        Ok(())
    })
}

fn a_name_in_two_spaces_means_the_first(context: &Context) -> Result<()> {
    let directory = context.directory()?;
    let layout = |name| Layout::new(name).member("A", SegmentType::Sr, 2 * MIB);
    let first = layout("FIRST")
        .member("B", SegmentType::Sr, 2 * MIB)
        .write(directory.path())?;
    let second = layout("SECOND")
        .member("C", SegmentType::Sr, 2 * MIB)
        .write(directory.path())?;
    let options = Options::default().space(&first).space(&second);
    context.guest(&options, |guest| {
        let message = "segment A: in segment spaces FIRST and SECOND, the first one is used";
        ensure!(!guest.dmesg(message)?.is_empty());
        guest.attach("A")?;
        ensure_eq!(guest.attribute("A", "space")?, "FIRST");
        guest.attach("C")?;
        ensure_works(guest, &second, "C")?;
        guest.detach("C")?;
        // A device cannot have segments of two spaces.
        refused(guest, "B:C", "EINVAL")?;
        ensure_detached(guest, "B")
    })
}

fn detaching_what_is_not_attached_is_refused(context: &Context) -> Result<()> {
    with_guest(context, |guest| {
        guest.attach("A:B")?;
        for name in ["C", "MISSING", "B"] {
            ensure_eq!(errno(guest.detach(name))?, "ENODEV", "detaching {name}");
        }
        ensure!(!guest
            .dmesg("segment C: cannot be detached, it is not attached")?
            .is_empty());
        guest.detach("A")?;
        ensure_eq!(errno(guest.detach("A"))?, "ENODEV");
        Ok(())
    })
}

fn detaching_is_refused_while_the_device_is_open(context: &Context) -> Result<()> {
    with_guest(context, |guest| {
        guest.attach("A")?;
        for slot in ["one", "two"] {
            guest.run("open", &[slot, "r", &node("A")])?;
        }
        ensure_eq!(errno(guest.detach("A"))?, "EBUSY");
        guest.run("close", &["one"])?;
        ensure_eq!(errno(guest.detach("A"))?, "EBUSY");
        ensure_eq!(guest.attribute("A", "users")?, "1");
        ensure!(!guest
            .dmesg("segment A: cannot be detached while it is in use")?
            .is_empty());
        guest.run("close", &["two"])?;
        guest.detach("A")?;
        ensure_detached(guest, "A")
    })
}

fn detaching_is_refused_while_the_device_is_mounted(context: &Context) -> Result<()> {
    let space = context.programs()?;
    context.guest(
        &Options::default()
            .watch_leaks()
            .space(&space)
            .append("dcss.segments=ROOT"),
        |guest| {
            guest.run("mount", &["erofs", &node("ROOT"), "/mnt", "ro,dax=always"])?;
            ensure_eq!(errno(guest.detach("ROOT"))?, "EBUSY");
            // A program that executes from it keeps the file system.
            guest.run(
                "spawn",
                &["tool", "/mnt/bin/tool", "hold", "/mnt/data/large"],
            )?;
            ensure_eq!(errno(guest.run("umount", &["/mnt"]))?, "EBUSY");
            ensure_eq!(errno(guest.detach("ROOT"))?, "EBUSY");
            ensure_eq!(guest.run("stop", &["tool"])?.text, "exit=0");
            guest.run("umount", &["/mnt"])?;
            guest.detach("ROOT")?;
            ensure_detached(guest, "ROOT")
        },
    )
}

/// At most 400 characters.
fn a_boot_parameter_that_is_too_long_is_refused(context: &Context) -> Result<()> {
    let directory = context.directory()?;
    let space = Layout::new("S")
        .member("A", SegmentType::Sr, 2 * MIB)
        .write(directory.path())?;
    for (commas, attached) in [(399, vec!["A".to_owned()]), (400, vec![])] {
        let segments = format!("dcss.segments=A{}", ",".repeat(commas));
        context.guest(
            &Options::default().space(&space).append(&segments),
            |guest| {
                ensure_eq!(guest.attached()?, attached, "with {commas} commas");
                Ok(())
            },
        )?;
    }
    Ok(())
}
