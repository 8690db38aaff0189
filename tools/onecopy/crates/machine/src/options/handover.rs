// SPDX-License-Identifier: GPL-2.0

//! What a guest gets from its host at its start.

use std::ffi::OsString;
use std::path::PathBuf;

use super::push;
use super::Params;
use super::Switch;

/// `-fw_cfg`: a file of the host that the guest can read by a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FwCfg {
    /// The name for the guest; it begins with `opt/` and the domain of its inventor.
    pub name: String,
    /// The file, which QEMU reads at its start.
    pub file: PathBuf,
}

impl Switch for FwCfg {
    fn add_to(&self, args: &mut Vec<OsString>) {
        let value = Params::default()
            .with("name", &self.name)
            .with("file", &self.file);
        push(args, "-fw_cfg", value);
    }
}

/// `-add-fd`: a file that QEMU inherits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddFd {
    /// Its number.
    pub fd: i32,
    /// The set that it is in, as `/dev/fdset/N`.
    pub set: u32,
    /// What it is, for people.
    pub name: PathBuf,
}

impl Switch for AddFd {
    fn add_to(&self, args: &mut Vec<OsString>) {
        let value = Params::default()
            .with("fd", self.fd.to_string())
            .with_number("set", self.set.into())
            .with("opaque", &self.name);
        push(args, "-add-fd", value);
    }
}

/// `-incoming defer`: the guest does not start, its state comes from elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct IncomingDefer;

impl Switch for IncomingDefer {
    fn add_to(&self, args: &mut Vec<OsString>) {
        push(args, "-incoming", "defer");
    }
}
