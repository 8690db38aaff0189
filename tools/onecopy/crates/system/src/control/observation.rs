// SPDX-License-Identifier: GPL-2.0

//! What a guest is doing and what it costs, in one session of its monitor.

use std::path::Path;
use std::time::Duration;
use std::time::Instant;

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
        let path = self.directory.join(guests::QMP);
        let answers = ask(&path, timeout).map_err(|source| Error::Monitor {
            guest: self.record.guest.clone(),
            source,
        })?;
        let pid = self.record.qemu.map_or(0, |qemu| qemu.pid);
        let usage = Usage::of_process(pid, &answers.ram_blocks);
        let smaps = format!("/proc/{pid}/smaps");
        Ok(Observation {
            state: answers.state,
            balloon_bytes: answers.balloon_bytes,
            usage: usage.map_err(Error::io("read", Path::new(&smaps)))?,
        })
    }
}

struct Answers {
    state: String,
    balloon_bytes: Option<u64>,
    ram_blocks: String,
}

fn ask(path: &Path, timeout: Duration) -> std::result::Result<Answers, QmpError> {
    let start = Instant::now();
    // With nothing left the next answer is late at once, and says so.
    let left = || {
        let left = timeout.saturating_sub(start.elapsed());
        left.max(Duration::from_millis(1))
    };
    let mut client = Client::connect(path, timeout)?;
    Ok(Answers {
        state: client.execute(&commands::QueryStatus {}, left())?.status,
        balloon_bytes: match client.execute(&commands::QueryBalloon {}, left()) {
            Ok(info) => Some(info.actual),
            // There is no balloon, or the guest's driver does not work.
            Err(QmpError::Refused { .. }) => None,
            Err(error) => return Err(error),
        },
        ram_blocks: client.execute(&Usage::query(), left())?,
    })
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
        let error = running.observe(Duration::from_millis(30)).unwrap_err();
        let late = |error: &Error| match error {
            Error::Monitor { source, .. } => matches!(source, QmpError::Timeout { .. }),
            _ => false,
        };
        assert!(late(&error), "{error:?}");
    }
}
