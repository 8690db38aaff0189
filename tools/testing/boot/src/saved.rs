// SPDX-License-Identifier: GPL-2.0

//! Guests from a saved system, which take commands over their consoles.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::anyhow;
use anyhow::Context;
use anyhow::Result;
use onecopy_format::segment_space::Name;
use onecopy_format::segment_space::SegmentType;
use onecopy_machine::qmp::commands;
use onecopy_machine::Confinement;
use onecopy_machine::Interrupt;
use onecopy_machine::Tee;
use onecopy_system::ranges;
use onecopy_system::Generation;
use onecopy_system::Guests;
use onecopy_system::IplOptions;
use onecopy_system::NicOptions;
use onecopy_system::RangeUsage;
use onecopy_system::ResourceOptions;
use onecopy_system::Running;
use onecopy_system::RunningOptions;
use onecopy_system::SaveOptions;
use onecopy_system::Systems;
use serde_json::json;

use crate::balloon;
use crate::control::Control;
use crate::control::Error;
use crate::guest::archive;
use crate::guest::Owner;
use crate::guest::APPEND;
use crate::Guest;
use crate::Host;
use crate::Kernel;

/// The saved system.
pub const SYSTEM: &str = "SAVED";

/// Where a balloon is plugged: the last root port, since segments and network cards begin at the first.
const BALLOON_PORT: &str = "port7";

/// How much memory its guests have, unless their kernel checks itself.
pub const MEMORY_BYTES: u64 = 512 << 20;

/// How long a template may take to its save point, a guest to its identity and to its first answer.
const TIMEOUT: Duration = Duration::from_secs(300);

/// How long to wait for an answer before asking again: what is said to a guest before its first
/// process listens is lost.
const FIRST_ANSWER: Duration = Duration::from_millis(500);

/// A saved system in a store of its own.
#[derive(Debug)]
pub struct SavedSystem {
    systems: Systems,
    guests: Guests,
    name: Name,
    run: PathBuf,
    initrd: PathBuf,
    factor: u32,
}

impl SavedSystem {
    /// Boots a template with our program and modules, and saves it below `directory`; `protect`
    /// keeps its guests from changing their text.
    ///
    /// # Errors
    ///
    /// When it cannot be saved.
    pub fn save(
        directory: &Path,
        host: &Host,
        kernel: &Kernel,
        modules: &[String],
        protect: bool,
    ) -> Result<Self> {
        let run = directory.join("run");
        Self::make([directory, &run], host, kernel, modules, protect)
    }

    /// Like [`Self::save`] without protection, with the running guests in another directory: the
    /// second one.
    ///
    /// # Errors
    ///
    /// When it cannot be saved.
    pub fn save_with_run(
        directories: [&Path; 2],
        host: &Host,
        kernel: &Kernel,
        modules: &[String],
    ) -> Result<Self> {
        Self::make(directories, host, kernel, modules, false)
    }

    /// Uses what [`Self::save`] has left in a directory, or in a copy of it. Its guests may take
    /// `factor` times as long for everything.
    ///
    /// # Errors
    ///
    /// When there is no saved system.
    pub fn open(directory: &Path, factor: u32) -> Result<Self> {
        let run = directory.join("run");
        let saved = Self {
            systems: Systems::open(directory.join("store")),
            guests: Guests::open(&run),
            name: Name::new(SYSTEM.as_bytes())?,
            run,
            initrd: directory.join("initramfs"),
            factor,
        };
        saved.generation()?;
        Ok(saved)
    }

    fn make(
        [directory, run]: [&Path; 2],
        host: &Host,
        kernel: &Kernel,
        modules: &[String],
        protect: bool,
    ) -> Result<Self> {
        let initrd = directory.join("initramfs");
        fs::write(&initrd, archive(host, kernel, modules)?)?;
        let saved = Self {
            systems: Systems::open(directory.join("store")),
            guests: Guests::open(run),
            name: Name::new(SYSTEM.as_bytes())?,
            run: run.to_owned(),
            initrd,
            factor: kernel.factor(),
        };
        saved.boot_template(host, kernel, protect)?;
        Ok(saved)
    }

