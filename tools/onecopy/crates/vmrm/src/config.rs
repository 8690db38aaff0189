// SPDX-License-Identifier: GPL-2.0

//! What the administrator wants: a file in TOML, in the spirit of VMRM's `NOTIFY MEMORY`.

mod file;

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use onecopy_directory::Misplaced;
pub use onecopy_system::guests::Pattern;
pub use onecopy_system::guests::PatternError;

use crate::amount::Amount;
use crate::amount::Percent;
use crate::policy::GuestRules;
use crate::policy::HostRules;
use crate::policy::Rules;

/// The longest file, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// What the administrator wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Below which directory `proc` and `sys` of the host are.
    pub root: PathBuf,
    /// The group of processes whose limit counts, if it is not that of the host.
    pub cgroup: Option<PathBuf>,
    /// The time from one round to the next.
    pub interval: Duration,
    /// When guests are squeezed.
    pub host: HostRules,
    /// The guests that are told to shrink.
    pub notify: Vec<Pattern>,
    /// What holds for guests that nothing else is said of.
    pub default: GuestRules,
    /// What holds for others: the first whose pattern fits.
    pub guests: Vec<(Pattern, GuestRules)>,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("Cannot read the configuration {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is not TOML, or something in it is not what is expected.
    #[error("{}:{}:{}: {}", .path.display(), .mistake.line, .mistake.column, .mistake.message)]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong in it, and where.
        mistake: Misplaced,
    },
}

impl Default for Config {
    fn default() -> Self {
        Self {
            root: PathBuf::from("/"),
            cgroup: None,
            interval: Duration::from_secs(5),
            host: HostRules {
                low: Amount::share(1000),
                high: Amount::share(1500),
                ease: Amount::share(2000),
                squeeze_pressure: Percent::hundredths(1000),
                ease_pressure: Percent::hundredths(100),
                ease_rounds: 3,
                step: Amount::share(200),
            },
            notify: vec![Pattern::all()],
            default: GuestRules {
                floor: Amount::share(2500),
                headroom: Amount::Bytes(64 << 20),
                weight: 1,
            },
            guests: Vec::new(),
        }
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or says something wrong; then the place is in the error.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Read {
            path: path.to_owned(),
            source,
        };
        let size_bytes = fs::metadata(path).map_err(unreadable)?.len();
        if size_bytes > MAX_BYTES {
            return Err(unreadable(io::ErrorKind::FileTooLarge.into()));
        }
        let text = fs::read_to_string(path).map_err(unreadable)?;
        file::parse(&text).map_err(|mistake| ConfigError::Form {
            path: path.to_owned(),
            mistake,
        })
    }

    /// Returns the guests that are named without a pattern, in the order of the file.
    pub fn named_guests(&self) -> Vec<&str> {
        let guests = self.guests.iter().map(|(pattern, _)| pattern);
        let mut names: Vec<&str> = Vec::new();
        for name in self.notify.iter().chain(guests).filter_map(Pattern::name) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

impl Rules for Config {
    fn host(&self) -> &HostRules {
        &self.host
    }

    fn guest(&self, name: &str) -> Option<GuestRules> {
        if !self.notify.iter().any(|pattern| pattern.fits(name)) {
            return None;
        }
        let of_its_own = self.guests.iter().find(|(pattern, _)| pattern.fits(name));
        Some(of_its_own.map_or(self.default, |(_, rules)| *rules))
    }
}
