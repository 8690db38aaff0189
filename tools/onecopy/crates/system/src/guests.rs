// SPDX-License-Identifier: GPL-2.0

//! The guests that run on this host.
//!
//! Each has a directory, which only its owner can enter:
//!
//! ```text
//! RUN/guests/GUEST/guest.toml     what it was started from, and its processes
//!                  console        socket: its serial console
//!                  console.log    what that has said
//!                  qmp            socket: a monitor
//!                  smsg           socket: where messages go, if it has a device for them
//!                  smsg.lock      held while one is sent
//!                  resources      its identity, removed as soon as QEMU has read it
//!                  saved-as       what it is being saved as, from before that is published
//!                  paused-by      who has paused it to copy its memory
//! RUN/guests/.lock                held while a directory comes or goes
//! ```
//!
//! The directory goes with the process that keeps the guest. If that was killed, the next guest of
//! this name removes it.

mod name;
mod pattern;
mod record;
mod stale;

use std::fs;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::path::PathBuf;

use onecopy_directory::Directory;
use onecopy_format::segment_space::Name;
use onecopy_store::Lock;

pub use self::name::GuestName;
pub use self::name::GuestNameError;
pub use self::pattern::Pattern;
pub use self::pattern::PatternError;
pub use self::record::Record;
pub use self::stale::Stale;
use crate::error::Error;
use crate::process::Process;
use crate::Result;

/// Name of the directory of all guests.
const GUESTS: &str = "guests";

/// Names in the directory of a guest.
pub(crate) const CONSOLE: &str = "console";
pub(crate) const CONSOLE_LOG: &str = "console.log";
pub(crate) const QMP: &str = "qmp";
pub(crate) const RESOURCES: &str = "resources";
pub(crate) const SAVED_AS: &str = "saved-as";
pub(crate) const PAUSED_BY: &str = "paused-by";
pub(crate) const SMSG: &str = "smsg";
pub(crate) const SMSG_LOCK: &str = "smsg.lock";

/// The guests below one run directory.
#[derive(Debug, Clone)]
pub struct Guests {
    run: PathBuf,
    directory: PathBuf,
}

/// The directory of a guest that we keep; it goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    name: GuestName,
    path: PathBuf,
}

impl Guests {
    /// Uses the run directory at `root`, which may not exist yet.
    pub fn open(root: impl AsRef<Path>) -> Self {
        Self {
            run: root.as_ref().to_owned(),
            directory: root.as_ref().join(GUESTS),
        }
    }

    /// Returns the guests that run, by name.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read. One that does not exist is empty.
    pub fn list(&self) -> Result<Vec<Record>> {
        let Some(directory) = self.look()? else {
            return Ok(Vec::new());
        };
        let mut records = Vec::new();
        for name in directory.names()? {
            // What is not a directory with a record is no guest, or one that is just coming.
            let record = name.to_str().and_then(|name| read_in(&directory, name));
            records.extend(record.filter(|record| record.keeper.is_alive()));
        }
        records.sort_unstable_by(|one, other| one.guest.cmp(&other.guest));
        Ok(records)
    }

    /// Opens the directory of all guests, if there is one: who else could write there could make us kill
    /// any process as the keeper of a guest.
    fn look(&self) -> Result<Option<Directory>> {
        let Some(run) = Directory::open(&self.run)? else {
            return Ok(None);
        };
        let Some(directory) = run.child(GUESTS)? else {
            return Ok(None);
        };
        run.check_ours(true)?;
        directory.check_ours(false)?;
        Ok(Some(directory))
    }

    /// Opens the directory of all guests, which is created if need be.
    fn create(&self) -> Result<Directory> {
        let run = Directory::create(&self.run)?;
        run.check_ours(true)?;
        let directory = run.create_child_with(GUESTS, 0o700)?;
        directory.check_ours(false)?;
        Ok(directory)
    }

