// SPDX-License-Identifier: GPL-2.0

//! The state of a stopped machine in a file, with all its memory or without what files hold anyway.

use std::path::Path;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use super::Machine;
use crate::error::Error;
use crate::qmp::commands;
use crate::Result;

/// How often QEMU is asked how far it is. Loading a state takes some milliseconds.
const TICK: Duration = Duration::from_millis(1);

/// Which memory a state has in it, beside the devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ram {
    /// All.
    All,
    /// What is not a shared mapping of a file. A private mapping of a file that is opened for
    /// reading counts as shared too.
    NotShared,
}

impl Ram {
    /// Returns the property of migrations that says so.
    pub fn capability(self) -> commands::MigrateSetCapabilities {
        commands::MigrateSetCapabilities {
            capabilities: vec![commands::Capability {
                capability: "x-ignore-shared",
                state: self == Self::NotShared,
            }],
        }
    }
}

impl Machine {
    /// Writes the state to `path`.
    ///
    /// The machine must have been stopped.
    ///
    /// # Errors
    ///
    /// When QEMU cannot write it, or not within `timeout`.
    pub fn save_state(&mut self, path: &Path, ram: Ram, timeout: Duration) -> Result<()> {
        if let Some(user) = &self.confinement.user {
            // He cannot create files in directories of ours.
            user.create_lent(path)
                .map_err(Error::io(format!("create {}", path.display())))?;
        }
        self.execute(&ram.capability())?;
        self.execute(&commands::Migrate {
            uri: state_uri(path)?,
        })?;
        self.poll("saving the state", timeout, |machine| {
            let migration = machine.execute(&commands::QueryMigrate {})?;
            match migration.outcome() {
                Some(Err(reason)) => Err(machine.state_error("save", reason)),
                Some(Ok(())) => Ok(Some(())),
                None => Ok(None),
            }
        })
    }

    /// Loads the state that [`Self::save_state`] has written with the same `ram` into a machine that
    /// waits for one, and leaves the machine stopped.
    ///
    /// # Errors
    ///
    /// When QEMU does not take it; it ends then.
    pub fn load_state(&mut self, path: &Path, ram: Ram, timeout: Duration) -> Result<()> {
        self.execute(&ram.capability())?;
        self.execute(&commands::MigrateIncoming {
            uri: state_uri(path)?,
        })?;
        self.poll("loading the state", timeout, |machine| {
            let status = machine.execute(&commands::QueryStatus {})?.status;
            match status.as_str() {
                "inmigrate" => Ok(None),
                "paused" => Ok(Some(())),
                other => Err(machine.state_error("load", format!("the guest is {other}"))),
            }
        })
    }

    fn poll(
        &mut self,
        doing: &str,
        timeout: Duration,
        mut look: impl FnMut(&mut Self) -> Result<Option<()>>,
    ) -> Result<()> {
        let start = Instant::now();
        loop {
            self.interrupt.check()?;
            if let Some(found) = look(self)? {
                return Ok(found);
            }
            if start.elapsed() >= timeout {
                return Err(Error::Timeout {
                    doing: doing.to_owned(),
                    waited: timeout,
                    report: Box::new(self.report()),
                });
            }
            thread::sleep(TICK);
        }
    }

    fn state_error(&mut self, verb: &'static str, reason: String) -> Error {
        Error::State {
            verb,
            reason,
            report: Box::new(self.report()),
        }
    }
}

/// Returns QEMU's word for a file that holds a state. QEMU takes what follows a comma for an option, and has no way
/// to quote one.
///
/// # Errors
///
/// When the path has a comma, or is not UTF-8.
pub fn state_uri(path: &Path) -> Result<String> {
    match path.to_str() {
        Some(text) if !text.contains(',') => Ok(format!("file:{text}")),
        _ => Err(Error::Path {
            path: path.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_qemu_would_misunderstand_is_refused() {
        assert_eq!(state_uri(Path::new("/s/state")).unwrap(), "file:/s/state");
        assert!(state_uri(Path::new("/s/a,offset=4/state")).is_err());
    }
}
