// SPDX-License-Identifier: GPL-2.0

//! From a generation to a guest that runs.

pub(crate) mod compatibility;

use std::ffi::OsString;
use std::fs;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use onecopy_format::resources::FW_CFG_FILE;
use onecopy_format::segment_space::Name;
use onecopy_machine::options::Accel;
use onecopy_machine::options::Access;
use onecopy_machine::options::FwCfg;
use onecopy_machine::qmp::commands;
use onecopy_machine::Config;
use onecopy_machine::Confinement;
use onecopy_machine::Disk;
use onecopy_machine::Interrupt;
use onecopy_machine::Machine;
use onecopy_machine::Needed;
use onecopy_machine::Qemu;
use onecopy_machine::Ram;
use onecopy_machine::SegmentDevice;
use onecopy_machine::Tee;
use onecopy_store::Group;
use onecopy_store::Space;
use onecopy_store::Store;

use self::compatibility::assume_qemu;
use self::compatibility::check_machine;
use self::compatibility::choose_accel;
use self::compatibility::start_error;
use crate::error::Error;
use crate::guests;
use crate::guests::Claim;
use crate::guests::GuestName;
use crate::guests::Guests;
use crate::guests::Record;
use crate::hardware;
use crate::nic;
use crate::nic::Nic;
use crate::nic::NicOptions;
use crate::plug::Extra;
use crate::process::Process;
use crate::relay::Relay;
use crate::resources::ResourceOptions;
use crate::restriction;
use crate::spaces::Attachment;
use crate::systems::Generation;
use crate::systems::Systems;
use crate::Result;

/// How long QEMU may take to load the state: some megabytes.
const STATE_TIMEOUT: Duration = Duration::from_secs(60);

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

/// A guest that our process keeps: it ends with this value, and with the process.
// Fields are dropped in this order: the machine first, its generation last.
#[derive(Debug)]
pub struct Guest {
    machine: Machine,
    _relay: Relay,
    claim: Claim,
    record: Record,
    generation: Generation,
    spaces: Vec<Arc<Space>>,
    systems: Systems,
}

/// Makes sure that a guest could be started, as far as that can be known without a machine: the
/// system is there with all its files, the guest may start from it, and can have what it is to have.
/// Returns the generation that it would be started from.
///
/// # Errors
///
/// As [`ipl()`], for these reasons.
pub fn check(options: &IplOptions, systems: &Systems) -> Result<Generation> {
    let generation = systems.acquire(options.name)?;
    let manifest = generation.manifest();
    restriction::admit(options.guest.as_ref(), manifest)?;
    restriction::admit_group(options.group.as_ref(), manifest)?;
    let nics = Nic::draw(&options.nics).map_err(Error::Random)?;
    Extra::new(&manifest.machine, options, &nics)?;
    told(options, &nics)
        .resources
        .check(options.guest.as_ref(), manifest)?;
    generation.verify(&options.interrupt)?;
    Ok(generation)
}

/// Starts a guest from the current generation of a saved system, and waits until it says that it
/// has its identity. What its console says goes to `tee` as well.
///
/// # Errors
///
/// When there is no such system or the guest may not start from it, a file of it is not what was saved,
/// this host is not like the one that saved it, the name is in use, the guest does not go on, or the
/// interrupt comes. Nothing is left behind.
pub fn ipl(
    options: &IplOptions,
    systems: &Systems,
    guests: &Guests,
    tee: Option<Tee>,
) -> Result<Guest> {
    let generation = systems.acquire(options.name)?;
    let manifest = generation.manifest();
    restriction::admit(options.guest.as_ref(), manifest)?;
    restriction::admit_group(options.group.as_ref(), manifest)?;
    let nics = Nic::draw(&options.nics).map_err(Error::Random)?;
    let extra = Extra::new(&manifest.machine, options, &nics)?;
    let options = &told(options, &nics);
    let qemu = assume_qemu(options.qemu.as_deref(), manifest).confined(&options.confinement);
    let accel = choose_accel(options.accel, manifest, &qemu)?;
    lend(options, &generation)?;
    generation.verify(&options.interrupt)?;

    let keeper = Process::ours().map_err(Error::io("examine", Path::new("/proc/self")))?;
    let record = |guest: &GuestName| Record {
        memory_bytes: options
            .memory_bytes
            .unwrap_or(manifest.machine.memory_bytes),
        cpus: options.cpus,
        group: manifest.group.clone(),
        partition: options.partition.clone(),
        mac_addresses: nics.iter().map(|nic| nic.mac).collect(),
        attachments: attachments(&options.spaces),
        ..Record::new(
            guest.clone(),
            options.name,
            manifest.generation,
            systems.root(),
            keeper,
        )
    };
    let claim = guests.claim(options.guest.as_ref(), options.name, record)?;
    let mut record = record(claim.name());
    let console = claim.file(guests::CONSOLE);
    let relay = Relay::listen(&console).map_err(Error::io("listen on", &console))?;
    let output = Output {
        relay: relay.clients(),
        tee,
    };

    let config = config(options, &generation, qemu, accel, &claim)?;
    let machine = Machine::start_with(&config, Some(Box::new(output)))
        .map_err(|error| start_error(error, &config, manifest))?;
    record.qemu = Process::of(machine.pid()).ok();
    claim.write(&record)?;
    let console = machine.console().clone();
    relay
        .serve(console)
        .map_err(Error::io("serve", &claim.file(guests::CONSOLE)))?;
    let mut guest = Guest {
        machine,
        _relay: relay,
        claim,
        record,
        generation,
        spaces: options.spaces.clone(),
        systems: systems.clone(),
    };
    guest.go(&extra)?;
    guest.wait_until_ready(options.timeout)?;
    Ok(guest)
}

