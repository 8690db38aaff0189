// SPDX-License-Identifier: GPL-2.0

//! What is asked for.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use onecopy_format::segment_space::Name;
use onecopy_machine::options::Accel;
use onecopy_machine::Confinement;
use onecopy_machine::Disk;
use onecopy_machine::Interrupt;
use onecopy_machine::SegmentDevice;
use onecopy_store::Group;
use onecopy_store::Space;

use crate::guests::GuestName;
use crate::nic::NicOptions;
use crate::resources::ResourceOptions;

/// How long a guest may take to its identity unless something else is said.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// What to start.
#[derive(Debug, Clone)]
pub struct IplOptions {
    /// Name of the saved system.
    pub name: Name,
    /// Name of the guest; a free one if it is missing.
    pub guest: Option<GuestName>,
    /// The partition that the guest is to run in, where no other guest runs.
    pub partition: Option<GuestName>,
    /// The trust group that the system must be of, which is that of the segment spaces.
    pub group: Option<Group>,
    /// The emulator; `None` searches it on `PATH`.
    pub qemu: Option<PathBuf>,
    /// What the emulator may do on the host.
    pub confinement: Confinement,
    /// What executes the guest; it must be what executed the template. `None` takes that.
    pub accel: Option<Accel>,
    /// Memory in bytes; `None` takes that of the template. More is plugged.
    pub memory_bytes: Option<u64>,
    /// Processors, at least 1. More than one are plugged.
    pub cpus: u32,
    /// Segment spaces, which are plugged.
    pub segments: Vec<SegmentDevice>,
    /// The spaces in the store that these are, in the same order and held for the guest; nothing if they
    /// are in none.
    pub spaces: Vec<Arc<Space>>,
    /// Network cards, which are plugged behind those.
    pub nics: Vec<NicOptions>,
    /// Whether a balloon is plugged, behind those.
    pub balloon: bool,
    /// Whether a channel for messages is plugged, behind those.
    pub smsg: bool,
    /// Disks, which are plugged behind those.
    pub disks: Vec<Disk>,
    /// The guest's identity.
    pub resources: ResourceOptions,
    /// How long the guest may take to say that it has its identity.
    pub timeout: Duration,
    /// What ends the start, before the guest is ready.
    pub interrupt: Interrupt,
    /// More arguments for QEMU: those of the template, see [`crate::SaveOptions`].
    pub extra_args: Vec<OsString>,
}

impl IplOptions {
    /// Asks for a guest with nothing but the saved machine, which has a minute to start.
    pub fn new(name: Name) -> Self {
        Self {
            name,
            guest: None,
            partition: None,
            group: None,
            qemu: None,
            confinement: Confinement::default(),
            accel: None,
            memory_bytes: None,
            cpus: 1,
            segments: Vec::new(),
            spaces: Vec::new(),
            nics: Vec::new(),
            balloon: false,
            smsg: false,
            disks: Vec::new(),
            resources: ResourceOptions::default(),
            timeout: READY_TIMEOUT,
            interrupt: Interrupt::default(),
            extra_args: Vec::new(),
        }
    }
}
