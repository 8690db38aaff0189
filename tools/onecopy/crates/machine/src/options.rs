// SPDX-License-Identifier: GPL-2.0

//! QEMU's command line, one type per switch.
//!
//! Each type carries the name of the switch, or of the device or object that the switch creates,
//! and its fields carry QEMU's names with our units. Front end (device) and back end (object,
//! block device, character device) are separate. Only [`Switch::add_to`] knows how a value is
//! spelled, so commas are quoted in one place: [`Params`].

mod backend;
mod chardev;
mod device;
mod handover;
mod machine;
mod params;
mod sandbox;

use std::ffi::OsString;

pub use self::backend::Access;
pub use self::backend::BlockFormat;
pub use self::backend::Blockdev;
pub use self::backend::MemoryBackendFile;
pub use self::backend::MemoryBackendRam;
pub use self::chardev::Chardev;
pub use self::chardev::Mon;
pub use self::chardev::Serial;
pub use self::chardev::SocketEnd;
pub use self::device::Device;
pub use self::device::IsaDebugExit;
pub use self::device::PcieRootPort;
pub use self::device::VirtioBlkPci;
pub use self::device::VirtioPmemPci;
pub use self::handover::AddFd;
pub use self::handover::FwCfg;
pub use self::handover::IncomingDefer;
pub use self::machine::Accel;
pub use self::machine::Cpu;
pub use self::machine::Kernel;
pub use self::machine::MachineType;
pub use self::machine::Memory;
pub use self::machine::Name;
pub use self::machine::NumaNode;
pub use self::machine::Smp;
pub use self::params::Params;
pub use self::sandbox::Sandbox;
pub use self::sandbox::UnknownSandbox;

/// Something that adds arguments to QEMU's command line.
pub trait Switch {
    /// Appends the switch and its value.
    fn add_to(&self, args: &mut Vec<OsString>);
}

/// Appends a switch with one value.
fn push(args: &mut Vec<OsString>, switch: &str, value: impl Into<OsString>) {
    args.push(switch.into());
    args.push(value.into());
}
