// SPDX-License-Identifier: GPL-2.0

//! What a guest consists of.

mod arguments;
mod ram;

use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;

pub(crate) use self::arguments::add_kvm;
pub use self::ram::Backing;
pub use self::ram::RamRange;
use crate::interrupt::Interrupt;
use crate::options::Accel;
use crate::options::Access;
use crate::options::Cpu;
use crate::options::FwCfg;
use crate::options::Kernel;
use crate::options::Switch;
use crate::qemu::Qemu;

/// The console's log of a guest, which is often in memory, and the part before it: twice this.
const CONSOLE_LOG_LIMIT_BYTES: u64 = 1 << 20;

/// A segment space to give to the guest as a virtio-pmem device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentDevice {
    /// The file.
    pub path: PathBuf,
    /// Size of the file in bytes, a multiple of 2 MiB.
    pub size_bytes: u64,
    /// Who sees what the guest stores there.
    pub access: Access,
}

/// A disk to give to the guest as a virtio-blk device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The image; `.qcow2` files are qcow2, all others raw.
    pub path: PathBuf,
    /// The guest may not write.
    pub read_only: bool,
}

/// A guest to start.
///
/// Fill it by struct update from [`Config::new`].
#[derive(Debug, Clone)]
pub struct Config {
    /// The emulator.
    pub qemu: Qemu,
    /// What executes guest code; see [`crate::accel`].
    pub accel: Accel,
    /// Name of the guest on the host.
    pub name: String,
    /// The board: `q35`, or a version of it such as `pc-q35-10.0`.
    pub machine_type: String,
    /// Processor model; `None` takes the best that the accelerator offers.
    pub cpu: Option<Cpu>,
    /// Virtual processors.
    pub cpus: u32,
    /// How many there can be after some were plugged; `cpus` if it is less.
    pub max_cpus: u32,
    /// RAM at boot, in bytes.
    pub memory_bytes: u64,
    /// What RAM is made of, from its beginning; together `memory_bytes`. One anonymous block if
    /// there are none.
    pub ranges: Vec<RamRange>,
    /// Room for memory devices that are plugged later, in bytes; `hotplug_slots` of them.
    pub hotplug_bytes: u64,
    /// Number of memory devices that may be plugged later.
    pub hotplug_slots: u32,
    /// Number of devices that may be plugged later: of the PCIe root ports `port0`, `port1` ...
    pub root_ports: u32,
    /// What to boot; `None` leaves it to the firmware.
    pub kernel: Option<Kernel>,
    /// Segment spaces, in the order of the devices `pmem0`, `pmem1` ...
    pub segments: Vec<SegmentDevice>,
    /// Disks, in the order of the devices `disk0`, `disk1` ...
    pub disks: Vec<Disk>,
    /// Files that the guest can read by their names.
    pub fw_cfg: Vec<FwCfg>,
    /// More arguments, usually added by [`Config::add`].
    pub extra_args: Vec<OsString>,
    /// Do not let the processors run until QMP `cont`.
    pub paused: bool,
    /// Wait for a saved state instead of booting; see [`crate::Machine::load_state`].
    pub incoming: bool,
    /// Where QEMU listens with a second monitor, for other processes than ours.
    pub control_socket: Option<PathBuf>,
    /// Where to keep the console's output; `None` keeps it only as long as the guest.
    pub console_log: Option<PathBuf>,
    /// How long that may become before it gets the ending `.old` and a new one begins; `None` for ever.
    pub console_log_limit_bytes: Option<u64>,
    /// What ends waiting for the guest; never by default.
    pub interrupt: Interrupt,
}

/// The sockets on which we listen for QEMU.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sockets<'a> {
    pub(crate) console: &'a Path,
    pub(crate) qmp: &'a Path,
    pub(crate) inherited: Inherited,
}

/// The numbers of files that QEMU inherits.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Inherited {
    /// The socket on which it listens with the second monitor, and one that only carries its path.
    pub(crate) control: Option<[i32; 2]>,
    /// KVM.
    pub(crate) kvm: Option<i32>,
}

impl Config {
    /// A guest with one processor, 512 MiB and nothing to boot.
    pub fn new(qemu: Qemu, accel: Accel) -> Self {
        Self {
            qemu,
            accel,
            name: "onecopy".to_owned(),
            machine_type: "q35".to_owned(),
            cpu: None,
            cpus: 1,
            max_cpus: 0,
            memory_bytes: 512 << 20,
            ranges: Vec::new(),
            hotplug_bytes: 0,
            hotplug_slots: 0,
            root_ports: 0,
            kernel: None,
            segments: Vec::new(),
            disks: Vec::new(),
            fw_cfg: Vec::new(),
            extra_args: Vec::new(),
            paused: false,
            incoming: false,
            control_socket: None,
            console_log: None,
            console_log_limit_bytes: Some(CONSOLE_LOG_LIMIT_BYTES),
            interrupt: Interrupt::default(),
        }
    }

    /// Adds a switch that has no field of its own.
    pub fn add(&mut self, switch: &impl Switch) {
        switch.add_to(&mut self.extra_args);
    }
}
