// SPDX-License-Identifier: GPL-2.0

//! The balloon of a guest that is busy: stress-ng, from a segment, while the target changes.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::ensure;
use anyhow::Context as _;
use anyhow::Result;
use onecopy_boot::balloon;
use onecopy_boot::dcss::node;
use onecopy_boot::space::MIB;
use onecopy_boot::Guest;
use onecopy_boot::Options;

use super::cases;
use super::cmm::with_guest;
use super::cmm::LATER;
use super::cmm::PAGE;
use super::cmm::SOON;
use super::ensure_eq;
use super::ext4;
use crate::context::Context;
use crate::context::STRESS;

cases! {
    BuiltIn: a_thousand_random_targets_under_stress_do_no_harm;
}

/// What stress-ng writes files to, so that there is a page cache.
const DISK: u64 = 128 * MIB;

/// How often the target changes, and how long the guest has in between, in milliseconds, at most.
const STEPS: u64 = 1000;
const PAUSE_MS: u64 = 40;

/// How long stress-ng works if nobody ends it, in seconds.
const STRESS_SECONDS: &str = "1800";

/// Where the numbers begin: a failure can be repeated.
const SEED: u64 = 0x5eed;

/// The next number of a sequence that looks random (SplitMix64).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn a_thousand_random_targets_under_stress_do_no_harm(context: &Context) -> Result<()> {
    let directory = context.directory()?;
    let (disk, empty) = (directory.path().join("disk"), directory.path().join("root"));
    fs::create_dir(&empty)?;
    ext4::format(&disk, DISK, &empty)?;
    let mut options = Options::default().cpus(2).watch_leaks().module("ext4");
    options.disks.push(disk);
    let options = options
        .space(&context.stress()?)
        .append(&format!("dcss.segments={STRESS}"));

    with_guest(context, &options, true, |guest, size| {
        guest.load(context.kernel(), "ext4", "")?;
        guest.run("mount", &["erofs", &node(STRESS), "/mnt", "ro,dax=always"])?;
        guest.run("mount", &["ext4", "/dev/vda", "/tmp", ""])?;
        start(guest)?;
        shrink_at_random(guest, size)?;
        let taken = guest.cmm_counter("reported_pages")? + guest.cmm_counter("inflated_pages")?;
        let returned = guest.cmm_counter("returned_pages")?;
        // The driver need not follow each step, but more than once through the guest's memory.
        let least = size / PAGE * 2;
        ensure!(
            taken > least && returned > least / 2,
            "{taken} pages taken, {returned} returned"
        );

        // The host wants something at the end, gets all of it, and gives it back.
        let target = size - 100 * MIB;
        guest.resize(target, LATER)?;
        ensure_eq!(guest.vm_number("cmm_pages")?, 100 * MIB / PAGE);
        end(guest)?;
        ensure_eq!(guest.balloon()?, target);
        ensure_eq!(guest.dmesg("Out of memory")?, Vec::<String>::new());
        ensure!(guest
            .run("read", &["/proc/vmstat"])?
            .lines
            .contains(&"oom_kill 0".to_owned()));
        nothing_is_left_behind(context, guest, size)
    })
}

fn start(guest: &mut Guest) -> Result<()> {
    let words = "stress /mnt/lib/ld-linux-x86-64.so.2 --library-path /mnt/lib /mnt/bin/stress-ng \
                 --temp-path /tmp --vm 1 --vm-bytes 48M --fork 2 --hdd 1 --hdd-bytes 64M \
                 --oomable --timeout";
    let mut words: Vec<&str> = words.split(' ').filter(|word| !word.is_empty()).collect();
    words.push(STRESS_SECONDS);
    guest.run("spawn", &words)?;
    Ok(())
}

fn end(guest: &mut Guest) -> Result<()> {
    ensure_eq!(guest.run("poll", &["stress"])?.text, "running");
    guest.run("interrupt", &["stress"])?;
    let answer = guest.run("stop", &["stress"])?;
    ensure_eq!(answer.text, "exit=0", "{:?}", answer.lines);
    for stressor in ["vm (1)", "fork (2)", "hdd (1)"] {
        let passed = answer
            .lines
            .iter()
            .any(|line| line.contains("passed:") && line.contains(stressor));
        ensure!(passed, "{stressor} did not pass: {:?}", answer.lines);
    }
    Ok(())
}

/// Targets between nothing and three quarters of the guest, some of them out of reach.
fn shrink_at_random(guest: &mut Guest, size: u64) -> Result<()> {
    let mut state = SEED;
    for _ in 0..STEPS {
        let shrink = random(&mut state) % (size / 4 * 3 / MIB) * MIB;
        guest.set_balloon(size - shrink)?;
        thread::sleep(Duration::from_millis(random(&mut state) % PAUSE_MS));
    }
    Ok(())
}

/// Without the driver all pages are the guest's again.
fn nothing_is_left_behind(context: &Context, guest: &mut Guest, size: u64) -> Result<()> {
    if context.kernel().has("VIRTIO_CMM") {
        let driver = "/sys/bus/virtio/drivers/cmm";
        let entries = guest.run("ls", &[driver])?.lines;
        let device = entries.iter().find(|entry| entry.starts_with("virtio"));
        let device = device.context("no device is bound")?;
        guest.write(&format!("{driver}/unbind"), device)?;
    } else {
        guest.run("rmmod", &[balloon::CMM])?;
    }
    guest.wait_balloon(size, SOON)?;
    ensure_eq!(guest.meminfo_kib("Balloon")?, 0);
    guest.run("umount", &["/tmp"])?;
    guest.run("umount", &["/mnt"])?;
    guest.detach(STRESS)?;
    Ok(())
}
