// SPDX-License-Identifier: GPL-2.0

//! `onecopy vmrm`

pub(in crate::commands) mod check;
pub(in crate::commands) mod run;
pub(in crate::commands) mod simulate;

use std::io;
use std::path::Path;
use std::path::PathBuf;

use onecopy_vmrm::config::Config;
use onecopy_vmrm::config::ConfigError;

/// The configuration unless something else is said.
const DEFAULT_CONFIG: &str = "/etc/onecopy/vmrm.toml";

/// Reads the configuration that was named; or the usual one, if there is one.
fn read(path: Option<&Path>) -> Result<Config, ConfigError> {
    match path {
        Some(path) => Config::read(path),
        None => match Config::read(Path::new(DEFAULT_CONFIG)) {
            Err(ConfigError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(Config::default())
            }
            read => read,
        },
    }
}

/// Returns the file that was read, if there is one.
fn source(path: Option<&Path>) -> Option<PathBuf> {
    let path = path.unwrap_or(Path::new(DEFAULT_CONFIG));
    path.exists().then(|| path.to_owned())
}
