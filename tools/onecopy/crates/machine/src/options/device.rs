// SPDX-License-Identifier: GPL-2.0

//! Front ends: the devices that the guest sees.

use std::ffi::OsString;

use super::push;
use super::Params;
use super::Switch;

/// `-device virtio-pmem-pci`: host memory that the guest maps, the carrier of a segment space.
#[derive(Debug, Clone)]
pub struct VirtioPmemPci {
    /// Device id, unique in the machine.
    pub id: String,
    /// Id of the memory back end.
    pub memdev: String,
}

impl Switch for VirtioPmemPci {
    fn add_to(&self, args: &mut Vec<OsString>) {
        let value = Params::new("virtio-pmem-pci")
            .with("memdev", &self.memdev)
            .with("id", &self.id);
        push(args, "-device", value);
    }
}

/// `-device virtio-blk-pci`: a disk.
#[derive(Debug, Clone)]
pub struct VirtioBlkPci {
    /// Device id, unique in the machine.
    pub id: String,
    /// Node name of the block device.
    pub drive: String,
}

impl Switch for VirtioBlkPci {
    fn add_to(&self, args: &mut Vec<OsString>) {
        let value = Params::new("virtio-blk-pci")
            .with("drive", &self.drive)
            .with("id", &self.id);
        push(args, "-device", value);
    }
}

/// `-device pcie-root-port`: where one device can be plugged while the guest runs.
#[derive(Debug, Clone)]
pub struct PcieRootPort {
    /// Device id, unique in the machine; it is the name of the bus too.
    pub id: String,
    /// Number of the slot, from 1, unique in the machine.
    pub chassis: u32,
}

impl Switch for PcieRootPort {
    fn add_to(&self, args: &mut Vec<OsString>) {
        let value = Params::new("pcie-root-port")
            .with("id", &self.id)
            .with_number("chassis", self.chassis.into());
        push(args, "-device", value);
    }
}

/// `-device isa-debug-exit`: a store of `n` to the port ends QEMU with status `2 * n + 1`.
#[derive(Debug, Clone, Copy)]
pub struct IsaDebugExit {
    /// First I/O port.
    pub iobase: u16,
    /// Number of I/O ports.
    pub iosize: u16,
}

impl Default for IsaDebugExit {
    /// The port that test guests commonly use.
    fn default() -> Self {
        Self {
            iobase: 0xf4,
            iosize: 4,
        }
    }
}

impl Switch for IsaDebugExit {
    fn add_to(&self, args: &mut Vec<OsString>) {
        let value = Params::new("isa-debug-exit")
            .with("iobase", format!("{:#x}", self.iobase))
            .with("iosize", format!("{:#x}", self.iosize));
        push(args, "-device", value);
    }
}

/// `-device` with any driver that has no type of its own here.
#[derive(Debug, Clone)]
pub struct Device(
    /// Driver and properties.
    pub Params,
);

impl Switch for Device {
    fn add_to(&self, args: &mut Vec<OsString>) {
        push(args, "-device", self.0.clone());
    }
}