    /// Returns a guest that runs.
    ///
    /// # Errors
    ///
    /// When it does not; the error lists those that do.
    pub fn find(&self, guest: &GuestName) -> Result<Record> {
        let records = self.list()?;
        let found = records.iter().find(|record| record.guest == *guest);
        found.cloned().ok_or_else(|| Error::NoGuest {
            guest: guest.clone(),
            existing: records.into_iter().map(|record| record.guest).collect(),
        })
    }

    /// Returns the guest that runs in a partition of a store, if one does.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn serving(&self, partition: &GuestName, store: &Path) -> Result<Option<Record>> {
        let is_it =
            |record: &Record| record.partition.as_ref() == Some(partition) && record.store == store;
        Ok(self.list()?.into_iter().find(is_it))
    }

    /// Removes the directories of guests that our process keeps: for one that has to end at once.
    pub fn abandon(&self) {
        let ours = Process::ours().ok();
        let records = self.list().unwrap_or_default().into_iter();
        for record in records.filter(|record| Some(record.keeper) == ours) {
            // If that fails, the next guest of this name does it.
            let _ = fs::remove_dir_all(self.directory(&record.guest));
        }
    }

    /// Returns the directory of a guest.
    pub fn directory(&self, guest: &GuestName) -> PathBuf {
        self.directory.join(guest.as_str())
    }

    /// Makes the directory of a new guest: of this name, or of the first free one that is made of
    /// the name of the saved system and a number.
    ///
    /// `record` is what is to be known about the guest with that name.
    pub(crate) fn claim(
        &self,
        guest: Option<&GuestName>,
        system: Name,
        record: impl Fn(&GuestName) -> Record,
    ) -> Result<Claim> {
        self.create()?;
        let _lock = Lock::exclusive(&self.directory)?;
        let name = match guest {
            Some(guest) if self.is_free(guest) => guest.clone(),
            Some(guest) => return Err(Error::GuestExists(guest.clone())),
            None => self.free_name(system),
        };
        let record = record(&name);
        self.check_partition(&record)?;
        let path = self.directory(&name);
        let create = || {
            remove_if_there(&path)?;
            DirBuilder::new().mode(0o700).create(&path)
        };
        create().map_err(Error::io("create", &path))?;
        let claim = Claim { name, path };
        claim.write(&record)?;
        Ok(claim)
    }

    /// Makes sure that no other guest runs in the partition. The caller has the lock.
    fn check_partition(&self, record: &Record) -> Result<()> {
        let Some(partition) = &record.partition else {
            return Ok(());
        };
        match self.serving(partition, &record.store)? {
            Some(other) => Err(Error::PartitionRuns {
                partition: partition.clone(),
                guest: other.guest,
            }),
            None => Ok(()),
        }
    }

    fn is_free(&self, guest: &GuestName) -> bool {
        let directory = Directory::open(&self.directory).ok().flatten();
        let record = directory.and_then(|directory| read_in(&directory, guest.as_str()));
        !record.is_some_and(|record| record.keeper.is_alive())
    }

    fn free_name(&self, system: Name) -> GuestName {
        let mut names = (1..).map(|number| GuestName::numbered(system, number));
        // There are more numbers than processes.
        names
            .find(|name| self.is_free(name))
            .unwrap_or_else(|| GuestName::numbered(system, 0))
    }
}

impl Claim {
    pub(crate) fn name(&self) -> &GuestName {
        &self.name
    }

    /// Returns the path of a file in the directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads what is known about the guest; others may have added to it.
    pub(crate) fn read(&self) -> Option<Record> {
        Record::read_at(&self.path)
    }

