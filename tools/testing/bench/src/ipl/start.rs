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

/// Milliseconds.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// From `onecopy ipl` to the first line of user space.
    pub(super) ipl: Vec<f64>,
    /// From `onecopy ipl` to the first line of the kernel, which needs a processor that runs.
    pub(super) running: Vec<f64>,
    /// From `onecopy boot` to the first line of user space.
    pub(super) cold: Vec<f64>,
    /// From the start of a QEMU that runs nothing until its monitor answers.
    pub(super) bare: Vec<f64>,
}

/// Measures all, in turn.
pub(super) fn measure(
    system: &SavedSystem,
    kernel: &Kernel,
    host: &Host,
    rounds: usize,
) -> Result<Times> {
    let mut times = Times::default();
    for round in 1..=rounds {
        let [running, user_space] = times_of(&mut ipl(system)?, [RUNNING, FIRST_LINE])?;
        times.running.push(running);
        times.ipl.push(user_space);
        let [user_space] = times_of(&mut boot(system, kernel)?, [FIRST_LINE])?;
        times.cold.push(user_space);
        times.bare.push(bare(host)?);
        eprintln!("round {round} of {rounds} is done");
    }
    Ok(times)
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

fn boot(system: &SavedSystem, kernel: &Kernel) -> Result<Command> {
    let mut command = onecopy()?;
    command.args(["boot", "--memory"]);
    command.arg(format!("{}M", saved::MEMORY_BYTES >> 20));
    command.arg("--kernel").arg(kernel.image());
    command.arg("--initrd").arg(system.initrd());
    command.args(["--append", &saved::append(kernel)]);
    Ok(command)
}

/// Starts a command, returns when its output has each of the texts, in milliseconds, and ends it.
fn times_of<const N: usize>(command: &mut Command, texts: [&str; N]) -> Result<[f64; N]> {
    let start = Instant::now();
    let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
    let times = wait_for(&mut child, start, texts).with_context(|| format!("{command:?}"));
    // The guest ends with the command in the foreground.
    let _ = child.kill();
    child.wait()?;
    times
}

fn wait_for<const N: usize>(
    child: &mut Child,
    start: Instant,
    texts: [&str; N],
) -> Result<[f64; N]> {
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

    let mut times = [0.0; N];
    for (time, text) in times.iter_mut().zip(texts) {
        *time = loop {
            let left = TIMEOUT.saturating_sub(start.elapsed());
            let (elapsed, line) = lines
                .recv_timeout(left)
                .with_context(|| format!("no line with {text:?}"))?;
            if line.contains(text) {
                break elapsed.as_secs_f64() * 1000.0;
            }
        };
    }
    Ok(times)
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
