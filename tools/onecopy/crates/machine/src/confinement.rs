// SPDX-License-Identifier: GPL-2.0

//! What a QEMU may do on the host.

use std::fmt;
use std::path::Path;
use std::process::Command;

use crate::error::Error;
use crate::machine::check;
use crate::options::Sandbox;
use crate::options::Switch;
use crate::user::Needed;
use crate::user::User;
use crate::Result;

/// The limits of a QEMU.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confinement {
    /// Its filter of system calls.
    pub sandbox: Sandbox,
    /// The user that it runs as; [`None`] is our own.
    pub user: Option<User>,
}

impl Confinement {
    /// Lets QEMU open a file of ours, see [`User::lend`]. Without a user of its own it can.
    ///
    /// # Errors
    ///
    /// When the permissions cannot be changed.
    pub fn lend(&self, path: &Path, write: bool) -> Result<()> {
        let Some(user) = &self.user else {
            return Ok(());
        };
        let doing = format!("let user {} open {}", user.name, path.display());
        user.lend(path, write).map_err(Error::io(doing))
    }

    /// Makes sure that QEMU can open files that are plugged later.
    ///
    /// # Errors
    ///
    /// When its user cannot open one of them.
    pub fn check(&self, files: &[Needed]) -> Result<()> {
        match &self.user {
            Some(user) => check(files, user),
            None => Ok(()),
        }
    }

    /// Adds the limits to a command without arguments.
    pub(crate) fn apply(&self, command: &mut Command) {
        let mut args = Vec::new();
        self.sandbox.add_to(&mut args);
        command.args(args);
        if let Some(user) = &self.user {
            user.apply(command);
        }
    }
}

impl fmt::Display for Confinement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sandbox {}", self.sandbox)?;
        match &self.user {
            Some(user) => write!(f, ", user {}", user.name),
            None => Ok(()),
        }
    }
}
