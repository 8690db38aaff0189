// SPDX-License-Identifier: GPL-2.0

//! From a kernel to a generation of a saved system.

mod note;
mod running;
mod template;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use onecopy_directory::Directory;
use onecopy_format::segment_space::Name;
use onecopy_machine::options::Accel;
use onecopy_machine::options::Cpu;
use onecopy_machine::options::Kernel as Boot;
use onecopy_machine::Interrupt;
use onecopy_machine::Qemu;
use onecopy_store::Group;
use onecopy_store::Scratch;

pub use self::running::save_running;
pub use self::running::RunningOptions;
use self::template::Template;
use crate::content;
use crate::definition::Definition;
use crate::error::Error;
use crate::hardware;
use crate::kernel::Kernel;
use crate::kernel::KernelError;
use crate::manifest;
use crate::manifest::Machine;
use crate::manifest::Manifest;
use crate::manifest::SavedFile;
use crate::manifest::SavedKernel;
use crate::ranges;
use crate::ranges::Range;
use crate::stamp::Stamp;
use crate::systems::Generation;
use crate::systems::Systems;
use crate::systems::STATE;
use crate::Result;

/// What every kernel is told: where its console is, and to end after a panic.
const PARAMETERS: &str = "console=ttyS0 panic=-1";

/// What to save.
#[derive(Debug, Clone)]
pub struct SaveOptions {
    /// Name of the saved system.
    pub name: Name,
    /// The emulator.
    pub qemu: Qemu,
    /// What executes the template, and every guest.
    pub accel: Accel,
    /// Processor model; `None` takes the best that the accelerator offers.
    pub cpu: Option<String>,
    /// The kernel: a vmlinux or a bzImage with `CONFIG_SHARED_KERNEL`.
    pub kernel: PathBuf,
    /// Initial RAM file system.
    pub initrd: Option<PathBuf>,
    /// Memory of every guest in bytes, a multiple of 2 MiB.
    pub memory_bytes: u64,
    /// The kernel's part of it; see [`ranges::divide`].
    pub kernel_bytes: Option<u64>,
    /// The skeleton that is saved, see [`crate::Plan`]. It says how memory is divided and who may
    /// start, and is used up; `None` leaves one that there is.
    pub definition: Option<Definition>,
    /// Its trust group; [`None`] takes that of the skeleton, or else that of the current generation.
    pub group: Option<Group>,
    /// More of the kernel command line; it must not keep the kernel from talking.
    pub append: Option<String>,
    /// Keep guests from writing to the shared range; the kernel must be one that can live with it.
    pub protect: bool,
    /// How long the template may take to its save point.
    pub timeout: Duration,
    /// What ends the save before the generation is published.
    pub interrupt: Interrupt,
    /// More arguments for QEMU. Devices that they add are part of the state, so every guest needs
    /// the same ones.
    pub extra_args: Vec<OsString>,
}

/// Boots a template, stops it at its save point and publishes a new generation, which new guests
/// get from then on.
///
/// # Errors
///
/// When the kernel cannot be saved, the template does not reach its save point, the store is full, or
/// the interrupt comes. The store is then as it was.
pub fn save(options: &SaveOptions, systems: &Systems) -> Result<Generation> {
    let kernel = Kernel::read(&options.kernel)?;
    if options.protect && !kernel.layout.can_protect {
        let path = options.kernel.clone();
        return Err(KernelError::Unprotectable { path }.into());
    }
    let ranges = match &options.definition {
        Some(definition) => definition.ranges_for(&kernel.layout)?,
        None => ranges::divide(&kernel.layout, options.memory_bytes, options.kernel_bytes)?,
    };
    let shelf = systems.shelf(options.name);
    let directory = shelf.create()?;
    // Makes room: drafts of killed processes, and generations that nobody uses any more.
    systems.remove_unused(options.name)?;

    let draft = Scratch::create(&directory)?;
    let command_line = command_line(options, &ranges);
    let machine = run(options, &kernel, &ranges, &command_line, &draft)?;
    let files = seal(
        &ranges,
        draft.directory(),
        content::PUBLIC,
        &options.interrupt,
    )?;
    let definition = options.definition.as_ref();
    let restricted = definition.is_some_and(|definition| definition.restricted);
    let group = group(options, systems)?;
    let manifest = Manifest {
        format: manifest::format_of(restricted, options.protect, &group),
        group,
        name: options.name,
        generation: 0,
        saved_unix_seconds: now(),
        restricted,
        allow: definition.map_or(Vec::new(), |definition| definition.allow.clone()),
        machine,
        protect: options.protect,
        kernel: SavedKernel {
            build_id: kernel.build_id,
            command_line,
            image_end: kernel.layout.image_end,
            gate: kernel.layout.gate,
        },
        ranges,
        files,
    };
    let announce = |_: &Manifest| Ok(());
    let generation = publish(
        manifest,
        systems,
        &draft,
        definition,
        &options.interrupt,
        announce,
    )?;
    systems.remove_unused(options.name)?;
    Ok(generation)
}

