// SPDX-License-Identifier: GPL-2.0

//! A guest from its start to its end.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use onecopy_machine::qmp::commands;
use onecopy_machine::Machine;
use onecopy_machine::Ram;
use onecopy_store::Space;
use onecopy_store::Store;

use super::compatibility::check_machine;
use crate::error::Error;
use crate::guests;
use crate::guests::Claim;
use crate::guests::Record;
use crate::plug::Extra;
use crate::relay::Relay;
use crate::systems::Generation;
use crate::systems::Systems;
use crate::Result;

/// How long QEMU may take to load the state: some megabytes.
const STATE_TIMEOUT: Duration = Duration::from_secs(60);

/// A guest that our process keeps: it ends with this value, and with the process.
// Fields are dropped in this order: the machine first, its generation last.
#[derive(Debug)]
pub struct Guest {
    pub(super) machine: Machine,
    pub(super) _relay: Relay,
    pub(super) claim: Claim,
    pub(super) record: Record,
    pub(super) generation: Generation,
    pub(super) spaces: Vec<Arc<Space>>,
    pub(super) systems: Systems,
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
    pub(super) fn go(&mut self, extra: &Extra<'_>) -> Result<()> {
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
    pub(super) fn wait_until_ready(&mut self, timeout: Duration) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use onecopy_format::segment_space::Name;
    use onecopy_format::segment_space::SegmentType;
    use onecopy_store::MemberContent;
    use onecopy_store::MemberSource;
    use onecopy_store::SpaceBuilder;

    use super::*;
    use crate::ipl::attachments;
    use crate::process::Process;

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
