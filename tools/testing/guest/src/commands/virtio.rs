// SPDX-License-Identifier: GPL-2.0

//! Harm to virtio devices: `bus-master`, `break-device`.

use std::fs::File;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::Arguments;
use super::Command;
use super::Lines;
use super::Result;
use super::Session;
use crate::Failure;

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "bus-master",
        arguments: "CONFIG on|off",
        run: bus_master,
    },
    Command {
        name: "break-device",
        arguments: "CONFIG",
        run: break_device,
    },
];

/// Where the configuration space of PCI has the command register, and its bit for bus mastering.
const PCI_COMMAND: u64 = 4;
const PCI_COMMAND_MASTER: u8 = 1 << 2;

/// Where the list of capabilities begins, and the id of vendor-specific ones, as virtio's are.
const PCI_CAPABILITY_LIST: u64 = 0x34;
const PCI_CAP_ID_VNDR: u8 = 9;

/// Virtio specification, "Virtio Structure PCI Capabilities": the type of the capability through
/// which the structures can be accessed, and of the one that says where the common one is.
const VIRTIO_PCI_CAP_COMMON_CFG: u8 = 1;
const VIRTIO_PCI_CAP_PCI_CFG: u8 = 5;

/// Where a capability has the BAR, the offset in it, the length, and a window to that. Its first four
/// bytes are its id, where the next one is, its length, and its type.
const CAP_BAR: u64 = 4;
const CAP_OFFSET: u64 = 8;
const CAP_LENGTH: u64 = 12;
const CAP_WINDOW: u64 = 16;

/// Where the common structure has `queue_enable`. A driver must not write zero to it.
const QUEUE_ENABLE: u32 = 0x1c;

/// Lets a device access memory, or not: without, it answers no request.
fn bus_master(_session: &mut Session, arguments: &mut Arguments, _lines: &mut Lines<'_>) -> Result {
    let config = open(&arguments.path()?)?;
    let [command] = read(&config, PCI_COMMAND)?;
    let command = match arguments.word()?.as_str() {
        "on" => command | PCI_COMMAND_MASTER,
        "off" => command & !PCI_COMMAND_MASTER,
        other => return Err(Failure::other(format!("neither on nor off: {other}"))),
    };
    config.write_all_at(&[command], PCI_COMMAND)?;
    Ok(String::new())
}

/// Does to a device what a driver must not: it has to be reset afterwards.
fn break_device(
    _session: &mut Session,
    arguments: &mut Arguments,
    _lines: &mut Lines<'_>,
) -> Result {
    let config = open(&arguments.path()?)?;
    let common = capability(&config, VIRTIO_PCI_CAP_COMMON_CFG)?;
    let access = capability(&config, VIRTIO_PCI_CAP_PCI_CFG)?;
    let [bar] = read(&config, common + CAP_BAR)?;
    let offset = u32::from_le_bytes(read(&config, common + CAP_OFFSET)?) + QUEUE_ENABLE;
    let value = 0_u16;
    config.write_all_at(&[bar], access + CAP_BAR)?;
    config.write_all_at(&offset.to_le_bytes(), access + CAP_OFFSET)?;
    config.write_all_at(&2_u32.to_le_bytes(), access + CAP_LENGTH)?;
    config.write_all_at(&value.to_le_bytes(), access + CAP_WINDOW)?;
    Ok(String::new())
}

fn open(path: &Path) -> Result<File> {
    Ok(OpenOptions::new().read(true).write(true).open(path)?)
}

fn read<const N: usize>(config: &File, offset: u64) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    config.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

/// Returns where the virtio capability of a type is.
fn capability(config: &File, wanted: u8) -> Result<u64> {
    let [mut position] = read(config, PCI_CAPABILITY_LIST)?;
    while position != 0 {
        let here = u64::from(position);
        let [id, next, _, kind] = read(config, here)?;
        if id == PCI_CAP_ID_VNDR && kind == wanted {
            return Ok(here);
        }
        position = next;
    }
    Err(Failure::other(format!("no virtio capability {wanted}")))
}
