// SPDX-License-Identifier: GPL-2.0

//! How QEMU is told of each kind of device.

use onecopy_machine::options::Access;
use onecopy_machine::options::BlockFormat;
use onecopy_machine::options::Blockdev;
use onecopy_machine::options::MemoryBackendFile;
use onecopy_machine::qmp::commands;
use onecopy_machine::Disk;
use onecopy_machine::Machine;
use onecopy_machine::SegmentDevice;
use serde_json::json;
use serde_json::Map;
use serde_json::Value;

use crate::control::ROOT_PORT;
use crate::error::Error;

/// What the ids of segment spaces begin with, before the number of the port: of the back end, which has the
/// file, and of the device.
pub(crate) const SEGMENT_BACKEND: &str = "seg";
pub(crate) const SEGMENT_DEVICE: &str = "pmem";

/// The id of the balloon.
pub(crate) const BALLOON: &str = "balloon0";

pub(super) fn plug_memory(machine: &mut Machine, size_bytes: u64) -> Result<(), Error> {
    machine.execute(&commands::ObjectAdd {
        qom_type: "memory-backend-ram".to_owned(),
        id: "more".to_owned(),
        properties: object(json!({ "size": size_bytes })),
    })?;
    machine.execute(&commands::DeviceAdd {
        driver: "pc-dimm".to_owned(),
        id: "dimm0".to_owned(),
        bus: None,
        properties: object(json!({ "memdev": "more" })),
    })?;
    Ok(())
}

pub(super) fn plug_cpus(machine: &mut Machine, count: u32) -> Result<(), Error> {
    if count == 0 {
        return Ok(());
    }
    let places = machine.execute(&commands::QueryHotpluggableCpus {})?;
    // QEMU lists the last place first.
    let free = places
        .into_iter()
        .rev()
        .filter(|place| place.qom_path.is_none());
    for (number, place) in (1..=count).zip(free) {
        machine.execute(&commands::DeviceAdd {
            driver: place.driver,
            id: format!("cpu{number}"),
            bus: None,
            properties: place.props,
        })?;
    }
    Ok(())
}

pub(super) fn plug_segment(
    machine: &mut Machine,
    index: usize,
    segment: &SegmentDevice,
) -> Result<(), Error> {
    let (backend, device) = segment_at(index, segment, segment.access);
    machine.execute(&backend)?;
    machine.execute(&device)?;
    Ok(())
}

/// Returns the back end and the device by which a guest has a segment space at a root port, in the order in
/// which QEMU takes them.
pub(crate) fn segment_at(
    port: usize,
    segment: &SegmentDevice,
    access: Access,
) -> (commands::ObjectAdd, commands::DeviceAdd) {
    let memdev = format!("{SEGMENT_BACKEND}{port}");
    let (path, size_bytes) = (&segment.path, segment.size_bytes);
    let backend = MemoryBackendFile::segment(&memdev, path, size_bytes, access);
    let device = commands::DeviceAdd {
        driver: "virtio-pmem-pci".to_owned(),
        id: format!("{SEGMENT_DEVICE}{port}"),
        bus: Some(format!("{ROOT_PORT}{port}")),
        properties: object(json!({ "memdev": memdev })),
    };
    (backend.object_add(), device)
}

/// Memory goes to the host through the queue of free page reporting, in large pieces.
pub(super) fn plug_balloon(machine: &mut Machine, port: usize) -> Result<(), Error> {
    machine.execute(&commands::DeviceAdd {
        driver: "virtio-balloon-pci".to_owned(),
        id: BALLOON.to_owned(),
        bus: Some(format!("port{port}")),
        properties: object(json!({ "free-page-reporting": true })),
    })?;
    Ok(())
}

pub(super) fn plug_disk(machine: &mut Machine, port: usize, disk: &Disk) -> Result<(), Error> {
    let image = Blockdev {
        node_name: format!("drive{port}"),
        filename: disk.path.clone(),
        format: BlockFormat::from_path(&disk.path),
        read_only: disk.read_only,
    };
    machine.execute(&image.blockdev_add())?;
    machine.execute(&commands::DeviceAdd {
        driver: "virtio-blk-pci".to_owned(),
        id: format!("disk{port}"),
        bus: Some(format!("port{port}")),
        properties: object(json!({ "drive": image.node_name })),
    })?;
    Ok(())
}

pub(crate) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