/// Lets QEMU's user open what is plugged or loaded after its start, or says what he cannot open. Permissions
/// change before the files are verified, which are known by the time of that.
fn lend(options: &IplOptions, generation: &Generation) -> Result<()> {
    let confinement = &options.confinement;
    if confinement.user.is_none() {
        return Ok(());
    }
    let mut needed = Vec::new();
    for file in &generation.manifest().files {
        let path = generation.path().join(&file.name);
        confinement.lend(&path, false)?;
        needed.push(Needed { path, write: false });
    }
    for segment in &options.segments {
        let (path, write) = (segment.path.clone(), segment.access == Access::Shared);
        confinement.lend(&path, write)?;
        needed.push(Needed { path, write });
    }
    needed.extend(options.disks.iter().map(|disk| Needed {
        path: disk.path.clone(),
        write: !disk.read_only,
    }));
    Ok(confinement.check(&needed)?)
}

impl Guest {
    /// Returns what is known about the guest.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Returns the machine.
    pub fn machine(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// Removes the guest's directory, and its generations, of the system and of segment spaces, that
    /// new guests do not get and nobody uses any more.
    ///
    /// # Errors
    ///
    /// When the files cannot be removed. A guest that still runs ends first.
    pub fn clean(self) -> Result<()> {
        let Self {
            machine,
            claim,
            record,
            generation,
            spaces,
            systems,
            ..
        } = self;
        drop(machine);
        // Others may have attached more.
        let record = claim.read().unwrap_or(record);
        drop(claim);
        drop(generation);
        drop(spaces);
        leave(&record, &systems)
    }

    /// Loads the state into the machine and lets it run.
    fn go(&mut self, extra: &Extra<'_>) -> Result<()> {
        let private = self.claim.file(guests::QMP);
        fs::set_permissions(&private, Permissions::from_mode(0o600))
            .map_err(Error::io("protect", &private))?;
        // QEMU has read it.
        let secret = self.claim.file(guests::RESOURCES);
        fs::remove_file(&secret).map_err(Error::io("remove", &secret))?;

        let manifest = self.generation.manifest();
        check_machine(&mut self.machine, manifest)?;
        let state = self.generation.state();
        self.machine
            .load_state(&state, Ram::NotShared, STATE_TIMEOUT)?;
        extra.plug(&mut self.machine, &self.claim.file(guests::SMSG))?;
        self.machine.execute(&commands::Cont {})?;
        Ok(())
    }

    /// Waits for the words of `drivers/virt/ipl`.
    fn wait_until_ready(&mut self, timeout: Duration) -> Result<()> {
        let guest = self.claim.name().clone();
        let words = format!("ipl: {guest}: started from a saved system");
        let found = self.machine.wait_for(&words, timeout);
        found.map_err(|source| match source {
            onecopy_machine::Error::Interrupted(interrupted) => interrupted.into(),
            source => Error::NotReady {
                guest,
                name: self.record.system,
                source: Box::new(source),
            },
        })?;
        self.record.ready = true;
        self.claim.write(&self.record)
    }
}

/// Removes generations that an ended guest had, of the system and of segment spaces, that new guests do not
/// get and nobody uses any more. One that cannot be removed keeps no other.
fn leave(record: &Record, systems: &Systems) -> Result<()> {
    let mut result = systems.remove_unused(record.system).map(drop);
    let store = Store::open(systems.root());
    for attachment in &record.attachments {
        let left = store.shelf(attachment.space).leave(attachment.generation);
        result = result.and(left.map_err(Error::from));
    }
    result
}

/// Says which devices segment spaces become.
fn attachments(spaces: &[Arc<Space>]) -> Vec<Attachment> {
    let number = |(index, space): (usize, &Arc<Space>)| {
        Attachment::new(space, format!("pmem{index}"), false)
    };
    spaces.iter().enumerate().map(number).collect()
}

/// Adds to the resources what the guest is told of its network cards.
fn told(options: &IplOptions, nics: &[Nic<'_>]) -> IplOptions {
    let mut options = options.clone();
    options.resources.others.extend(nic::resources(nics));
    options
}

/// Returns the machine that waits for the state.
fn config(
    options: &IplOptions,
    generation: &Generation,
    qemu: Qemu,
    accel: Accel,
    claim: &Claim,
) -> Result<Config> {
    let manifest = generation.manifest();
    let resources = claim.file(guests::RESOURCES);
    options
        .resources
        .write(&resources, claim.name(), manifest.generation)?;
    let config = hardware::config(
        qemu,
        accel,
        &manifest.machine,
        &manifest.ranges,
        generation.path(),
        hardware::Role::Guest {
            is_protected: manifest.protect,
        },
    );
    Ok(Config {
        name: claim.name().to_string(),
        fw_cfg: vec![FwCfg {
            name: FW_CFG_FILE.to_owned(),
            file: resources,
        }],
        incoming: true,
        control_socket: Some(claim.file(guests::QMP)),
        console_log: Some(claim.file(guests::CONSOLE_LOG)),
        extra_args: options.extra_args.clone(),
        interrupt: options.interrupt.clone(),
        ..config
    })
}

/// Where the console's output goes.
struct Output {
    relay: crate::relay::Clients,
    tee: Option<Tee>,
}

impl io::Write for Output {
    fn write(&mut self, said: &[u8]) -> io::Result<usize> {
        self.relay.write_all(said)?;
        if let Some(tee) = &mut self.tee {
            tee.write_all(said)?;
        }
        Ok(said.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tee.as_mut().map_or(Ok(()), |tee| tee.flush())
    }
}

#[cfg(test)]
mod tests {
    use onecopy_format::segment_space::SegmentType;
    use onecopy_store::MemberContent;
    use onecopy_store::MemberSource;
    use onecopy_store::SpaceBuilder;

    use super::*;

    /// Saves an image as a segment space.
    fn save(store: &Store, name: &str) {
        let image = store.root().join("image");
        fs::write(&image, "content").unwrap();
        let name: Name = name.parse().unwrap();
        let member = MemberSource {
            name,
            kind: SegmentType::Sr,
            content: MemberContent::Image(image),
        };
        let builder = SpaceBuilder::new(name).member(member);
        builder.save(store, &mut |_| {}).unwrap();
    }

    #[test]
    fn what_cannot_be_removed_keeps_no_other() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path());
        let spaces: Vec<Arc<Space>> = ["BAD", "OPT", "USR"]
            .map(|name| {
                save(&store, name);
                let held = Arc::new(store.acquire(name.parse().unwrap()).unwrap());
                save(&store, name);
                held
            })
            .into();
        let keeper = Process::ours().unwrap();
        let guest = "web".parse().unwrap();
        let system = "LX".parse().unwrap();
        let mut record = Record::new(guest, system, 1, root.path(), keeper);
        record.attachments = attachments(&spaces);
        drop(spaces);
        let systems = Systems::open(root.path());
        // The locks of both cannot be opened.
        fs::create_dir_all(root.path().join("systems/LX/.lock")).unwrap();
        let lock = root.path().join("segments/BAD/.lock");
        fs::remove_file(&lock).unwrap();
        fs::create_dir(&lock).unwrap();
        let error = leave(&record, &systems).unwrap_err().to_string();
        assert!(error.ends_with("systems/LX/.lock"), "the first: {error}");
        for name in ["OPT", "USR"] {
            let generations = store.generations(name.parse().unwrap()).unwrap();
            assert_eq!(generations, [2], "{name}");
        }
    }
}
