// SPDX-License-Identifier: GPL-2.0

//! How long `onecopy query guests` takes with many guests, each of which is asked over its monitor.

use std::env;
use std::process::Command;
use std::time::Instant;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use onecopy_boot::saved::SavedSystem;
use serde_json::Value;

/// How many guests there are.
pub(super) const GUESTS: usize = 100;

/// How often they are listed.
const RUNS: usize = 11;

/// Starts the guests, and returns the times of listing them in milliseconds, from the command to its
/// end.
pub(super) fn measure(saved: &SavedSystem) -> Result<Vec<f64>> {
    let start = |number| {
        let options = saved.options(&format!("listed{number}"))?;
        saved.start(&options, None)
    };
    let guests = (1..=GUESTS).map(start).collect::<Result<Vec<_>>>()?;
    let times = (0..RUNS).map(|_| list(saved)).collect();
    for guest in guests {
        guest.clean()?;
    }
    times
}

/// Lists all guests once; each must have answered.
fn list(saved: &SavedSystem) -> Result<f64> {
    let [store, run] = saved.roots();
    let mut command = Command::new(env::current_exe()?.with_file_name("onecopy"));
    command.arg("--root").arg(store).arg("--run-dir").arg(run);
    let start = Instant::now();
    let output = command.args(["query", "guests", "--json"]).output()?;
    let elapsed = start.elapsed();
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "query guests failed: {said}");
    let list: Value = serde_json::from_slice(&output.stdout)?;
    let guests = list["guests"].as_array().context("no list of guests")?;
    let running = guests.iter().filter(|guest| guest["state"] == "running");
    let running = running.count();
    ensure!(
        running == GUESTS,
        "{running} of {GUESTS} guests are listed as running: {said}"
    );
    Ok(elapsed.as_secs_f64() * 1000.0)
}
