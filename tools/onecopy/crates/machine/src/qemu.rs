// SPDX-License-Identifier: GPL-2.0

//! The emulator on this host: where it is and whether it is new enough.

use std::fmt;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;

use crate::confinement::Confinement;
use crate::options::Sandbox;
use crate::options::Switch;
use onecopy_child::output_within;
use onecopy_child::DEADLINE;

/// The oldest QEMU whose options and commands we use.
const MINIMUM: Version = Version {
    major: 10,
    minor: 0,
    micro: 0,
};

/// Name of the emulator for x86-64 guests.
const PROGRAM: &str = "qemu-system-x86_64";

/// A QEMU version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Micro number.
    pub micro: u32,
}

impl Version {
    /// Reads the version from what `--version` prints.
    fn from_banner(banner: &str) -> Option<Self> {
        let word = banner
            .lines()
            .next()?
            .split_once("version ")?
            .1
            .split_whitespace()
            .next()?;
        word.parse().ok()
    }
}

impl FromStr for Version {
    type Err = ();

    /// Reads three numbers with points between them.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut numbers = text.split('.').map(|number| number.parse().map_err(|_| ()));
        let mut next = || numbers.next().ok_or(())?;
        let version = Self {
            major: next()?,
            minor: next()?,
            micro: next()?,
        };
        numbers.next().map_or(Ok(version), |_| Err(()))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

/// Why QEMU cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum QemuError {
    /// The program cannot be run.
    #[error("Cannot run {}; install QEMU {MINIMUM} or later (package qemu-system-x86)", .path.display())]
    CannotRun {
        /// What was tried.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The program does not say a version.
    #[error("{} does not say its version; it said: {said}", .path.display())]
    NoVersion {
        /// What was tried.
        path: PathBuf,
        /// Its answer.
        said: String,
    },
    /// The program is too old.
    #[error("{} is QEMU {found}; {MINIMUM} or later is needed", .path.display())]
    TooOld {
        /// What was tried.
        path: PathBuf,
        /// Its version.
        found: Version,
    },
}

/// A QEMU that is new enough.
#[derive(Debug, Clone)]
pub struct Qemu {
    path: PathBuf,
    version: Version,
    confinement: Confinement,
}

impl Qemu {
    /// Finds `qemu-system-x86_64` on `PATH` and checks its version.
    pub fn find() -> Result<Self, QemuError> {
        Self::at(Path::new(PROGRAM))
    }

    /// Checks the version of the given program.
    pub fn at(path: &Path) -> Result<Self, QemuError> {
        let mut command = Command::new(path);
        command.arg("--version");
        let output = output_within(command, DEADLINE).map_err(|source| QemuError::CannotRun {
            path: path.to_owned(),
            source,
        })?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let Some(found) = Version::from_banner(&said) else {
            return Err(QemuError::NoVersion {
                path: path.to_owned(),
                said,
            });
        };
        if found < MINIMUM {
            return Err(QemuError::TooOld {
                path: path.to_owned(),
                found,
            });
        }
        Ok(Self {
            path: path.to_owned(),
            version: found,
            confinement: Confinement::default(),
        })
    }

    /// Takes a program for this version without running it, which saves some time; see
    /// [`crate::Machine::version`].
    pub fn assumed(path: Option<&Path>, version: Version) -> Self {
        Self {
            path: path.unwrap_or(Path::new(PROGRAM)).to_owned(),
            version,
            confinement: Confinement::default(),
        }
    }

    /// Returns the same program, which is to run with these limits.
    #[must_use]
    pub fn confined(self, confinement: &Confinement) -> Self {
        Self {
            confinement: confinement.clone(),
            ..self
        }
    }

    /// A QEMU that is never run.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self {
            path: PathBuf::from(PROGRAM),
            version: MINIMUM,
            confinement: Confinement::default(),
        }
    }

    /// Returns the program's path, or its name when it is searched on `PATH`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns what the program may do.
    pub fn confinement(&self) -> &Confinement {
        &self.confinement
    }

    /// Returns a command that starts the program with its limits; the guest is still to be said.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        self.confinement.apply(&mut command);
        command
    }

    /// Says whether the program was built with its sandbox.
    ///
    /// # Errors
    ///
    /// When it was not, with what it said; or it cannot be run.
    pub fn check_sandbox(&self) -> Result<(), String> {
        let mut args = Vec::new();
        Sandbox::On.add_to(&mut args);
        args.extend(["-machine", "help"].map(Into::into));
        let mut command = Command::new(&self.path);
        command.args(args);
        match output_within(command, DEADLINE) {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Returns the version.
    pub fn version(&self) -> Version {
        self.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_read_from_distribution_banners() {
        for (banner, expected) in [
            (
                "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright",
                Some((10, 0, 2)),
            ),
            ("QEMU emulator version 9.2.91\n", Some((9, 2, 91))),
            ("QEMU emulator version ten\n", None),
            ("", None),
        ] {
            let found = Version::from_banner(banner).map(|v| (v.major, v.minor, v.micro));
            assert_eq!(found, expected, "{banner}");
        }
    }

    #[test]
    fn older_versions_compare_less() {
        assert!(
            Version {
                major: 9,
                minor: 2,
                micro: 91
            } < MINIMUM
        );
        assert!(
            Version {
                major: 10,
                minor: 0,
                micro: 0
            } >= MINIMUM
        );
    }
}
