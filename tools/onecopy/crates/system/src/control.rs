// SPDX-License-Identifier: GPL-2.0

//! Guests that another process keeps.

mod observation;
#[cfg(test)]
pub(crate) mod tests;

use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use onecopy_machine::accounting::BlockPages;
use onecopy_machine::accounting::Usage;
use onecopy_machine::qmp;
use onecopy_machine::qmp::commands;
use onecopy_machine::state_uri;
use onecopy_machine::Interrupt;
use onecopy_machine::Ram;
use onecopy_machine::User;
use onecopy_store::Lock;
use rustix::process::geteuid;

use crate::error::Error;
use crate::guests;
use crate::guests::GuestName;
use crate::guests::Guests;
use crate::guests::Record;
use crate::ranges::Range;
use crate::Result;

pub use self::observation::Glance;
pub use self::observation::Observation;

/// How long QEMU may take to answer.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the keeper may take to clean up after its guest.
const END_TIMEOUT: Duration = Duration::from_secs(20);

/// How often QEMU is asked how far it is.
const TICK: Duration = Duration::from_millis(10);

/// How often somebody who waits for the end of a guest looks for signals.
const INTERRUPT_TICK: Duration = Duration::from_millis(100);

/// Where QEMU has the devices that have an id.
pub(crate) const PERIPHERALS: &str = "/machine/peripheral";

/// What the ids of the devices begin with that each guest has.
pub(crate) const ROOT_PORT: &str = "port";

/// How a guest is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logoff {
    /// At once, as if the power failed.
    Now,
    /// By its power button first, which a guest may ignore; at once after this time.
    Grace(Duration),
}

/// What a range of memory costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeUsage {
    /// The range.
    pub range: Range,
    /// Resident bytes of the saved file, which all guests have together.
    pub shared_bytes: u64,
    /// Bytes that exist only because of this guest.
    pub private_bytes: u64,
}

impl RangeUsage {
    /// Divides what fills a guest's memory by the ranges of its saved system.
    pub fn divide(blocks: &[BlockPages], ranges: &[Range]) -> Vec<Self> {
        let of = |range: &Range| {
            let id = range.id();
            let block = blocks.iter().find(|block| block.name == id);
            let pages = block.map(|block| block.pages).unwrap_or_default();
            let private_bytes = pages.anonymous_bytes;
            Self {
                range: range.clone(),
                shared_bytes: pages.resident_bytes.saturating_sub(private_bytes),
                private_bytes: private_bytes.saturating_add(pages.swap_bytes),
            }
        };
        ranges.iter().map(of).collect()
    }

    /// Returns how many bytes this guest no longer shares although the range is shared.
    pub fn unshared_bytes(&self) -> u64 {
        if self.range.kind.shared() {
            self.private_bytes
        } else {
            0
        }
    }
}

/// A guest that another process keeps.
#[derive(Debug)]
pub struct Running {
    record: Record,
    directory: PathBuf,
}

impl Running {
    /// Finds a guest.
    ///
    /// # Errors
    ///
    /// When it does not run; the error lists those that do.
    pub fn find(guests: &Guests, guest: &GuestName) -> Result<Self> {
        let record = guests.find(guest)?;
        let directory = guests.directory(guest);
        Ok(Self { record, directory })
    }

    /// Takes a guest from the list of those that run.
    pub fn listed(guests: &Guests, record: &Record) -> Self {
        Self {
            record: record.clone(),
            directory: guests.directory(&record.guest),
        }
    }

    /// Returns what is known about the guest.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Returns the directory of the guest.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Connects to the guest's console.
    ///
    /// # Errors
    ///
    /// When it ends just now, or is somebody else's.
    pub fn console(&self) -> Result<UnixStream> {
        let path = self.directory.join(guests::CONSOLE);
        UnixStream::connect(&path).map_err(Error::io("connect to", &path))
    }

    /// Returns QEMU's run state, for example `running`.
    ///
    /// # Errors
    ///
    /// When QEMU does not answer.
    pub fn state(&self) -> Result<String> {
        Ok(self.ask(&commands::QueryStatus {})?.status)
    }

    /// Returns what the guest costs now, by range of QEMU's memory.
    ///
    /// # Errors
    ///
    /// When QEMU does not answer or is somebody else's.
    pub fn usage(&self) -> Result<Usage> {
        let answer = self.ask(&Usage::query())?;
        let pid = self.record.qemu.map_or(0, |qemu| qemu.pid);
        let path = PathBuf::from(format!("/proc/{pid}/smaps"));
        Usage::of_process(pid, &answer).map_err(Error::io("read", &path))
    }

