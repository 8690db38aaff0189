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
//! this name removes it. A directory goes only while `.lock` is held, and if its record names a keeper
//! that has ended or that it is removed for: where the record is not understood, nobody knows whether
//! the guest runs, and it stays.

mod claim;
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

pub(crate) use self::claim::release;
pub(crate) use self::claim::Claim;
pub use self::name::GuestName;
pub use self::name::GuestNameError;
pub use self::pattern::Pattern;
pub use self::pattern::PatternError;
use self::record::read_in;
pub use self::record::Record;
pub use self::record::RecordError;
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

/// What there is below a run directory.
#[derive(Debug, Default)]
pub struct Listed {
    /// The guests that run, by name.
    pub guests: Vec<Record>,
    /// Those of which that is not known, by name.
    pub unknown: Vec<Unknown>,
}

/// A guest whose record is damaged, or that of a later version: it may run.
#[derive(Debug)]
pub struct Unknown {
    /// Its name.
    pub guest: GuestName,
    /// Why it is not known.
    pub error: Error,
}

impl Guests {
    /// Uses the run directory at `root`, which may not exist yet.
    pub fn open(root: impl AsRef<Path>) -> Self {
        Self {
            run: root.as_ref().to_owned(),
            directory: root.as_ref().join(GUESTS),
        }
    }

    /// Returns the guests that run, by name, without those whose record is not understood.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read. One that does not exist is empty.
    pub fn list(&self) -> Result<Vec<Record>> {
        Ok(self.examine()?.guests)
    }

