// SPDX-License-Identifier: GPL-2.0

//! From a generation to a guest that runs.

pub(crate) mod compatibility;
mod guest;
mod options;

use std::io;
use std::path::Path;
use std::sync::Arc;

use onecopy_format::resources::FW_CFG_FILE;
use onecopy_machine::options::Accel;
use onecopy_machine::options::Access;
use onecopy_machine::options::FwCfg;
use onecopy_machine::Config;
use onecopy_machine::Machine;
use onecopy_machine::Needed;
use onecopy_machine::Qemu;
use onecopy_machine::Tee;
use onecopy_store::Space;

use self::compatibility::assume_qemu;
use self::compatibility::choose_accel;
use self::compatibility::start_error;
pub use self::guest::Guest;
pub use self::options::IplOptions;
use crate::error::Error;
use crate::guests;
use crate::guests::Claim;
use crate::guests::GuestName;
use crate::guests::Guests;
use crate::guests::Record;
use crate::hardware;
use crate::nic;
use crate::nic::Nic;
use crate::plug::Extra;
use crate::process::Process;
use crate::relay::Relay;
use crate::restriction;
use crate::spaces::Attachment;
use crate::systems::Generation;
use crate::systems::Systems;
use crate::Result;

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

impl Drop for Output {
    /// QEMU has closed the console.
    fn drop(&mut self) {
        self.relay.end();
    }
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