    /// Replaces what is known about the guest.
    pub(crate) fn write(&self, record: &Record) -> Result<()> {
        record
            .write(&self.path)
            .map_err(Error::io("write to", &self.path))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // If that fails, the next guest of this name does it.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Reads the record in the directory of a guest, neither of which may be a link.
fn read_in(directory: &Directory, name: &str) -> Option<Record> {
    Record::read(&directory.child(name).ok()??)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn record(guest: &GuestName) -> Record {
        let keeper = Process::ours().unwrap();
        Record::new(
            guest.clone(),
            "LX".parse().unwrap(),
            1,
            Path::new("/s"),
            keeper,
        )
    }

    pub(super) fn claim(guests: &Guests, name: Option<&str>) -> Result<Claim> {
        let name = name.map(|name| name.parse().unwrap());
        guests.claim(name.as_ref(), "LX".parse().unwrap(), record)
    }

    #[test]
    fn guests_without_a_name_are_numbered() {
        let root = tempfile::tempdir().unwrap();
        let guests = Guests::open(root.path().join("run"));
        assert_eq!(guests.list().unwrap(), []);
        let one = claim(&guests, None).unwrap();
        let two = claim(&guests, None).unwrap();
        assert_eq!((one.name().as_str(), two.name().as_str()), ("lx1", "lx2"));
        drop(one);
        let again = claim(&guests, None).unwrap();
        assert_eq!(again.name().as_str(), "lx1");
        let names: Vec<_> = guests
            .list()
            .unwrap()
            .into_iter()
            .map(|r| r.guest)
            .collect();
        assert_eq!(names, [again.name().clone(), two.name().clone()]);
        let mode = again.file("").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_name_in_use_is_refused_until_its_keeper_has_ended() {
        let root = tempfile::tempdir().unwrap();
        let guests = Guests::open(root.path());
        let first = claim(&guests, Some("web")).unwrap();
        let error = claim(&guests, Some("web")).unwrap_err();
        assert_eq!(error.to_string(), "There is a guest web already");

        // Its keeper was killed, and the number is another process's by now.
        let ours = Process::ours().unwrap();
        let mut stale = record(first.name());
        stale.keeper = Process {
            start_ticks: ours.start_ticks + 1,
            ..ours
        };
        first.write(&stale).unwrap();
        fs::write(first.file("console.log"), "old").unwrap();
        std::mem::forget(first);
        assert_eq!(guests.list().unwrap(), []);
        let second = claim(&guests, Some("web")).unwrap();
        assert!(!second.file("console.log").exists());
    }

    #[test]
    fn a_partition_has_one_guest_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let guests = Guests::open(root.path());
        let partition: GuestName = "shop".parse().unwrap();
        let claim = |name: &str, store: &str| {
            guests.claim(
                Some(&name.parse().unwrap()),
                "LX".parse().unwrap(),
                |guest| Record {
                    partition: Some(partition.clone()),
                    store: store.into(),
                    ..record(guest)
                },
            )
        };
        let first = claim("web", "/s").unwrap();
        let serving = |store: &str| guests.serving(&partition, Path::new(store)).unwrap();
        assert_eq!(serving("/s").unwrap().guest, *first.name());
        let error = claim("db", "/s").unwrap_err().to_string();
        assert_eq!(
            error,
            "Partition shop runs already, as guest web; log it off first"
        );
        assert!(!guests.directory(&"db".parse().unwrap()).exists());
        // Another store has other partitions.
        let _other = claim("db", "/t").unwrap();
        drop(first);
        assert_eq!(serving("/s"), None);
        let _again = claim("web", "/s").unwrap();
    }

    #[test]
    fn a_missing_guest_is_reported_with_those_that_run() {
        let root = tempfile::tempdir().unwrap();
        let guests = Guests::open(root.path());
        let find = |name: &str| guests.find(&name.parse().unwrap()).map(|r| r.guest);
        let error = find("web").unwrap_err().to_string();
        assert_eq!(error, "There is no guest web; none is running");
        let claim = claim(&guests, None).unwrap();
        let error = find("web").unwrap_err().to_string();
        assert_eq!(error, "There is no guest web; there are: lx1");
        assert_eq!(find("lx1").unwrap(), *claim.name());
    }
}
