// SPDX-License-Identifier: GPL-2.0

//! `onecopy vmrm check`

use onecopy_system::Guests;
use onecopy_vmrm::policy::Rules;
use onecopy_vmrm::pressure::Pressure;

use super::read;
use super::source;
use crate::cli::VmrmCheckArgs;
use crate::outcome::Checked;
use crate::outcome::CheckedGuest;

/// Checks a configuration, also whether the memory of the host can be read as it says.
pub(in crate::commands) fn run(args: &VmrmCheckArgs, guests: &Guests) -> anyhow::Result<Checked> {
    let path = args.config.config.as_deref();
    let config = read(path)?;
    let host = Pressure::open(&config.root, config.cgroup.as_deref())?.read()?;
    let running = guests.list()?;
    let guest = |name: &str, memory_bytes: u64| {
        let rules = config.guest(name);
        CheckedGuest::new(name, memory_bytes, rules)
    };
    let checked = running
        .iter()
        .map(|record| guest(record.guest.as_str(), record.memory_bytes))
        .collect();
    let is_missing = |name: &&str| !running.iter().any(|record| record.guest.as_str() == *name);
    let missing = config.named_guests().into_iter().filter(is_missing);
    Ok(Checked {
        config: source(path),
        missing: missing.map(str::to_owned).collect(),
        guests: checked,
        host,
    })
}
