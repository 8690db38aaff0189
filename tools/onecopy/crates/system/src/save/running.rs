// SPDX-License-Identifier: GPL-2.0

//! From a guest that runs to a generation.
//!
//! The guest waits at the gate of its kernel, as a template does, but its memory is its own: private
//! copies of pages of the files that it was started from, and memory that is in no file. So it moves,
//! stopped and with all its memory, into a second machine, whose saved ranges are files as those of a
//! template are. That one never runs; its state is saved as a template's is.

use std::io;
use std::io::Read;
use std::mem;
use std::path::Path;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use onecopy_directory::Directory;
use onecopy_format::saved_kernel;
use onecopy_format::segment_space::Name;
use onecopy_machine::qmp::commands;
use onecopy_machine::Confinement;
use onecopy_machine::Interrupt;
use onecopy_machine::Machine;
use onecopy_machine::Ram;
use onecopy_store::Scratch;

use super::note::saved_as;
use super::note::Note;
use super::now;
use super::publish;
use super::reserve;
use super::seal;
use super::template::open_gate;
use crate::content;
use crate::control::Running;
use crate::definition::Definition;
use crate::error::Error;
use crate::hardware;
use crate::ipl::compatibility::assume_qemu;
use crate::ipl::compatibility::check_machine;
use crate::ipl::compatibility::choose_accel;
use crate::ipl::compatibility::start_error;
use crate::manifest::format_of;
use crate::manifest::Manifest;
use crate::manifest::SavedFile;
use crate::systems::Generation;
use crate::systems::Systems;
use crate::systems::STATE;
use crate::Result;

/// Name of the file through which the memory moves, in the draft.
const MEMORY: &str = "memory";

/// Name of the file with a copy of the gate, in the draft.
const GATE: &str = "gate";

/// How often the guest's gate is looked at.
const TICK: Duration = Duration::from_millis(50);

/// How long QEMU may take to write or to read all of a guest's memory.
const MEMORY_TIMEOUT: Duration = Duration::from_secs(600);

/// What to save a running guest as.
#[derive(Debug, Clone)]
pub struct RunningOptions {
    /// Name of the saved system.
    pub name: Name,
    /// The emulator; `None` searches it on `PATH`.
    pub qemu: Option<PathBuf>,
    /// What the emulator may do on the host.
    pub confinement: Confinement,
    /// How long the guest may take until it asks to be saved.
    pub timeout: Duration,
    /// What ends the save before the generation is published.
    pub interrupt: Interrupt,
}

/// Waits until a guest asks to be saved, publishes what it has become as a new generation, and ends
/// it. A skeleton of the name says who may start from it, and is used up.
///
/// # Errors
///
/// When the guest has more than its template had, is not what was defined, does not ask in time, or
/// cannot be saved, and when the interrupt comes. The guest then goes on, and the store is as it was.
///
/// What fails when the generation is published leaves that; the guest is ended. If it cannot be, the error
/// is [`Error::NotEnded`]: the guest stays stopped. A call for a guest that was saved before ends it; it fails
/// if the guest was saved as something else. That a guest was saved is known as long as that generation exists.
pub fn save_running(
    options: &RunningOptions,
    running: &Running,
    systems: &Systems,
) -> Result<Generation> {
    let record = running.record();
    let source = Systems::open(&record.store).generation(record.system, record.generation)?;
    // Another one that saves this guest would let it go on in the middle.
    let _lock = running.lock()?;
    if let Some(saved) = saved_as(running.directory())? {
        return finish(saved, options, running, systems);
    }
    running.check_unplugged()?;
    // One that was killed has left it stopped.
    running.go_on()?;
    let skeleton = systems.take_definition(options.name)?;
    if let Some(skeleton) = &skeleton {
        skeleton.check_guest(&record.guest, source.manifest())?;
    }
    let shelf = systems.shelf(options.name);
    let directory = shelf.create()?;
    systems.remove_unused(options.name)?;

    let draft = Scratch::create(&directory)?;
    let draft_directory = draft.directory();
    wait_for_save_point(options, running, source.manifest(), draft_directory)?;
    let stopped = Stopped::new(running)?;
    let files = save_stopped(options, running, &source, draft_directory)?;
    let manifest = Manifest {
        name: options.name,
        generation: 0,
        saved_unix_seconds: now(),
        files,
        ..limited(source.manifest(), skeleton.as_ref())
    };
    let skeleton = skeleton.as_ref();
    let announce = |manifest: &Manifest| Note::new(systems, manifest).write(running.directory());
    let generation = publish(
        manifest,
        systems,
        &draft,
        skeleton,
        &options.interrupt,
        announce,
    )?;
    // Its lock is on what is the generation now, and who starts a guest from that waits for it.
    drop(draft);
    stopped.quit(&generation)?;
    systems.remove_unused(options.name)?;
    Ok(generation)
}