    /// Returns the guests that run, and those that may.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read. One that does not exist is empty.
    pub fn examine(&self) -> Result<Listed> {
        let mut listed = Listed::default();
        let Some(directory) = self.look()? else {
            return Ok(listed);
        };
        for name in directory.names()? {
            let guest = name
                .to_str()
                .and_then(|name| name.parse::<GuestName>().ok());
            let Some(guest) = guest else { continue };
            match read_in(&directory, guest.as_str()) {
                Ok(Some(record)) if record.keeper.is_alive() => listed.guests.push(record),
                // What is not a directory with a record is no guest, or one that is just coming.
                Ok(_) => {}
                Err(error) => listed.unknown.push(Unknown { guest, error }),
            }
        }
        listed
            .guests
            .sort_unstable_by(|one, other| one.guest.cmp(&other.guest));
        listed
            .unknown
            .sort_unstable_by(|one, other| one.guest.cmp(&other.guest));
        Ok(listed)
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
    /// When it does not (the error lists those that do), or its record is not understood.
    pub fn find(&self, guest: &GuestName) -> Result<Record> {
        let Listed { guests, unknown } = self.examine()?;
        if let Some(unknown) = unknown.into_iter().find(|other| other.guest == *guest) {
            return Err(unknown.error);
        }
        let found = guests.iter().find(|record| record.guest == *guest);
        found.cloned().ok_or_else(|| Error::NoGuest {
            guest: guest.clone(),
            existing: guests.into_iter().map(|record| record.guest).collect(),
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

    /// As [`Self::serving`], for who is going to change the partition: it must be known that no guest runs
    /// in it.
    ///
    /// # Errors
    ///
    /// As there, and when a record is not understood: its guest may run in the partition.
    pub fn occupant(&self, partition: &GuestName, store: &Path) -> Result<Option<Record>> {
        if let Some(record) = self.serving(partition, store)? {
            return Ok(Some(record));
        }
        let unknown = self.examine()?.unknown.into_iter().next();
        unknown.map_or(Ok(None), |unknown| Err(unknown.error))
    }

    /// Removes the directories of guests that our process keeps: for one that has to end at once.
    pub fn abandon(&self) {
        let Ok(ours) = Process::ours() else { return };
        let records = self.list().unwrap_or_default().into_iter();
        for record in records.filter(|record| record.keeper == ours) {
            // If that fails, the next guest of this name does it.
            let _ = release(&self.directory(&record.guest), ours);
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
            Some(guest) if self.is_free(guest)? => guest.clone(),
            Some(guest) => return Err(Error::GuestExists(guest.clone())),
            None => self.free_name(system)?,
        };
        let record = record(&name);
        self.check_partition(&record)?;
        let path = self.directory(&name);
        let create = || {
            remove_if_there(&path)?;
            DirBuilder::new().mode(0o700).create(&path)
        };
        create().map_err(Error::io("create", &path))?;
        if let Err(error) = record.write(&path) {
            // The disk may be full: nothing of it stays. We have the lock.
            let _ = fs::remove_dir_all(&path);
            return Err(Error::io("write to", &path)(error));
        }
        Ok(Claim::new(name, path, record.keeper))
    }

    /// Makes sure that no other guest runs in the partition. The caller has the lock.
    fn check_partition(&self, record: &Record) -> Result<()> {
        let Some(partition) = &record.partition else {
            return Ok(());
        };
        match self.occupant(partition, &record.store)? {
            Some(other) => Err(Error::PartitionRuns {
                partition: partition.clone(),
                guest: other.guest,
            }),
            None => Ok(()),
        }
    }

    /// Returns whether no guest of this name runs. Where that is not known nothing may be removed.
    fn is_free(&self, guest: &GuestName) -> Result<bool> {
        let Some(directory) = Directory::open(&self.directory)? else {
            return Ok(true);
        };
        let record = read_in(&directory, guest.as_str())?;
        Ok(!record.is_some_and(|record| record.keeper.is_alive()))
    }

    fn free_name(&self, system: Name) -> Result<GuestName> {
        let mut number = 1;
        loop {
            let name = GuestName::numbered(system, number);
            match self.is_free(&name) {
                // There are more numbers than processes.
                Ok(true) => return Ok(name),
                Ok(false) | Err(Error::Record { .. }) => number += 1,
                Err(error) => return Err(error),
            }
        }
    }
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

    use super::record::FILE;
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

    /// Damages the record of a guest that runs in ways that a crash or a later version may.
    fn damage(claim: &Claim) -> Vec<String> {
        let record = claim.file(FILE);
        let text = fs::read_to_string(&record).unwrap();
        vec![
            String::new(),
            text[..text.len() / 2].to_owned(),
            "format = 2\n".to_owned(),
            format!("later = 1\n{text}"),
        ]
    }

    #[test]
    fn a_guest_whose_record_is_not_understood_keeps_its_name_and_directory() {
        let root = tempfile::tempdir().unwrap();
        let guests = Guests::open(root.path());
        let other = claim(&guests, None).unwrap();
        let web = claim(&guests, Some("web")).unwrap();
        let text = fs::read_to_string(web.file(FILE)).unwrap();
        for damaged in damage(&web) {
            fs::write(web.file(FILE), &damaged).unwrap();
            let find = guests.find(web.name()).map(drop);
            for error in [find, claim(&guests, Some("web")).map(drop)] {
                let error = error.unwrap_err();
                assert_eq!(error.kind(), onecopy_store::Kind::Damaged, "{error}");
                let path = web.file(FILE).display().to_string();
                assert!(error.to_string().starts_with(&path), "{error}");
            }
            assert_eq!(fs::read_to_string(web.file(FILE)).unwrap(), damaged);
            let listed = guests.examine().unwrap();
            let names = listed.guests.iter().map(|record| &record.guest);
            assert!(names.eq([other.name()]));
            let names = listed.unknown.iter().map(|unknown| &unknown.guest);
            assert!(names.eq([web.name()]));
            assert_eq!(guests.stale().unwrap(), []);
        }
        // It may run in any partition.
        let partition = "shop".parse().unwrap();
        let store = Path::new("/s");
        assert_eq!(guests.serving(&partition, store).unwrap(), None);
        guests.occupant(&partition, store).unwrap_err();
        fs::write(web.file(FILE), "format = 2").unwrap();
        let path = web.file("");
        drop(web);
        assert!(path.exists(), "nobody knows whose it is");
        fs::write(path.join(FILE), text).unwrap();
        assert_eq!(
            guests.find(&"web".parse().unwrap()).unwrap().memory_bytes,
            0
        );
        // A number whose record is not understood is not free, and the next one is.
        fs::write(other.file(FILE), "").unwrap();
        assert_eq!(claim(&guests, None).unwrap().name().as_str(), "lx2");
    }

    #[test]
    fn where_a_record_is_not_understood_is_said() {
        let root = tempfile::tempdir().unwrap();
        let guests = Guests::open(root.path());
        let web = claim(&guests, Some("web")).unwrap();
        fs::write(web.file(FILE), "guest = \"web\"\nsystem = LX\n").unwrap();
        let Err(Error::Record { source, .. }) = guests.find(web.name()) else {
            panic!("it is not understood");
        };
        let said = source.to_string();
        assert!(said.starts_with("line 2, column 10: "), "{said}");
    }

    #[test]
    fn a_directory_goes_only_with_the_keeper_that_its_record_names() {
        let root = tempfile::tempdir().unwrap();
        let guests = Guests::open(root.path());
        let web = claim(&guests, Some("web")).unwrap();
        let path = web.file("");
        let ours = Process::ours().unwrap();
        let mut other = record(web.name());
        other.keeper.start_ticks += 1;
        web.write(&other).unwrap();
        // It was given up and claimed again meanwhile: by none of these it is removed.
        release(&path, ours).unwrap();
        guests.abandon();
        drop(web);
        assert!(path.exists());
        release(&path, other.keeper).unwrap();
        assert!(!path.exists());
        release(&path, other.keeper).unwrap();
    }

    #[test]
    fn a_directory_goes_when_nobody_else_has_the_lock() {
        let root = tempfile::tempdir().unwrap();
        let guests = Guests::open(root.path());
        let web = claim(&guests, Some("web")).unwrap();
        let path = web.file("");
        let lock = Lock::exclusive(&guests.directory).unwrap();
        let dropped = std::thread::spawn(move || drop(web));
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert!(path.exists());
        drop(lock);
        dropped.join().unwrap();
        assert!(!path.exists());
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