/// Returns the trust group of the new generation: what is wished or defined, or as before.
fn group(options: &SaveOptions, systems: &Systems) -> Result<Group> {
    let defined = options.definition.as_ref().and_then(|it| it.group.clone());
    if let Some(group) = options.group.clone().or(defined) {
        return Ok(group);
    }
    let current = systems.current(options.name)?;
    // One that is damaged is replaced.
    let current = current.and_then(|current| systems.generation(options.name, current).ok());
    Ok(current.map_or_else(Group::default, |current| current.manifest().group.clone()))
}

/// Runs the template until its state is in the draft, and returns its machine. QEMU opens its files itself,
/// perhaps as another user, so it gets their paths.
fn run(
    options: &SaveOptions,
    kernel: &Kernel,
    ranges: &[Range],
    command_line: &str,
    draft: &Scratch,
) -> Result<Machine> {
    let directory = draft.directory();
    reserve(ranges, directory)?;
    let machine = machine(options);
    let (qemu, accel) = (options.qemu.clone(), options.accel);
    let mut config = hardware::config(
        qemu,
        accel,
        &machine,
        ranges,
        draft.path(),
        hardware::Role::Template,
    );
    config.name = format!("onecopy-template-{}", options.name);
    config.kernel = Some(Boot {
        kernel: options.kernel.clone(),
        initrd: options.initrd.clone(),
        append: command_line.to_owned(),
    });
    config.extra_args.extend(options.extra_args.iter().cloned());
    config.interrupt = options.interrupt.clone();
    let mut template = Template::start(options.name, &config, &kernel.layout, ranges, directory)?;
    template.wait_for_save_point(options.timeout, &options.interrupt)?;
    let found = template.save(&directory.path(STATE), options.protect)?;
    Ok(Machine {
        board: found.board,
        qemu: found.qemu.to_string(),
        cpu_features: found.cpu_features,
        ..machine
    })
}

/// Makes the files of the ranges.
fn reserve(ranges: &[Range], directory: &Directory) -> Result<()> {
    for range in ranges {
        if let Some(name) = range.file_name() {
            content::reserve(directory, &name, range.size_bytes())
                .map_err(Error::io("make room for", &directory.path(&name)))?;
        }
    }
    Ok(())
}

/// Returns the machine as it is asked for; QEMU has the last word on its board and its processor.
fn machine(options: &SaveOptions) -> Machine {
    let best = Cpu::best_for(options.accel).model;
    let cpu = options.cpu.clone().unwrap_or(best);
    Machine {
        qemu: String::new(),
        board: "q35".to_owned(),
        accel: options.accel.to_string(),
        host_cpu: hardware::host_cpu(options.accel, &cpu),
        cpu_features: Vec::new(),
        cpu,
        memory_bytes: options.memory_bytes,
        max_cpus: hardware::MAX_CPUS,
        hotplug_slots: hardware::HOTPLUG_SLOTS,
        hotplug_bytes: hardware::HOTPLUG_BYTES,
        root_ports: hardware::ROOT_PORTS,
    }
}

/// What the user appends comes last, so that it wins.
fn command_line(options: &SaveOptions, ranges: &[Range]) -> String {
    let name = options.name;
    let mut line = format!("{PARAMETERS} savesys={name} {}", ranges::parameters(ranges));
    if let Some(append) = &options.append {
        line.push(' ');
        line.push_str(append);
    }
    line
}

fn seal(
    ranges: &[Range],
    directory: &Directory,
    mode: u32,
    interrupt: &Interrupt,
) -> Result<Vec<SavedFile>> {
    let names = ranges.iter().filter_map(Range::file_name);
    let seal = |name: String| {
        interrupt.check()?;
        content::seal(directory, &name, mode)
    };
    names.chain([STATE.to_owned()]).map(seal).collect()
}

/// Gives the draft its number and makes it current, in place of the skeleton that it was made of. Just
/// before, `announce` is told.
fn publish(
    mut manifest: Manifest,
    systems: &Systems,
    draft: &Scratch,
    skeleton: Option<&Definition>,
    interrupt: &Interrupt,
    announce: impl FnOnce(&Manifest) -> Result<()>,
) -> Result<Generation> {
    let publisher = systems.shelf(manifest.name).lock()?;
    interrupt.check()?;
    manifest.generation = publisher.next_generation()?;
    let directory = draft.directory();
    let path = directory.path(manifest::FILE);
    let invalid = |source| Error::Manifest {
        path: path.clone(),
        source,
    };
    let text = manifest.to_text().map_err(invalid)?;
    directory
        .create_file(manifest::FILE, 0o600)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(Error::io("write", &path))?;
    content::seal(directory, manifest::FILE, content::PUBLIC)?;
    // What was just written need not be read again at the first IPL.
    Stamp::of(directory, &manifest)
        .and_then(|stamp| stamp.remember(directory))
        .map_err(Error::io("write", draft.path()))?;
    announce(&manifest)?;
    publisher.publish_directory(draft, manifest.generation)?;
    if let Some(skeleton) = skeleton {
        systems.use_up(skeleton)?;
    }
    // As soon as we do not have the lock, another save may replace and remove it.
    systems.generation(manifest.name, manifest.generation)
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}