    /// Returns what each range of a saved system costs in this guest.
    ///
    /// # Errors
    ///
    /// When QEMU does not answer or is somebody else's.
    pub fn usage_of(&self, ranges: &[Range]) -> Result<Vec<RangeUsage>> {
        Ok(RangeUsage::divide(&self.usage()?.pages(), ranges))
    }

    /// Keeps others from saving the guest at the same time.
    pub(crate) fn lock(&self) -> Result<Lock> {
        Ok(Lock::exclusive(&self.directory)?)
    }

    /// Makes sure that nothing was plugged since the guest's template was saved: a state can be loaded
    /// only into a machine with the same devices.
    pub(crate) fn check_unplugged(&self) -> Result<()> {
        let path = PERIPHERALS.to_owned();
        let devices = self.ask(&commands::QomList { path })?.into_iter();
        let plugged: Vec<_> = devices
            .filter(|device| device.kind.starts_with("child<"))
            .filter(|device| !device.name.starts_with(ROOT_PORT))
            .map(|device| device.name)
            .collect();
        if plugged.is_empty() {
            return Ok(());
        }
        Err(self.not_savable(format!(
            "it has more than its template had: {}",
            plugged.join(", ")
        )))
    }

    /// Returns the user of the guest's QEMU, if that is another one than we.
    fn user(&self) -> Result<Option<User>> {
        let Some(qemu) = self.record.qemu else {
            return Ok(None);
        };
        let process = PathBuf::from(format!("/proc/{}", qemu.pid));
        let examined = process.metadata();
        let owner = examined.map_err(Error::io("examine", &process))?;
        let user = User {
            name: owner.uid().to_string(),
            uid: owner.uid(),
            gid: owner.gid(),
        };
        Ok((user.uid != geteuid().as_raw()).then_some(user))
    }

    /// Creates a file that the guest's QEMU can write to, if that has another user than we: he cannot create
    /// one in a directory of ours.
    pub(crate) fn prepare_file(&self, path: &Path) -> Result<()> {
        match self.user()? {
            Some(user) => user.create_lent(path).map_err(Error::io("create", path)),
            None => Ok(()),
        }
    }

    /// Lets the guest's QEMU open a file of ours.
    pub(crate) fn lend(&self, path: &Path, write: bool) -> Result<()> {
        match self.user()? {
            Some(user) => user.lend(path, write).map_err(Error::io("lend", path)),
            None => Ok(()),
        }
    }

    /// Copies guest-physical memory to a file, which is not there yet. QEMU must be able to pass the
    /// directories above it.
    pub(crate) fn copy_memory(&self, address: u64, size: u64, path: &Path) -> Result<()> {
        self.prepare_file(path)?;
        let filename = path.to_str().unwrap_or_default().to_owned();
        self.ask(&commands::Pmemsave {
            address,
            size,
            filename,
        })?;
        Ok(())
    }

    /// Writes the state with all memory to a file. The guest must have been stopped; before it can go
    /// on, see [`Self::go_on`].
    pub(crate) fn save_state(
        &self,
        path: &Path,
        timeout: Duration,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let uri = state_uri(path)?;
        self.ask(&Ram::All.capability())?;
        self.ask(&commands::Migrate { uri })?;
        let start = Instant::now();
        loop {
            interrupt.check()?;
            match self.ask(&commands::QueryMigrate {})?.outcome() {
                Some(outcome) => return outcome.map_err(|reason| self.not_savable(reason)),
                None if start.elapsed() >= timeout => {
                    let seconds = timeout.as_secs();
                    return Err(
                        self.not_savable(format!("its memory is not written after {seconds} s"))
                    );
                }
                None => thread::sleep(TICK),
            }
        }
    }

    /// Lets a guest go on that was stopped to be saved. While its state is being written QEMU would
    /// refuse, so that comes to its end first.
    pub(crate) fn go_on(&self) -> Result<()> {
        let start = Instant::now();
        while self.ask(&commands::QueryMigrate {})?.is_active() {
            self.ask(&commands::MigrateCancel {})?;
            if start.elapsed() >= END_TIMEOUT {
                let seconds = END_TIMEOUT.as_secs();
                return Err(self.not_savable(format!(
                    "QEMU has not given up writing its memory after {seconds} s"
                )));
            }
            thread::sleep(TICK);
        }
        self.ask(&commands::Cont {})?;
        Ok(())
    }

