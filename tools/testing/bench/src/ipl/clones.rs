// SPDX-License-Identifier: GPL-2.0

//! What no two guests of a saved system may have in common.

use std::collections::BTreeSet;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use onecopy_boot::saved::SavedSystem;
use onecopy_boot::Guest;
use onecopy_system::ResourceOptions;

/// How many guests are compared with each other.
pub(super) const CLONES: usize = 100;

/// Files with a value that each guest has for itself.
const FILES: [&str; 4] = [
    "/proc/sys/kernel/random/uuid",
    "/proc/sys/kernel/random/boot_id",
    "/sys/firmware/ipl/machine_id",
    "/sys/firmware/ipl/mac0",
];

/// What the guest's program gets from getrandom(2).
const GETRANDOM: &str = "getrandom";

/// Returns how many of the values that no two guests may share are different, in percent.
pub(super) fn distinct_percent(system: &SavedSystem) -> Result<f64> {
    let mut seen = BTreeSet::new();
    for number in 0..CLONES {
        let name = format!("clone{number}");
        // What the card is connected to does not matter; the address is drawn for it.
        let nics = vec!["user,restrict=on".parse()?];
        let mut guest = system.ipl_with_nics(&name, ResourceOptions::default(), nics)?;
        let apart = guest.clock_error()?;
        ensure!(apart < 1.0, "{name}: the clock is {apart} s off");
        for (what, value) in secrets(&mut guest)? {
            seen.insert((what, value));
        }
    }
    Ok(100.0 * seen.len() as f64 / (CLONES * (FILES.len() + 1)) as f64)
}

fn secrets(guest: &mut Guest) -> Result<Vec<(&'static str, String)>> {
    let mut secrets = vec![(GETRANDOM, guest.run(GETRANDOM, &[])?.text)];
    for file in FILES {
        let value = guest.read(file).with_context(|| file.to_owned())?;
        secrets.push((file, value));
    }
    Ok(secrets)
}
