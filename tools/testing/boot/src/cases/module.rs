// SPDX-License-Identifier: GPL-2.0

//! The driver as a module.

use anyhow::ensure;
use anyhow::Result;
use onecopy_boot::dcss::errno;
use onecopy_boot::dcss::node;
use onecopy_boot::dcss::CONFIG;
use onecopy_boot::space::Layout;
use onecopy_boot::space::SpaceFile;
use onecopy_boot::space::MIB;
use onecopy_boot::Guest;
use onecopy_boot::Options;
use onecopy_format::segment_space::SegmentType;

use super::attach::ensure_works;
use super::cases;
use super::ensure_eq;
use crate::context::Context;

cases! {
    Module:
        the_module_parameter_attaches,
        a_module_parameter_that_is_too_long_is_refused,
        the_module_stays_while_it_is_in_use,
        the_module_can_be_loaded_20_times;
}

fn with_guest(
    context: &Context,
    body: impl FnOnce(&mut Guest, &SpaceFile) -> Result<()>,
) -> Result<()> {
    let directory = context.directory()?;
    let space = Layout::new("S")
        .member("A", SegmentType::Sr, 2 * MIB)
        .member("B", SegmentType::Ew, 2 * MIB)
        .write(directory.path())?;
    let options = Options::default()
        .watch_leaks()
        .writable_space(&space)
        .module("dcss");
    context.guest(&options, |guest| body(guest, &space))
}

fn the_module_parameter_attaches(context: &Context) -> Result<()> {
    with_guest(context, |guest, space| {
        ensure!(!guest.exists(CONFIG)?);
        guest.load(context.kernel(), "dcss", "segments=B,a")?;
        ensure_eq!(guest.attached()?, ["B", "A"]);
        ensure_works(guest, space, "A")?;
        ensure_works(guest, space, "B")?;
        guest.run("rmmod", &["dcss"])?;
        ensure!(!guest.exists(CONFIG)?);
        ensure!(!guest.exists(&node("A"))?);
        ensure_eq!(guest.iomem("A")?, None);
        Ok(())
    })
}

fn a_module_parameter_that_is_too_long_is_refused(context: &Context) -> Result<()> {
    with_guest(context, |guest, _| {
        let parameter = format!("segments=A{}", ",".repeat(400));
        let module = context.kernel().module_with_dependencies("dcss");
        ensure_eq!(module?.len(), 1);
        let refused = errno(guest.run("insmod", &["/modules/dcss.ko", &parameter]))?;
        ensure_eq!(refused, "ENOSPC");
        ensure!(!guest.exists(CONFIG)?);
        guest.load(context.kernel(), "dcss", "segments=A")?;
        ensure_eq!(guest.attached()?, ["A"]);
        Ok(())
    })
}

fn the_module_stays_while_it_is_in_use(context: &Context) -> Result<()> {
    with_guest(context, |guest, space| {
        guest.load(context.kernel(), "dcss", "segments=A")?;
        guest.run("open", &["slot", "r", &node("A")])?;
        // So says the kernel's module loader for everything that is in use.
        ensure_eq!(errno(guest.run("rmmod", &["dcss"]))?, "EAGAIN");
        ensure_works(guest, space, "A")?;
        guest.run("close", &["slot"])?;
        guest.run("mkdir", &[&format!("{CONFIG}/B")])?;
        ensure_eq!(errno(guest.run("rmmod", &["dcss"]))?, "EAGAIN");
        guest.run("rmdir", &[&format!("{CONFIG}/B")])?;
        guest.run("rmmod", &["dcss"])?;
        ensure_eq!(guest.iomem("A")?, None);
        Ok(())
    })
}

fn the_module_can_be_loaded_20_times(context: &Context) -> Result<()> {
    with_guest(context, |guest, space| {
        let before = guest.memmap_pages()?;
        for _ in 0..20 {
            guest.load(context.kernel(), "dcss", "segments=A")?;
            guest.attach("B")?;
            guest.run("rmmod", &["dcss"])?;
        }
        ensure_eq!(guest.memmap_pages()?, before);
        guest.load(context.kernel(), "dcss", "segments=A")?;
        ensure_works(guest, space, "A")
    })
}
