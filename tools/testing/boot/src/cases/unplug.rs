// SPDX-License-Identifier: GPL-2.0

//! Devices that vanish, idle and in use.

use anyhow::ensure;
use anyhow::Result;
use onecopy_boot::dcss::errno;
use onecopy_boot::dcss::node;
use onecopy_boot::dcss::DRIVER;
use onecopy_boot::space::Layout;
use onecopy_boot::space::SpaceFile;
use onecopy_boot::space::MIB;
use onecopy_boot::Guest;
use onecopy_boot::Options;
use onecopy_format::segment_space::SegmentType;

use super::attach::ensure_detached;
use super::attach::ensure_works;
use super::cases;
use super::ensure_eq;
use crate::context::Context;
use crate::context::LARGE_FILE;
use crate::context::PROGRAMS;

cases! {
    BuiltIn:
        an_idle_device_can_be_unbound_and_bound,
        an_open_device_can_be_unbound,
        a_mounted_device_can_be_unbound,
        a_device_can_be_removed_from_the_bus_and_found_again,
        an_open_device_can_be_removed_from_the_bus;
}

/// The only virtio device of these guests.
const DEVICE: &str = "virtio0";

/// How a device goes away and comes back.
#[derive(Debug, Clone)]
enum Way {
    /// The driver is told to let go.
    Unbind,
    /// The bus forgets the device with this address.
    Remove(String),
}

impl Way {
    fn vanish(&self, guest: &mut Guest) -> Result<()> {
        match self {
            Self::Unbind => guest.write(&format!("{DRIVER}/unbind"), DEVICE)?,
            Self::Remove(address) => {
                guest.write(&format!("/sys/bus/pci/devices/{address}/remove"), "1")?
            }
        };
        Ok(())
    }

    fn come_back(&self, guest: &mut Guest) -> Result<()> {
        match self {
            Self::Unbind => guest.write(&format!("{DRIVER}/bind"), DEVICE)?,
            Self::Remove(_) => guest.write("/sys/bus/pci/rescan", "1")?,
        };
        guest.wait_until("the driver is bound", |guest| {
            Ok(!guest.bound()?.is_empty())
        })
    }
}

fn with_guest(
    context: &Context,
    body: impl FnOnce(&mut Guest, &SpaceFile) -> Result<()>,
) -> Result<()> {
    let directory = context.directory()?;
    let space = Layout::new("S")
        .member("A", SegmentType::Sr, 2 * MIB)
        .member("W", SegmentType::Ew, 2 * MIB)
        .write(directory.path())?;
    let options = Options::default()
        .cpus(2)
        .watch_leaks()
        .writable_space(&space)
        .append("dcss.segments=A,W");
    context.guest(&options, |guest| body(guest, &space))
}

fn an_idle_device_can_be_unbound_and_bound(context: &Context) -> Result<()> {
    with_guest(context, |guest, space| {
        vanish_idle(guest, space, &Way::Unbind)
    })
}

fn a_device_can_be_removed_from_the_bus_and_found_again(context: &Context) -> Result<()> {
    with_guest(context, |guest, space| {
        let way = Way::Remove(guest.pci_address(DEVICE)?);
        vanish_idle(guest, space, &way)
    })
}

fn vanish_idle(guest: &mut Guest, space: &SpaceFile, way: &Way) -> Result<()> {
    let attached = guest.memmap_pages()?;
    ensure_eq!(guest.attribute("A", "attached")?, "1");
    for _ in 0..3 {
        way.vanish(guest)?;
        for name in ["A", "W"] {
            ensure_detached(guest, name)?;
        }
        ensure!(
            guest.memmap_pages()? < attached,
            "the struct pages are still there"
        );
        ensure_eq!(errno(guest.attach("A"))?, "ENOENT");
        ensure_eq!(errno(guest.attribute("A", "attached"))?, "ENOENT");
        way.come_back(guest)?;
        // The boot parameter still holds.
        ensure_eq!(guest.attached()?, ["A", "W"]);
        ensure_eq!(guest.memmap_pages()?, attached);
        ensure_works(guest, space, "A")?;
        ensure_works(guest, space, "W")?;
    }
    Ok(())
}

