// SPDX-License-Identifier: GPL-2.0

//! How long starts take, from the command on.

use std::io::BufRead;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use onecopy_boot::saved;
use onecopy_boot::saved::SavedSystem;
use onecopy_boot::Host;
use onecopy_boot::Kernel;
use onecopy_guest::init::FIRST_LINE;
use onecopy_machine::Config;
use onecopy_machine::Machine;

/// What the kernel of a guest says first when its processor runs.
const RUNNING: &str = "crng reseeded";

/// How long a start may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Milliseconds, taken in turn.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// From `onecopy ipl` on.
    pub(super) ours: Vec<f64>,
    /// What that is compared with.
    pub(super) peer: Vec<f64>,
}

impl Times {
    fn take(
        name: &str,
        rounds: usize,
        ours: impl Fn() -> Result<f64>,
        peer: impl Fn() -> Result<f64>,
    ) -> Result<Self> {
        let mut times = Self::default();
        for round in 1..=rounds {
            let (ours, peer) = (ours()?, peer()?);
            eprintln!("{name} {round} of {rounds}: {ours:.1} ms, peer {peer:.1} ms");
            times.ours.push(ours);
            times.peer.push(peer);
        }
        Ok(times)
    }
}

/// Measures `onecopy ipl` to the first line of user space, against `onecopy boot`; the same executes
/// both.
pub(super) fn user_space(
    name: &str,
    system: &SavedSystem,
    kernel: &Kernel,
    host: &Host,
    rounds: usize,
) -> Result<Times> {
    let ours = || time_of(&mut ipl(system)?, FIRST_LINE);
    let peer = || time_of(&mut boot(system, kernel, host)?, FIRST_LINE);
    Times::take(name, rounds, ours, peer)
}

/// Measures `onecopy ipl` to the first line of the kernel, which needs a processor that runs, against
/// a QEMU that runs nothing until its monitor answers.
pub(super) fn running(
    name: &str,
    system: &SavedSystem,
    host: &Host,
    rounds: usize,
) -> Result<Times> {
    let ours = || time_of(&mut ipl(system)?, RUNNING);
    Times::take(name, rounds, ours, || bare(host))
}

/// Our command, which was built together with this program.
fn onecopy() -> Result<Command> {
    let path: PathBuf = std::env::current_exe()?.with_file_name("onecopy");
    let mut command = Command::new(path);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    Ok(command)
}

fn ipl(system: &SavedSystem) -> Result<Command> {
    let [store, run] = system.roots();
    let mut command = onecopy()?;
    command.arg("--root").arg(store).arg("--run-dir").arg(run);
    command.args(["ipl", saved::SYSTEM, "--foreground"]);
    Ok(command)
}

fn boot(system: &SavedSystem, kernel: &Kernel, host: &Host) -> Result<Command> {
    let mut command = onecopy()?;
    command.args(["boot", "--accel", &host.accel.to_string(), "--memory"]);
    command.arg(format!("{}M", saved::MEMORY_BYTES >> 20));
    command.arg("--kernel").arg(kernel.image());
    command.arg("--initrd").arg(system.initrd());
    command.args(["--append", &saved::append(kernel)]);
    Ok(command)
}

/// Starts a command, returns when its output has a text, in milliseconds, and ends it.
fn time_of(command: &mut Command, text: &str) -> Result<f64> {
    let start = Instant::now();
    let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
    let time = wait_for(&mut child, start, text).with_context(|| format!("{command:?}"));
    // The guest ends with the command in the foreground.
    let _ = child.kill();
    child.wait()?;
    Ok(time?.as_secs_f64() * 1000.0)
}

fn wait_for(child: &mut Child, start: Instant, text: &str) -> Result<Duration> {
    let output = child.stdout.take().context("no output")?;
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while let Ok(1..) = output.read_until(b'\n', &mut line) {
            let text = String::from_utf8_lossy(&line).into_owned();
            if sender.send((start.elapsed(), text)).is_err() {
                return;
            }
            line.clear();
        }
    });

    loop {
        let left = TIMEOUT.saturating_sub(start.elapsed());
        let (elapsed, line) = lines
            .recv_timeout(left)
            .with_context(|| format!("no line with {text:?}"))?;
        if line.contains(text) {
            return Ok(elapsed);
        }
    }
}

/// Returns how long a QEMU that runs nothing takes to answer, in milliseconds.
fn bare(host: &Host) -> Result<f64> {
    let config = Config {
        memory_bytes: saved::MEMORY_BYTES,
        paused: true,
        ..Config::new(host.qemu.clone(), host.accel)
    };
    let start = Instant::now();
    let machine = Machine::start(&config)?;
    let elapsed = start.elapsed().as_secs_f64() * 1000.0;
    machine.kill()?;
    Ok(elapsed)
}