/// Ends a guest that was saved by one that could not end it.
fn finish(
    saved: Generation,
    options: &RunningOptions,
    running: &Running,
    systems: &Systems,
) -> Result<Generation> {
    end(running, &saved)?;
    let manifest = saved.manifest();
    if saved.path().parent() == Some(systems.directory(options.name).as_path()) {
        systems.remove_unused(options.name)?;
        return Ok(saved);
    }
    Err(running.not_savable(format!(
        "it was saved before, as {} generation {}, and has been ended",
        manifest.name, manifest.generation
    )))
}

/// Cuts the power of a guest that was saved.
fn end(running: &Running, saved: &Generation) -> Result<()> {
    running.quit().map_err(|source| Error::NotEnded {
        guest: running.record().guest.clone(),
        name: saved.manifest().name,
        generation: saved.manifest().generation,
        source: Box::new(source),
    })
}

/// Returns the manifest of the system that the guest was started from; who may start from the new one
/// was defined, or is as it was.
fn limited(system: &Manifest, skeleton: Option<&Definition>) -> Manifest {
    let mut manifest = system.clone();
    if let Some(skeleton) = skeleton {
        manifest.restricted = skeleton.restricted;
        manifest.allow.clone_from(&skeleton.allow);
        manifest.format = format_of(manifest.restricted, manifest.protect, &manifest.group);
    }
    manifest
}

/// A guest that is stopped. When this is dropped it goes on, and finds that nobody came; if it was saved
/// in spite of an error it ends.
struct Stopped<'a> {
    running: &'a Running,
}

impl<'a> Stopped<'a> {
    fn new(running: &'a Running) -> Result<Self> {
        // A guest that was stopped although QEMU's answer was lost has to go on, too.
        let stopped = Self { running };
        running.ask(&commands::Stop {})?;
        Ok(stopped)
    }

    /// Cuts the guest's power. It was saved, and must not go on beside those that are started from
    /// it, even if it does not end.
    fn quit(self, saved: &Generation) -> Result<()> {
        let running = self.running;
        mem::forget(self);
        end(running, saved)
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        // There is nothing to do if it does not because it has ended, and the error that has brought us
        // here is told. As long as nobody knows whether it was saved it stays as it is.
        let _ = match saved_as(self.running.directory()) {
            Ok(None) => self.running.go_on(),
            Ok(Some(_)) => self.running.quit(),
            Err(error) => Err(error),
        };
    }
}

/// Waits until the guest's kernel waits for us.
fn wait_for_save_point(
    options: &RunningOptions,
    running: &Running,
    manifest: &Manifest,
    draft: &Directory,
) -> Result<()> {
    let start = Instant::now();
    while gate_state(running, manifest, draft)? != Some(saved_kernel::Gate::Waiting) {
        options.interrupt.check()?;
        if start.elapsed() >= options.timeout {
            let seconds = options.timeout.as_secs();
            return Err(running.not_savable(format!(
                "it did not ask for it within {seconds} s; write 1 to \
                 /sys/kernel/shared_kernel/save in the guest"
            )));
        }
        thread::sleep(TICK);
    }
    Ok(())
}

/// Reads the gate of a guest, whose memory is not in a file.
fn gate_state(
    running: &Running,
    manifest: &Manifest,
    draft: &Directory,
) -> Result<Option<saved_kernel::Gate>> {
    let path = draft.path(GATE);
    // QEMU writes it, perhaps as another user, so it gets the path.
    running.copy_memory(manifest.kernel.gate, saved_kernel::GATE_BYTES as u64, &path)?;
    let missing = || Error::io("read", &path)(io::ErrorKind::NotFound.into());
    let file = draft.file(GATE)?.ok_or_else(missing)?;
    let mut bytes = Vec::new();
    file.take(saved_kernel::GATE_BYTES as u64)
        .read_to_end(&mut bytes)
        .map_err(Error::io("read", &path))?;
    remove(draft, GATE)?;
    Ok(saved_kernel::Gate::parse(&bytes))
}

fn remove(draft: &Directory, name: &str) -> Result<()> {
    let removed = draft.remove_file(name);
    removed.map_err(Error::io("remove", &draft.path(name)))?;
    Ok(())
}

