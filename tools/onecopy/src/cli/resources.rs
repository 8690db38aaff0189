// SPDX-License-Identifier: GPL-2.0

//! What a guest has beside the saved machine: the options of `ipl` and of `partition define`.

use std::str::FromStr;

use clap::Args;
use onecopy_format::resources;
use onecopy_store::Group;
use onecopy_system::NicError;
use onecopy_system::NicOptions;

use super::disk::DiskArg;
use crate::segments::Wanted;
use crate::size;

/// What a guest has.
#[derive(Debug, Args)]
pub(crate) struct ResourceArgs {
    /// Guest memory; more than was saved, in steps of 128M, is plugged
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(crate) memory: Option<u64>,

    /// Virtual processors; more than one are plugged
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) cpus: u32,

    /// Attach a segment; see the verb boot. Its driver finds the names in the guest's command line
    #[arg(long = "segment", value_name = "NAME")]
    pub(crate) segments: Vec<Wanted>,

    /// Refuse a system that is not of this trust group; segments must be of the system's group in any case
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Option<Group>,

    /// Plug a network card. What it is connected to is said as to -netdev of QEMU, for example
    /// user or tap,ifname=tap0,script=no; mac=ADDRESS gives it that address instead of a random
    /// one
    #[arg(long = "nic", value_name = "NETDEV")]
    pub(crate) nics: Vec<NicArg>,

    /// Plug a balloon, by which the guest gives memory back that the host needs more; see the
    /// verb vmrm
    #[arg(long)]
    pub(crate) balloon: bool,

    /// Plug a channel for messages to the guest's kernel; see the verb smsg
    #[arg(long)]
    pub(crate) smsg: bool,

    /// Plug a disk: qcow2 if the name ends so, else raw. With ,readonly behind the name the guest
    /// cannot write to it
    #[arg(long = "disk", value_name = "FILE[,readonly]")]
    pub(crate) disks: Vec<DiskArg>,

    /// Add this to the command line that user space sees; behind =, replace it
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) parm: Option<String>,

    /// Host name; the guest's name by default
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,

    /// The machine-id, 32 hexadecimal digits; a random one by default
    #[arg(long, value_name = "ID")]
    pub(crate) machine_id: Option<String>,

    /// Tell the guest, below /sys/firmware/ipl
    #[arg(long = "resource", value_name = "KEY=VALUE", value_parser = parse_resource)]
    pub(crate) others: Vec<(String, String)>,

    /// Keep the host from backing the guest's memory with huge pages: an idle guest takes less
    /// than 1 MiB instead of some, and a busy one runs slower under KVM
    #[arg(long)]
    pub(crate) small_pages: bool,
}

/// A network card, and how it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NicArg {
    pub(crate) text: String,
    pub(crate) options: NicOptions,
}

impl FromStr for NicArg {
    type Err = NicError;

    fn from_str(text: &str) -> Result<Self, NicError> {
        Ok(Self {
            text: text.to_owned(),
            options: text.parse()?,
        })
    }
}

fn parse_resource(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE is expected")?;
    if !resources::is_key(key) {
        return Err("a key has 1 to 32 of a-z 0-9 _ - .".to_owned());
    }
    if !resources::is_value(value) {
        return Err("a value has at most 1024 characters and no end of a line".to_owned());
    }
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_has_a_key() {
        let pair = |key: &str, value: &str| Ok((key.to_owned(), value.to_owned()));
        assert_eq!(parse_resource("role=a=b"), pair("role", "a=b"));
        for text in ["role", "Role=a", "=a", "role=a\nb"] {
            assert!(parse_resource(text).is_err(), "{text}");
        }
    }
}
