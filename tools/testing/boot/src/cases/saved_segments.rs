// SPDX-License-Identifier: GPL-2.0

//! Segments of guests that are started from a saved system: the template had none.

use anyhow::anyhow;
use anyhow::Result;
use onecopy_boot::space::SpaceFile;
use onecopy_boot::Guest;
use onecopy_machine::options::Access;
use onecopy_machine::SegmentDevice;
use onecopy_system::IplOptions;

use super::cases;
use super::ensure_eq;
use super::erofs;
use super::hotplug::plug;
use crate::context::Context;
use crate::context::PROGRAMS;

cases! {
    BuiltIn:
        programs_on_a_segment_that_ipl_plugs_execute_in_place,
        programs_on_a_segment_that_is_plugged_later_execute_in_place;
}

/// Attaches the segment as soon as the guest has found its device, executes a program from it, and
/// detaches it; nothing of that makes text of the kernel a page of the guest's own.
fn execute(context: &Context, guest: &mut Guest, name: &str) -> Result<()> {
    guest.wait_until("the segment is there", |guest| {
        Ok(guest.available()?.contains(&PROGRAMS.to_owned()))
    })?;
    guest.attach(PROGRAMS)?;
    erofs::mount(guest, "always")?;
    erofs::execute_in_place(guest)?;
    guest.run("umount", &["/mnt"])?;
    guest.detach(PROGRAMS)?;
    // Text changes where the kernel has jump labels.
    if !context.kernel().has("JUMP_LABEL") {
        ensure_eq!(context.saved()?.shared_range(name)?.unshared_bytes(), 0);
    }
    guest.check(false)
}

/// Starts a guest with segment spaces, lets `body` use it, and ends it.
fn with_segments(
    context: &Context,
    name: &str,
    spaces: &[&SpaceFile],
    body: impl FnOnce(&mut Guest) -> Result<()>,
) -> Result<()> {
    let saved = context.saved()?;
    let segment = |space: &&SpaceFile| SegmentDevice {
        path: space.path.clone(),
        size_bytes: space.size_bytes,
        access: Access::ReadOnly,
    };
    let mut guest = saved.ipl_with(&IplOptions {
        segments: spaces.iter().map(segment).collect(),
        ..saved.options(name)?
    })?;
    body(&mut guest).map_err(|error| anyhow!("{error:#}\n{}", guest.last_words()))
}

fn programs_on_a_segment_that_ipl_plugs_execute_in_place(context: &Context) -> Result<()> {
    const NAME: &str = "segment";
    let space = context.programs()?;
    with_segments(context, NAME, &[&space], |guest| {
        execute(context, guest, NAME)
    })
}

fn programs_on_a_segment_that_is_plugged_later_execute_in_place(context: &Context) -> Result<()> {
    const NAME: &str = "later";
    let space = context.programs()?;
    with_segments(context, NAME, &[], |guest| {
        ensure_eq!(guest.available()?, [""; 0]);
        plug(guest, &space)?;
        execute(context, guest, NAME)
    })
}