/// Writes the files of the generation for a guest that is stopped.
fn save_stopped(
    options: &RunningOptions,
    running: &Running,
    source: &Generation,
    draft: &Directory,
) -> Result<Vec<SavedFile>> {
    let manifest = source.manifest();
    // It may have lost its patience in the last moment.
    if gate_state(running, manifest, draft)? != Some(saved_kernel::Gate::Waiting) {
        return Err(running.not_savable("it has gone on, this host was too slow".to_owned()));
    }
    reserve(&manifest.ranges, draft)?;
    // QEMU opens its files itself, perhaps as another user, so it gets their paths.
    let memory = draft.path(MEMORY);
    running.prepare_file(&memory)?;
    running.save_state(&memory, MEMORY_TIMEOUT, &options.interrupt)?;
    options.confinement.lend(&memory, false)?;
    let mut machine = machine(options, manifest, draft.location())?;
    check_machine(&mut machine, manifest)?;
    machine.load_state(&memory, Ram::All, MEMORY_TIMEOUT)?;
    remove(draft, MEMORY)?;
    open_gate(manifest.kernel.gate, &manifest.ranges, draft)?
        .open(manifest.protect)
        .map_err(Error::io("open the gate in", draft.location()))?;
    machine.save_state(&draft.path(STATE), Ram::NotShared, MEMORY_TIMEOUT)?;
    machine.quit()?;

    // What user processes have in memory is nobody else's business.
    let files = seal(
        &manifest.ranges,
        draft,
        content::PRIVATE,
        &options.interrupt,
    )?;
    share_unchanged(&files, source, draft)?;
    Ok(files)
}

/// Starts the machine that the guest moves into.
fn machine(options: &RunningOptions, manifest: &Manifest, draft: &Path) -> Result<Machine> {
    let qemu = assume_qemu(options.qemu.as_deref(), manifest).confined(&options.confinement);
    let accel = choose_accel(None, manifest, &qemu)?;
    let mut config = hardware::config(
        qemu,
        accel,
        &manifest.machine,
        &manifest.ranges,
        draft,
        hardware::Role::Template,
    );
    config.name = format!("onecopy-save-{}", options.name);
    config.incoming = true;
    config.interrupt = options.interrupt.clone();
    Machine::start(&config).map_err(|error| start_error(error, &config, manifest))
}

/// Takes files that are still those that the guest was started from, above all its text, from
/// there: guests of both systems then share them.
fn share_unchanged(files: &[SavedFile], source: &Generation, draft: &Directory) -> Result<()> {
    // A link changes when a file was changed last, by which we know those that were verified.
    let is_verified = source.is_verified();
    for file in files {
        let same = source.manifest().file(&file.name) == Some(file);
        if !same || file.name == STATE {
            continue;
        }
        let name = file.name.as_str();
        // Without links, for instance in a store on another file system, there are two copies.
        if draft.link_from(source.directory(), name, MEMORY).is_ok() {
            let renamed = draft.rename(MEMORY, name);
            renamed.map_err(Error::io("replace", &draft.path(name)))?;
        }
    }
    if is_verified {
        source.remember();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::control::tests::Monitor;
    use crate::definition::tests::definition;
    use crate::manifest::tests::manifest;

    #[test]
    fn who_may_start_is_as_it_was_or_as_defined() {
        let mut system = manifest();
        system.restricted = true;
        system.allow = vec!["old".parse().unwrap()];
        system.format = format_of(true, false, &system.group);
        assert_eq!(limited(&system, None), system);
        let mut skeleton = definition();
        let new = limited(&system, Some(&skeleton));
        assert_eq!((new.restricted, &new.allow), (true, &skeleton.allow));
        skeleton.restricted = false;
        skeleton.allow.clear();
        let new = limited(&system, Some(&skeleton));
        assert_eq!((new.restricted, new.allow.len(), new.format), (false, 0, 1));
    }

    #[test]
    fn a_guest_goes_on_unless_it_was_saved() {
        let monitor = Monitor::new(&[]);
        let running = monitor.running();
        drop(Stopped::new(&running).unwrap());
        assert_eq!(monitor.told(), ["stop", "query-migrate", "cont"]);

        // It was published, and then something failed.
        let store = tempfile::tempdir().unwrap();
        let systems = Systems::open(store.path());
        let manifest = manifest();
        let path = systems.directory(manifest.name);
        let path = path.join(manifest.generation.to_string());
        fs::create_dir_all(&path).unwrap();
        let text = manifest.to_text().unwrap();
        fs::write(path.join(crate::manifest::FILE), text).unwrap();
        let note = Note::new(&systems, &manifest);
        note.write(running.directory()).unwrap();
        drop(Stopped::new(&running).unwrap());
        assert_eq!(monitor.told(), ["stop", "quit"]);

        let saved = saved_as(running.directory()).unwrap().unwrap();
        Stopped::new(&running).unwrap().quit(&saved).unwrap();
        assert_eq!(monitor.told(), ["stop", "quit"]);
    }
}
