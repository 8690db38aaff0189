// SPDX-License-Identifier: GPL-2.0

//! What guests do all day: programs, modules, the network, groups of processes, mounts, and too little
//! memory. Nobody looks at them: there is no profiler and no tracer.

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;

use crate::balloon;
use crate::saved::SavedSystem;
use crate::Guest;
use crate::Kernel;

/// Where groups of processes are made.
const GROUPS: &str = "/groups";

/// How many processes start at once, and how often.
const STORM: [u32; 2] = [8, 8];

/// Lets a guest do all that. It has a network card.
///
/// # Errors
///
/// When something of it fails; the guest's last words are in the error.
pub fn run(guest: &mut Guest, system: &SavedSystem, kernel: &Kernel) -> Result<()> {
    let mut all = || {
        programs(guest).context("programs")?;
        modules(guest, system, kernel).context("modules")?;
        network(guest).context("network")?;
        groups(guest).context("groups")?;
        mounts(guest)?;
        pressure(guest).context("pressure")
    };
    let result: Result<()> = all();
    Ok(result.map_err(|error| guest.failure(error))?)
}

/// Starts several programs at once, again and again.
fn programs(guest: &mut Guest) -> Result<()> {
    let [processes, rounds] = STORM.map(|count| count.to_string());
    let answer = guest.run("applet", &["storm", &processes, &rounds])?;
    let ended = STORM.iter().product::<u32>().to_string();
    ensure!(answer.value("ended") == Some(&ended), "{answer:?}");
    Ok(())
}

fn modules(guest: &mut Guest, system: &SavedSystem, kernel: &Kernel) -> Result<()> {
    system.plug_balloon(guest, kernel)?;
    for _ in 0..3 {
        guest.run("rmmod", &[balloon::CMM])?;
        guest.load(kernel, balloon::CMM, "")?;
    }
    Ok(())
}

fn network(guest: &mut Guest) -> Result<()> {
    guest.run("interface-up", &["lo", "127.0.0.1"])?;
    guest.run("loopback", &["10000000"])?;
    guest.wait_until("the card has its driver", |guest| {
        Ok(guest.exists("/sys/class/net/eth0")?)
    })?;
    guest.run("interface-up", &["eth0", "10.0.2.15"])?;
    for _ in 0..10 {
        guest.run("send", &["10.0.2.2", "9"])?;
    }
    Ok(())
}

fn groups(guest: &mut Guest) -> Result<()> {
    guest.run("mount", &["cgroup2", "none", GROUPS, ""])?;
    guest.write(&format!("{GROUPS}/cgroup.subtree_control"), "+memory +pids")?;
    let group = format!("{GROUPS}/group");
    guest.run("mkdir", &[&group])?;
    guest.write(&format!("{group}/memory.max"), "64M")?;
    // The first process, and with it what it starts.
    guest.write(&format!("{group}/cgroup.procs"), "1")?;
    guest.run("applet", &["hog", "16"])?;
    guest.write(&format!("{GROUPS}/cgroup.procs"), "1")?;
    guest.run("rmdir", &[&group])?;
    Ok(())
}

fn mounts(guest: &mut Guest) -> Result<()> {
    guest.run("mount", &["tmpfs", "none", "/mnt", ""])?;
    guest.run("umount", &["/mnt"])?;
    Ok(())
}

/// Wants more memory than there is, so that everything else has to give way.
fn pressure(guest: &mut Guest) -> Result<()> {
    let available = guest.meminfo_kib("MemAvailable")? / 1024;
    guest.run("applet", &["hog", &(available - 16).to_string()])?;
    Ok(())
}