    fn boot_template(&self, host: &Host, kernel: &Kernel, protect: bool) -> Result<()> {
        // One that checks itself needs more for that.
        let (memory_bytes, kernel_bytes) = if kernel.is_debug() {
            (2 * MEMORY_BYTES, Some(MEMORY_BYTES))
        } else {
            (MEMORY_BYTES, None)
        };
        let options = SaveOptions {
            name: self.name,
            qemu: host.qemu.clone(),
            accel: host.accel,
            cpu: None,
            kernel: kernel.image(),
            initrd: Some(self.initrd.clone()),
            memory_bytes,
            kernel_bytes,
            definition: None,
            group: None,
            append: Some(append(kernel)),
            extra_args: Vec::new(),
            protect,
            timeout: TIMEOUT,
            interrupt: Interrupt::default(),
        };
        onecopy_system::save(&options, &self.systems)?;
        Ok(())
    }

    /// Saves a guest that asks for it under another name, and ends it.
    ///
    /// # Errors
    ///
    /// When it cannot be saved, or does not ask.
    pub fn save_running(&self, guest: &str, name: &str) -> Result<Self> {
        let options = RunningOptions {
            name: Name::new(name.as_bytes())?,
            qemu: None,
            confinement: Confinement::default(),
            timeout: TIMEOUT,
            interrupt: Interrupt::default(),
        };
        onecopy_system::save_running(&options, &self.running(guest)?, &self.systems)?;
        Ok(Self {
            systems: self.systems.clone(),
            guests: self.guests.clone(),
            name: options.name,
            run: self.run.clone(),
            initrd: self.initrd.clone(),
            factor: self.factor,
        })
    }

    /// As [`Self::save_running`], and lets the guest ask.
    ///
    /// # Errors
    ///
    /// When it cannot be saved.
    pub fn save_again(&self, guest: &mut Guest, as_guest: &str, name: &str) -> Result<Self> {
        thread::scope(|scope| {
            let saved = scope.spawn(|| self.save_running(as_guest, name));
            // The answer comes from the guests that go on from here, unless there are none.
            let ask: [&[u8]; 2] = [b"/sys/kernel/shared_kernel/save", b"1"];
            let answer = guest.control().run("write", &ask, FIRST_ANSWER);
            let saved = saved.join().map_err(|_| anyhow!("the thread has failed"))?;
            saved.with_context(|| format!("the guest says {answer:?}"))
        })
    }

