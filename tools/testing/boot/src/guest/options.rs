// SPDX-License-Identifier: GPL-2.0

//! What a guest consists of.

use std::path::Path;
use std::path::PathBuf;

use anyhow::Result;
use onecopy_format::segment_space::DAX_ALIGN_BYTES;
use onecopy_machine::accel;
use onecopy_machine::options;
use onecopy_machine::options::Accel;
use onecopy_machine::Config;
use onecopy_machine::Disk;
use onecopy_machine::Qemu;

use crate::kernel::Kernel;
use crate::program;
use crate::space::SpaceFile;

/// What every guest gets on its kernel command line.
///
/// A host that is busy with something else must not look like a kernel that hangs or a clock that
/// is wrong, so stalls are reported late and the clock is not compared with another one. Unit tests
/// have a run of their own.
pub(crate) const APPEND: &str = "console=ttyS0 onecopy_control=/dev/ttyS1 panic=-1 kunit.enable=0 \
                      rcupdate.rcu_cpu_stall_timeout=200 tsc=reliable";

/// A virtio-pmem device.
#[derive(Debug, Clone)]
pub struct Pmem {
    /// What is in it.
    pub space: SpaceFile,
    /// Whether the guest's stores reach the file.
    pub writable: bool,
}

/// A guest to start.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Added to the kernel's command line.
    pub append: String,
    /// Processors; 0 means 1.
    pub cpus: u32,
    /// Memory in bytes; 0 means 512 MiB, and twice as much for a kernel that checks itself.
    pub memory_bytes: u64,
    /// Watch for lost memory, if the kernel can; that doubles the time that it takes to boot.
    pub watch_leaks: bool,
    /// The devices, in the order of their PCI addresses.
    pub devices: Vec<Pmem>,
    /// Modules that the initramfs has, with what they need.
    pub modules: Vec<String>,
    /// Start without initramfs: the root file system is on a segment.
    pub no_initramfs: bool,
    /// Room for memory devices that are plugged later, in bytes.
    pub hotplug_bytes: u64,
    /// Disk images that the guest may write to.
    pub disks: Vec<PathBuf>,
    /// More `-device` arguments.
    pub qemu_devices: Vec<options::Params>,
}

impl Options {
    /// Adds a read-only segment space, as in production.
    #[must_use]
    pub fn space(self, space: &SpaceFile) -> Self {
        self.device(space, false)
    }

    /// Adds a segment space that the guest may write to.
    #[must_use]
    pub fn writable_space(self, space: &SpaceFile) -> Self {
        self.device(space, true)
    }

    fn device(mut self, space: &SpaceFile, writable: bool) -> Self {
        self.devices.push(Pmem {
            space: space.clone(),
            writable,
        });
        self
    }

    /// Adds to the kernel's command line.
    #[must_use]
    pub fn append(mut self, words: &str) -> Self {
        self.append = format!("{} {words}", self.append).trim().to_owned();
        self
    }

    /// Sets the number of processors, for what must not happen when things happen at once.
    #[must_use]
    pub fn cpus(self, cpus: u32) -> Self {
        Self { cpus, ..self }
    }

    /// Lets the kernel watch for lost memory, if it can.
    #[must_use]
    pub fn watch_leaks(self) -> Self {
        Self {
            watch_leaks: true,
            ..self
        }
    }

    /// Puts a module into the initramfs, with what it needs.
    #[must_use]
    pub fn module(mut self, name: &str) -> Self {
        self.modules.push(name.to_owned());
        self
    }
}

/// What guests run on, the same for all of them.
#[derive(Debug, Clone)]
pub struct Host {
    /// The emulator.
    pub qemu: Qemu,
    /// What executes guest code.
    pub accel: Accel,
    /// The first process of guests.
    pub program: PathBuf,
}

impl Host {
    /// Finds the emulator, decides on an accelerator and builds the guest's program.
    ///
    /// # Errors
    ///
    /// When one of them is not to be had.
    pub fn find(choice: accel::Choice) -> Result<Self> {
        let qemu = Qemu::find()?;
        let accel = accel::choose(choice, &qemu);
        Ok(Self {
            qemu,
            accel,
            program: program::build()?,
        })
    }
}

/// Returns the configuration of a guest's machine. The second serial line is a socket at `control`.
pub(super) fn config(
    host: &Host,
    kernel: &Kernel,
    options: &Options,
    initrd: Option<PathBuf>,
    control: &Path,
) -> Config {
    let mut config = Config::new(host.qemu.clone(), host.accel);
    config.name = kernel.label();
    config.cpus = options.cpus.max(1);
    config.memory_bytes = match options.memory_bytes {
        0 if kernel.is_debug() => 1 << 30,
        0 => 512 << 20,
        bytes => bytes,
    };
    let kmemleak = if options.watch_leaks {
        ""
    } else {
        "kmemleak=off"
    };
    config.kernel = Some(options::Kernel {
        kernel: kernel.image(),
        initrd,
        append: format!(
            "{APPEND} {} {kmemleak} {}",
            kernel.parameters(),
            options.append
        ),
    });
    let chardev = "control".to_owned();
    config.add(&options::Chardev {
        id: chardev.clone(),
        path: control.to_owned(),
        end: options::SocketEnd::Client,
    });
    config.add(&options::Serial { chardev });
    config.hotplug_bytes = options.hotplug_bytes;
    config.hotplug_slots = u32::from(options.hotplug_bytes > 0);
    for device in &options.devices {
        add_pmem(&mut config, device);
    }
    config.disks = options
        .disks
        .iter()
        .map(|path| Disk {
            path: path.clone(),
            read_only: false,
        })
        .collect();
    for device in &options.qemu_devices {
        config.add(&options::Device(device.clone()));
    }
    config
}

/// Adds a device as production does, unless the guest may write to it or its size is odd.
fn add_pmem(config: &mut Config, device: &Pmem) {
    let SpaceFile {
        path, size_bytes, ..
    } = &device.space;
    let memdev = format!("mem{}", config.hotplug_slots);
    config.hotplug_slots += 1;
    config.hotplug_bytes += size_bytes.next_multiple_of(DAX_ALIGN_BYTES);
    let mut backend = options::MemoryBackendFile::shared_read_only(&memdev, path, *size_bytes);
    if device.writable {
        backend.readonly = false;
        backend.rom = None;
    }
    if size_bytes % DAX_ALIGN_BYTES != 0 {
        backend.align_bytes = None;
    }
    config.add(&backend);
    config.add(&options::VirtioPmemPci {
        id: format!("pmem-{memdev}"),
        memdev,
    });
}