    /// Cuts the guest's power. Its keeper, which may be our own process, cleans up.
    pub(crate) fn quit(&self) -> Result<()> {
        let told = self.ask(&commands::Quit {});
        let qemu = self.record.qemu;
        // One that has ended by itself does not answer.
        if qemu.is_none_or(|qemu| qemu.is_alive()) {
            told?;
        }
        let ended = qemu.map_or(Ok(true), |qemu| qemu.wait(END_TIMEOUT));
        if ended.map_err(Error::io("watch the guest of", &self.directory))? {
            return Ok(());
        }
        Err(Error::StillRunning {
            guest: self.record.guest.clone(),
            waited: END_TIMEOUT,
        })
    }

    pub(crate) fn not_savable(&self, reason: String) -> Error {
        Error::NotSavable {
            guest: self.record.guest.clone(),
            reason,
        }
    }

    /// Ends the guest and waits until nothing is left of it. Returns whether it switched itself
    /// off.
    ///
    /// # Errors
    ///
    /// When it cannot be ended, or the interrupt comes before its power is cut: its power button may
    /// have been pressed by then.
    pub fn logoff(&self, how: Logoff, interrupt: &Interrupt) -> Result<bool> {
        interrupt.check()?;
        if let Logoff::Grace(grace) = how {
            // A monitor that does not answer is dealt with below.
            let pressed = self.ask(&commands::SystemPowerdown {}).is_ok();
            if pressed && self.wait_unless(grace, interrupt)? {
                return Ok(true);
            }
        }
        let told = self.ask(&commands::Quit {}).is_ok();
        if told && self.wait(END_TIMEOUT)? {
            return Ok(false);
        }
        // QEMU ends with its keeper.
        let keeper = self.record.keeper;
        let ended = keeper.kill(END_TIMEOUT);
        if ended.map_err(Error::io("kill the keeper of", &self.directory))? {
            // Nobody is left to do it. If that fails, the next guest of this name does.
            let _ = guests::release(&self.directory, keeper);
            return Ok(false);
        }
        Err(Error::StillRunning {
            guest: self.record.guest.clone(),
            waited: END_TIMEOUT,
        })
    }

    /// Waits for the end of the guest. Returns whether it came in time.
    fn wait_unless(&self, timeout: Duration, interrupt: &Interrupt) -> Result<bool> {
        let start = Instant::now();
        loop {
            let left = timeout.saturating_sub(start.elapsed());
            if self.wait(left.min(INTERRUPT_TICK))? {
                return Ok(true);
            }
            if left.is_zero() {
                return Ok(false);
            }
            interrupt.check()?;
        }
    }

    fn wait(&self, timeout: Duration) -> Result<bool> {
        let ended = self.record.keeper.wait(timeout);
        ended.map_err(Error::io("watch the keeper of", &self.directory))
    }

    /// Carries out one command in a session of its own.
    pub(crate) fn ask<C: qmp::Command>(&self, command: &C) -> Result<C::Ok> {
        self.session(ANSWER_TIMEOUT)?.ask(command)
    }

    /// Begins to talk to QEMU, which talks to one process at a time: others wait until the session
    /// is dropped. Each answer may take so long.
    pub(crate) fn session(&self, timeout: Duration) -> Result<Session> {
        let path = self.directory.join(guests::QMP);
        let guest = self.record.guest.clone();
        match qmp::Client::connect(&path, timeout) {
            Ok(client) => Ok(Session {
                guest,
                client,
                timeout,
            }),
            Err(source) => Err(Error::Monitor { guest, source }),
        }
    }
}

/// A conversation with the QEMU of a guest.
#[derive(Debug)]
pub(crate) struct Session {
    guest: GuestName,
    client: qmp::Client,
    timeout: Duration,
}

impl Session {
    /// Carries out a command.
    pub(crate) fn ask<C: qmp::Command>(&mut self, command: &C) -> Result<C::Ok> {
        let answer = self.client.execute(command, self.timeout);
        answer.map_err(|source| Error::Monitor {
            guest: self.guest.clone(),
            source,
        })
    }

    /// Carries out a command that takes an open file.
    pub(crate) fn ask_with<C: qmp::Command>(
        &mut self,
        command: &C,
        file: BorrowedFd<'_>,
    ) -> Result<C::Ok> {
        let answer = self.client.execute_with(command, file, self.timeout);
        answer.map_err(|source| Error::Monitor {
            guest: self.guest.clone(),
            source,
        })
    }
}