    /// Returns the generation that guests get.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn generation(&self) -> Result<Generation> {
        Ok(self.systems.acquire(self.name)?)
    }

    /// Returns what is known of a running guest.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn running(&self, guest: &str) -> Result<Running> {
        Ok(Running::find(&self.guests, &guest.parse()?)?)
    }

    /// Returns the directories of the store and of the running guests, for the command.
    pub fn roots(&self) -> [&Path; 2] {
        [self.systems.root(), &self.run]
    }

    /// Identifies the file of the shared range, on its file system.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn shared_file(&self) -> Result<(u64, u64)> {
        let generation = self.generation()?;
        let ranges = generation.manifest().ranges.iter();
        let mut shared = ranges.filter(|range| range.kind == SegmentType::Sr);
        let name = shared.next().and_then(|range| range.file_name());
        let path = generation.path().join(name.context("no shared range")?);
        let metadata = path.metadata()?;
        Ok((metadata.dev(), metadata.ino()))
    }

    /// Returns the initial RAM file system of the template.
    pub fn initrd(&self) -> &Path {
        &self.initrd
    }

    /// Plugs a balloon into a guest and loads its driver, which is a module.
    ///
    /// # Errors
    ///
    /// When the driver does not get the device.
    pub fn plug_balloon(&self, guest: &mut Guest, kernel: &Kernel) -> Result<()> {
        let properties = json!({ "free-page-reporting": true });
        guest.machine().execute(&commands::DeviceAdd {
            driver: "virtio-balloon-pci".to_owned(),
            id: balloon::ID.to_owned(),
            bus: Some(BALLOON_PORT.to_owned()),
            properties: properties.as_object().context("no object")?.clone(),
        })?;
        self.load_balloon(guest, kernel)
    }

    /// Loads the driver of a guest's balloon, which is a module.
    ///
    /// # Errors
    ///
    /// When the driver does not get the device.
    pub fn load_balloon(&self, guest: &mut Guest, kernel: &Kernel) -> Result<()> {
        // Who loads a module by hand has to look up its parameters in the command line.
        let generation = self.generation()?;
        let keep = format!("keep={}", ranges::keep(&generation.manifest().ranges));
        guest.load_cmm(kernel, &keep)?;
        guest.wait_until("the driver has the device", |guest| {
            Ok(guest.exists("/proc/sys/vm/cmm_pages")?)
        })
    }

    /// Returns how many bytes of the shared range a guest has for itself, and how many it shares.
    ///
    /// # Errors
    ///
    /// When the guest does not run, or the host does not say.
    pub fn shared_range(&self, guest: &str) -> Result<RangeUsage> {
        let generation = self.generation()?;
        let usage = self
            .running(guest)?
            .usage_of(&generation.manifest().ranges)?;
        let shared = usage
            .into_iter()
            .find(|usage| usage.range.kind == SegmentType::Sr);
        shared.context("there is no shared range")
    }

    /// Returns what to start a guest of that name by: with nothing but the saved machine.
    ///
    /// # Errors
    ///
    /// When the name is none.
    pub fn options(&self, guest: &str) -> Result<IplOptions> {
        Ok(IplOptions {
            guest: Some(guest.parse()?),
            timeout: TIMEOUT * self.factor,
            ..IplOptions::new(self.name)
        })
    }

    /// Starts a guest, and waits until its kernel has its identity. What its console says goes to
    /// `tee` as well.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn start(&self, options: &IplOptions, tee: Option<Tee>) -> Result<onecopy_system::Guest> {
        Ok(onecopy_system::ipl(
            options,
            &self.systems,
            &self.guests,
            tee,
        )?)
    }

    /// Starts a guest of that name, and waits until it takes commands.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn ipl(&self, guest: &str, resources: ResourceOptions) -> Result<Guest> {
        self.ipl_with_nics(guest, resources, Vec::new())
    }

    /// Starts a guest that has network cards too, and waits until it takes commands.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn ipl_with_nics(
        &self,
        guest: &str,
        resources: ResourceOptions,
        nics: Vec<NicOptions>,
    ) -> Result<Guest> {
        self.ipl_with(&IplOptions {
            nics,
            resources,
            ..self.options(guest)?
        })
    }

    /// Starts a guest, and waits until it takes commands.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn ipl_with(&self, options: &IplOptions) -> Result<Guest> {
        let started = self.start(options, None)?;
        let name = started.record().guest.to_string();
        let control = Control::new(self.running(&name)?.console()?);
        let mut guest = Guest::of(Owner::System(Box::new(started)), control, self.factor);
        wait_for_answer(&mut guest, self.factor)?;
        Ok(guest)
    }
}

/// Returns the command line of guests whose only line is the console.
pub fn append(kernel: &Kernel) -> String {
    let append = APPEND.replace("/dev/ttyS1", "/dev/ttyS0");
    format!("{append} {}", kernel.parameters())
}

/// Waits until the first process listens. From then on the kernel is silent: its messages share the
/// line with the answers.
fn wait_for_answer(guest: &mut Guest, factor: u32) -> Result<()> {
    let start = Instant::now();
    loop {
        let quiet: [&[u8]; 2] = [b"/proc/sys/kernel/printk", b"1"];
        match guest.control().run("write", &quiet, FIRST_ANSWER * factor) {
            Ok(_) => return Ok(()),
            Err(Error::Timeout { .. })
                if start.elapsed() < TIMEOUT * factor && guest.machine().try_wait()?.is_none() => {}
            Err(error) => return Err(guest.not_up(error).into()),
        }
    }
}
