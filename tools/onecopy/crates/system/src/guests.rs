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

mod admission;
mod claim;
mod listing;
mod name;
mod pattern;
mod record;
mod stale;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use onecopy_directory::Directory;

pub(crate) use self::claim::release;
pub(crate) use self::claim::Claim;
pub use self::listing::Listed;
pub use self::listing::Unknown;
pub use self::name::GuestName;
pub use self::name::GuestNameError;
pub use self::pattern::Pattern;
pub use self::pattern::PatternError;
pub use self::record::Record;
pub use self::record::RecordError;
pub use self::stale::Stale;
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

impl Guests {
    /// Uses the run directory at `root`, which may not exist yet.
    pub fn open(root: impl AsRef<Path>) -> Self {
        Self {
            run: root.as_ref().to_owned(),
            directory: root.as_ref().join(GUESTS),
        }
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
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
