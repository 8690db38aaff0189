// SPDX-License-Identifier: GPL-2.0

//! Segment spaces that appear while the guest runs.

use anyhow::ensure;
use anyhow::Context as _;
use anyhow::Result;
use onecopy_boot::space::Layout;
use onecopy_boot::space::SpaceFile;
use onecopy_boot::space::MIB;
use onecopy_boot::Guest;
use onecopy_boot::Options;
use onecopy_format::segment_space::SegmentType;
use onecopy_machine::options::Params;
use onecopy_machine::qmp::commands;
use serde_json::json;

use super::attach::ensure_works;
use super::cases;
use super::ensure_eq;
use crate::context::Context;

cases! {
    BuiltIn: a_segment_space_can_be_plugged_while_the_guest_runs;
}

fn a_segment_space_can_be_plugged_while_the_guest_runs(context: &Context) -> Result<()> {
    let directory = context.directory()?;
    let early = Layout::new("EARLY")
        .member("A", SegmentType::Sr, 2 * MIB)
        .write(directory.path())?;
    let late = Layout::new("LATE")
        .member("B", SegmentType::Sr, 2 * MIB)
        .member("C", SegmentType::Sr, 2 * MIB)
        .write(directory.path())?;
    let port = Params::new("pcie-root-port")
        .with("id", "port0")
        .with("chassis", "1");
    let options = Options {
        hotplug_bytes: late.size_bytes,
        qemu_devices: vec![port],
        ..Options::default()
    };
    context.guest(
        &options
            .watch_leaks()
            .space(&early)
            .append("dcss.segments=A,B"),
        |guest| {
            ensure_eq!(guest.attached()?, ["A"]);
            ensure!(!guest
                .dmesg("segment B: not found, will be attached when it appears")?
                .is_empty());
            guest.detach("A")?;
            plug(guest, &late)?;
            // The device node appears a little before it can be opened.
            guest.wait_until("the segment is attached", |guest| {
                Ok(guest.attached()?.contains(&"B".to_owned()))
            })?;
            ensure_works(guest, &late, "B")?;
            // What the user has detached does not come back with another space.
            ensure_eq!(guest.attached()?, ["B"]);
            guest.attach("A")?;
            ensure_eq!(guest.available()?, ["C"]);
            guest.attach("C")?;
            ensure_works(guest, &late, "C")?;
            ensure_works(guest, &early, "A")
        },
    )
}

/// Plugs a segment space into the first root port of a guest that runs.
pub(super) fn plug(guest: &mut Guest, space: &SpaceFile) -> Result<()> {
    let properties = json!({
        "mem-path": space.path,
        "size": space.size_bytes,
        "share": true,
        "readonly": true,
        "rom": "on",
        "align": 2 * MIB,
    });
    guest.machine().execute(&commands::ObjectAdd {
        qom_type: "memory-backend-file".to_owned(),
        id: "late".to_owned(),
        properties: properties.as_object().context("no object")?.clone(),
    })?;
    guest.machine().execute(&commands::DeviceAdd {
        driver: "virtio-pmem-pci".to_owned(),
        id: "pmem-late".to_owned(),
        bus: Some("port0".to_owned()),
        properties: json!({ "memdev": "late" })
            .as_object()
            .context("no object")?
            .clone(),
    })?;
    Ok(())
}