fn an_open_device_can_be_unbound(context: &Context) -> Result<()> {
    with_guest(context, |guest, space| {
        vanish_open(guest, space, &Way::Unbind)
    })
}

fn an_open_device_can_be_removed_from_the_bus(context: &Context) -> Result<()> {
    with_guest(context, |guest, space| {
        let way = Way::Remove(guest.pci_address(DEVICE)?);
        vanish_open(guest, space, &way)
    })
}

fn vanish_open(guest: &mut Guest, space: &SpaceFile, way: &Way) -> Result<()> {
    let attached = guest.memmap_pages()?;
    guest.run("open", &["read", "rd", &node("A")])?;
    guest.run("open", &["write", "wd", &node("W")])?;
    way.vanish(guest)?;
    ensure!(!guest
        .dmesg("segment A: the device vanished while in use")?
        .is_empty());
    for name in ["A", "W"] {
        ensure!(!guest.exists(&node(name))?, "{name} is still there");
    }
    nothing_can_be_read_or_written(guest)?;
    way.come_back(guest)?;
    // The old devices still have the memory.
    ensure_eq!(guest.attached()?, Vec::<String>::new());
    ensure_eq!(errno(guest.attach("A"))?, "EBUSY");
    guest.run("close", &["read"])?;
    guest.run("close", &["write"])?;
    guest.attach("A")?;
    guest.attach("W")?;
    ensure_eq!(guest.memmap_pages()?, attached);
    ensure_works(guest, space, "A")?;
    ensure_works(guest, space, "W")
}

/// The kernel gives a disk that is gone the size zero: reads end at once, writes find no room.
fn nothing_can_be_read_or_written(guest: &mut Guest) -> Result<()> {
    match guest.run("pread", &["read", "0", "4096"]) {
        Ok(answer) => ensure_eq!(answer.text, "bytes=0"),
        refused => ensure_eq!(errno(refused)?, "EIO"),
    }
    let written = errno(guest.run("pwrite", &["write", "0", "4096", "1"]))?;
    ensure!(
        ["EIO", "ENOSPC", "ENXIO"].contains(&written.as_str()),
        "writing: {written}"
    );
    Ok(())
}

fn a_mounted_device_can_be_unbound(context: &Context) -> Result<()> {
    let space = context.programs()?;
    let options = Options::default()
        .cpus(2)
        .watch_leaks()
        .space(&space)
        .append("dcss.segments=ROOT");
    context.guest(&options, |guest| {
        let attached = guest.memmap_pages()?;
        let file = format!("/mnt/{LARGE_FILE}");
        guest.run(
            "mount",
            &["erofs", &node(PROGRAMS), "/mnt", "ro,dax=always"],
        )?;
        guest.run("spawn-applet", &["reader", "hold", &file])?;
        Way::Unbind.vanish(guest)?;
        ensure!(!guest.exists(&node(PROGRAMS))?);
        ensure_eq!(guest.bound()?, Vec::<String>::new());

        // New faults are signals, new reads are errors.
        ensure_eq!(
            guest.run("applet", &["touch", "shared", &file])?.text,
            "signal=7"
        );
        let read = errno(guest.run("read", &[&file]))?;
        // The DAX device says so, or the disk if the file system has to look something up first.
        ensure!(["ENXIO", "EIO"].contains(&read.as_str()), "reading: {read}");
        // Who has the pages mapped already has them until it lets go, or gets the signal.
        let reader = guest.run("stop", &["reader"])?.text;
        ensure!(
            ["exit=0", "signal=7"].contains(&reader.as_str()),
            "{reader}"
        );

        guest.run("umount", &["/mnt"])?;
        guest.wait_until("the struct pages are returned", |guest| {
            Ok(guest.memmap_pages()? < attached)
        })?;
        Way::Unbind.come_back(guest)?;
        ensure_works(guest, &space, PROGRAMS)?;
        guest.run(
            "mount",
            &["erofs", &node(PROGRAMS), "/mnt", "ro,dax=always"],
        )?;
        ensure_eq!(
            guest.run("applet", &["touch", "shared", &file])?.text,
            "exit=0"
        );
        Ok(())
    })
}
