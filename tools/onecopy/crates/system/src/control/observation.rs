// SPDX-License-Identifier: GPL-2.0

//! What a guest is doing and what it costs, in one session of its monitor.

use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use onecopy_machine::accounting::BlockPages;
use onecopy_machine::accounting::Usage;
use onecopy_machine::qmp::commands;
use onecopy_machine::qmp::Client;
use onecopy_machine::qmp::QmpError;

use super::Running;
use crate::error::Error;
use crate::guests;
use crate::guests::Guests;
use crate::guests::Record;
use crate::Result;

/// What a guest is doing and what it costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// QEMU's run state, for example `running`.
    pub state: String,
    /// The memory that the balloon leaves to the guest, in bytes, if it has one that works.
    pub balloon_bytes: Option<u64>,
    /// What the QEMU process costs.
    pub usage: Usage,
}

/// What a guest is doing and what fills its memory: of an [`Observation`], what can be had quickly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glance {
    /// QEMU's run state, for example `running`.
    pub state: String,
    /// What fills the ranges of its memory.
    pub blocks: Vec<BlockPages>,
}

impl Running {
    /// Takes a guest that was found by [`Guests::list`].
    pub fn of(guests: &Guests, record: Record) -> Self {
        let directory = guests.directory(&record.guest);
        Self { record, directory }
    }

    /// Asks for everything at once.
    ///
    /// # Errors
    ///
    /// When QEMU has not answered within `timeout`, or is somebody else's.
    pub fn observe(&self, timeout: Duration) -> Result<Observation> {
        let (answers, balloon_bytes) = self.converse(timeout, |monitor| {
            Ok((monitor.answers()?, monitor.balloon_bytes()?))
        })?;
        let pid = self.record.qemu.map_or(0, |qemu| qemu.pid);
        let usage = Usage::of_process(pid, &answers.ram_blocks);
        let smaps = format!("/proc/{pid}/smaps");
        Ok(Observation {
            state: answers.state,
            balloon_bytes,
            usage: usage.map_err(Error::io("read", Path::new(&smaps)))?,
        })
    }

    /// Asks only for what a list of guests shows.
    ///
    /// # Errors
    ///
    /// As [`Self::observe`].
    pub fn glance(&self, timeout: Duration) -> Result<Glance> {
        let answers = self.converse(timeout, Monitor::answers)?;
        let pid = self.record.qemu.map_or(0, |qemu| qemu.pid);
        let blocks = BlockPages::of_process(pid, &answers.ram_blocks);
        let pagemap = format!("/proc/{pid}/pagemap");
        Ok(Glance {
            state: answers.state,
            blocks: blocks.map_err(Error::io("read", Path::new(&pagemap)))?,
        })
    }

    /// Talks to QEMU for so long at the most.
    fn converse<T>(
        &self,
        timeout: Duration,
        talk: impl FnOnce(&mut Monitor) -> std::result::Result<T, QmpError>,
    ) -> Result<T> {
        let path = self.directory.join(guests::QMP);
        let talked = Monitor::connect(&path, timeout).and_then(|mut monitor| talk(&mut monitor));
        talked.map_err(|source| Error::Monitor {
            guest: self.record.guest.clone(),
            source,
        })
    }
}

struct Answers {
    state: String,
    ram_blocks: String,
}

/// QEMU's monitor, until a point in time.
struct Monitor {
    client: Client,
    start: Instant,
    timeout: Duration,
}

impl Monitor {
    fn connect(path: &Path, timeout: Duration) -> std::result::Result<Self, QmpError> {
        let start = Instant::now();
        Ok(Self {
            client: Client::connect(path, timeout)?,
            start,
            timeout,
        })
    }

    /// With nothing left the next answer is late at once, and says so.
    fn left(&self) -> Duration {
        let left = self.timeout.saturating_sub(self.start.elapsed());
        left.max(Duration::from_millis(1))
    }

    fn answers(&mut self) -> std::result::Result<Answers, QmpError> {
        let status = self.client.begin(&commands::QueryStatus {}, self.left())?;
        let ram_blocks = self.client.begin(&Usage::query(), self.left())?;
        Ok(Answers {
            state: self.client.finish(status, self.left())?.status,
            ram_blocks: self.client.finish(ram_blocks, self.left())?,
        })
    }

    fn balloon_bytes(&mut self) -> std::result::Result<Option<u64>, QmpError> {
        let left = self.left();
        match self.client.execute(&commands::QueryBalloon {}, left) {
            Ok(info) => Ok(Some(info.actual)),
            // There is no balloon, or the guest's driver does not work.
            Err(QmpError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::process::Process;

    #[test]
    fn a_guest_whose_monitor_is_silent_is_given_up_in_time() {
        let root = tempfile::tempdir().unwrap();
        let guests = Guests::open(root.path());
        let keeper = Process::ours().unwrap();
        let [guest, system] = ["web", "LX"];
        let record = Record::new(
            guest.parse().unwrap(),
            system.parse().unwrap(),
            1,
            Path::new("/s"),
            keeper,
        );
        let running = Running::of(&guests, record);
        std::fs::create_dir_all(&running.directory).unwrap();
        let _listener = UnixListener::bind(running.directory.join(guests::QMP)).unwrap();
        let timeout = Duration::from_millis(30);
        let errors = [
            running.observe(timeout).unwrap_err(),
            running.glance(timeout).unwrap_err(),
        ];
        for error in errors {
            let Error::Monitor { source, .. } = error else {
                panic!("{error:?}");
            };
            assert!(matches!(source, QmpError::Timeout { .. }), "{source:?}");
        }
    }
}
