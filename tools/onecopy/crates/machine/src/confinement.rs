// SPDX-License-Identifier: GPL-2.0

//! What a QEMU may do on the host.

use std::fmt;
use std::process::Command;

use crate::options::Sandbox;
use crate::options::Switch;

/// The limits of a QEMU.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confinement {
    /// Its filter of system calls.
    pub sandbox: Sandbox,
}

impl Confinement {
    /// Adds the limits to a command without arguments.
    pub(crate) fn apply(&self, command: &mut Command) {
        let mut args = Vec::new();
        self.sandbox.add_to(&mut args);
        command.args(args);
    }
}

impl fmt::Display for Confinement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sandbox {}", self.sandbox)
    }
}
