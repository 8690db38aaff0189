// SPDX-License-Identifier: GPL-2.0

//! Which system calls QEMU keeps for itself once it has started.

use std::ffi::OsString;
use std::fmt;
use std::str::FromStr;

use super::push;
use super::Params;
use super::Switch;

/// `-sandbox`: QEMU's filter of system calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sandbox {
    /// No system calls that nobody needs any more, that get other rights, that start programs, or
    /// that change priorities.
    #[default]
    On,
    /// As [`Self::On`], but programs may be started: helpers of network cards.
    Spawn,
    /// All system calls.
    Off,
}

/// A word that is not a kind of sandbox.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not one of on, spawn, off")]
pub struct UnknownSandbox(String);

impl FromStr for Sandbox {
    type Err = UnknownSandbox;

    fn from_str(word: &str) -> Result<Self, UnknownSandbox> {
        match word {
            "on" => Ok(Self::On),
            "spawn" => Ok(Self::Spawn),
            "off" => Ok(Self::Off),
            other => Err(UnknownSandbox(other.to_owned())),
        }
    }
}

impl fmt::Display for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::On => "on",
            Self::Spawn => "spawn",
            Self::Off => "off",
        })
    }
}

impl Switch for Sandbox {
    fn add_to(&self, args: &mut Vec<OsString>) {
        let spawn = match self {
            Self::On => "deny",
            Self::Spawn => "allow",
            Self::Off => return,
        };
        let value = Params::new("on")
            .with("obsolete", "deny")
            .with("elevateprivileges", "deny")
            .with("spawn", spawn)
            .with("resourcecontrol", "deny");
        push(args, "-sandbox", value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(sandbox: Sandbox) -> String {
        let mut args = Vec::new();
        sandbox.add_to(&mut args);
        args.join(std::ffi::OsStr::new(" ")).into_string().unwrap()
    }

    #[test]
    fn all_that_can_be_denied_is_denied_by_default() {
        assert_eq!(
            arguments(Sandbox::default()),
            "-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
        );
        assert!(arguments(Sandbox::Spawn).contains(",elevateprivileges=deny,spawn=allow,"));
        assert_eq!(arguments(Sandbox::Off), "");
    }

    #[test]
    fn sandboxes_are_spelled_as_they_are_shown() {
        for word in ["on", "spawn", "off"] {
            assert_eq!(word.parse::<Sandbox>().unwrap().to_string(), word);
        }
        let error = "no".parse::<Sandbox>().unwrap_err();
        assert_eq!(error.to_string(), "\"no\" is not one of on, spawn, off");
    }
}
