// SPDX-License-Identifier: GPL-2.0

//! The balloon and processes that want more memory than it has left.

use std::time::Duration;
use std::time::Instant;

use anyhow::ensure;
use anyhow::Result;
use onecopy_boot::space::MIB;
use onecopy_boot::Guest;
use onecopy_boot::Options;

use super::cases;
use super::cmm::with_guest;
use super::cmm::LATER;
use super::cmm::SOON;
use super::ensure_eq;
use crate::context::Context;

cases! {
    BuiltIn:
        a_hog_gets_memory_back_before_anything_is_killed,
        a_hog_that_comes_while_memory_is_taken_survives;
}

/// How much longer a hog may take when its memory has to come back first.
const RETURNED: Duration = Duration::from_secs(1);

fn a_hog_gets_memory_back_before_anything_is_killed(context: &Context) -> Result<()> {
    with_guest(
        context,
        &Options::default().watch_leaks(),
        true,
        |guest, size| {
            // What is left is more than the floor, and less than the hog wants.
            let left = 96;
            let hog = (left + 96).to_string();
            let mut alone = Vec::new();
            for _ in 0..3 {
                alone.push(time_of_hog(guest, &hog)?);
            }
            let shrink = (guest.meminfo_kib("MemAvailable")? / 1024 - left) * MIB;
            let mut pressed = Vec::new();
            for _ in 0..3 {
                guest.resize(size - shrink, LATER)?;
                pressed.push(time_of_hog(guest, &hog)?);
            }
            let (pressed, alone) = (median(pressed), median(alone));
            let factor = if context.kernel().is_debug() { 5 } else { 1 };
            ensure!(
                pressed <= alone + RETURNED * factor,
                "{pressed:?} with a balloon, {alone:?} without"
            );
            ensure_eq!(guest.dmesg("Out of memory")?, Vec::<String>::new());
            let returned =
                guest.cmm_counter("oom_pages")? + guest.cmm_counter("reclaimed_pages")?;
            ensure!(returned > 0, "nothing was given back");
            // The target still stands.
            guest.wait_balloon(size - shrink, LATER)?;
            guest.resize(size, SOON)?;
            Ok(())
        },
    )
}

/// Lets a hog do its work, and returns how long that took.
fn time_of_hog(guest: &mut Guest, mib: &str) -> Result<Duration> {
    let start = Instant::now();
    let answer = guest.run("applet", &["hog", mib])?;
    ensure_eq!(answer.text, "exit=0");
    Ok(start.elapsed())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn a_hog_that_comes_while_memory_is_taken_survives(context: &Context) -> Result<()> {
    let options = Options::default().cpus(2).watch_leaks();
    with_guest(context, &options, true, |guest, size| {
        let available = guest.meminfo_kib("MemAvailable")? / 1024;
        let shrink = (available - 64) * MIB;
        let hog = (available / 2).to_string();
        for _ in 0..10 {
            guest.set_balloon(size - shrink)?;
            time_of_hog(guest, &hog)?;
            guest.resize(size, LATER)?;
        }
        ensure_eq!(guest.dmesg("Out of memory")?, Vec::<String>::new());
        let returned = guest.cmm_counter("oom_pages")? + guest.cmm_counter("reclaimed_pages")?;
        ensure!(returned > 0, "the hog has never met the balloon");
        Ok(())
    })
}
