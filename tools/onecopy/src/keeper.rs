// SPDX-License-Identifier: GPL-2.0

//! The process that keeps a guest after the command that started it has ended.
//!
//! It is this program again, with the same arguments, or with those of an `ipl`. A guest ends with its
//! keeper, and:
//!
//! 1. The keeper starts the guest and reports on its standard output: lines of JSON, of which the last one
//!    says how that has ended, and those before are remarks.
//! 2. The command acknowledges on the keeper's standard input, and ends.
//! 3. Until then the keeper watches its standard input: if that ends, so does the guest. A signal for
//!    the command is passed on that way.

use std::ffi::OsString;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::bail;
use anyhow::Context;
use onecopy_machine::Interrupt;
use onecopy_system::Guest;
use onecopy_system::Guests;
use rustix::process::setsid;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::boot;
use crate::failure::Failure;
use crate::remark;

/// How long a start may take beside the wait for the guest: files may have to be hashed.
const START_TIMEOUT: Duration = Duration::from_secs(600);

/// How long the command may take to acknowledge, and the keeper to end.
const PEER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the keeper may take to clean up; then it ends without.
const CLEAN_TIMEOUT: Duration = Duration::from_secs(10);

/// The signal of a terminal that has gone, as the command has for its keeper.
const HANGUP: usize = 1;

/// How often signals are looked for.
const TICK: Duration = Duration::from_millis(50);

/// A guest that was started.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Started {
    /// Name of the guest.
    pub(crate) guest: String,
    /// The saved system that it was started from.
    pub(crate) system: String,
    /// The generation of that.
    pub(crate) generation: u64,
    /// The partition that it runs in.
    pub(crate) partition: Option<String>,
}

/// What the keeper reports.
#[derive(Debug, Serialize, Deserialize)]
enum Report {
    Remark(String),
    Started(Started),
    Failed(Failure),
}

/// Starts a keeper with our own arguments, and waits until its guest is ready.
pub(crate) fn start(timeout: Duration, interrupt: &Interrupt) -> anyhow::Result<Started> {
    start_with(std::env::args_os().skip(1), timeout, interrupt)
}

/// Starts a keeper with the arguments of the verb `ipl`, and waits until its guest is ready.
pub(crate) fn start_with(
    arguments: impl IntoIterator<Item = OsString>,
    timeout: Duration,
    interrupt: &Interrupt,
) -> anyhow::Result<Started> {
    let mut child = Command::new("/proc/self/exe")
        .arg0(std::env::args_os().next().unwrap_or_default())
        .arg("--keeper")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("Cannot start the keeper of the guest")?;
    let timeout = timeout.saturating_add(START_TIMEOUT);
    match receive(&mut child, timeout, interrupt) {
        Ok(started) => {
            let mut pipe = child.stdin.take().context("The keeper has no input")?;
            pipe.write_all(b"\n")
                .context("The keeper of the guest has ended")?;
            Ok(started)
        }
        Err(error) => {
            end(child)?;
            Err(error)
        }
    }
}

/// Waits for the last report, and repeats the remarks before it; a signal comes before all.
fn receive(child: &mut Child, timeout: Duration, interrupt: &Interrupt) -> anyhow::Result<Started> {
    let stdout = child.stdout.take().context("The keeper has no output")?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut stdout = BufReader::new(stdout);
        loop {
            let report = read_report(&mut stdout);
            let is_last = !matches!(report, Ok(Report::Remark(_)));
            // Nobody listens any more when the time is over.
            if sender.send(report).is_err() || is_last {
                break;
            }
        }
    });
    let start = Instant::now();
    loop {
        let received = receiver.recv_timeout(TICK);
        interrupt.check()?;
        match received {
            Ok(report) => match report? {
                Report::Remark(text) => remark::make(&text),
                Report::Started(started) => return Ok(started),
                Report::Failed(failure) => return Err(failure.into()),
            },
            Err(RecvTimeoutError::Timeout) if start.elapsed() < timeout => {}
            Err(_) => bail!("The keeper says nothing for {} s", timeout.as_secs()),
        }
    }
}

fn read_report(stdout: &mut impl BufRead) -> anyhow::Result<Report> {
    let mut line = String::new();
    let read = stdout.read_line(&mut line);
    read.context("Cannot read from the keeper of the guest")?;
    serde_json::from_str(&line).context("The keeper ended before the guest was ready")
}

/// Ends a keeper whose guest is not wanted, and waits until it has cleaned up.
fn end(mut child: Child) -> io::Result<()> {
    drop(child.stdin.take());
    let start = Instant::now();
    while child.try_wait()?.is_none() {
        if start.elapsed() >= PEER_TIMEOUT {
            child.kill()?;
            child.wait()?;
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Keeps the guest that `start` starts, until it ends.
pub(crate) fn keep(
    guests: &Guests,
    start: impl FnOnce(&Interrupt) -> anyhow::Result<Guest>,
) -> anyhow::Result<()> {
    // Signals of the terminal are not for us from now on.
    setsid()?;
    let interrupt = boot::watch_signals()?;
    let acknowledged = watch_peer(guests.clone(), interrupt.clone())?;
    // If nobody listens any more, the guest is given up anyway.
    remark::pass_on(|text| drop(report(&Report::Remark(text.to_owned()))));
    let mut guest = match start(&interrupt) {
        Ok(guest) => guest,
        Err(error) => return report(&Report::Failed(Failure::of(&error))),
    };
    let record = guest.record();
    report(&Report::Started(Started {
        guest: record.guest.to_string(),
        system: record.system.to_string(),
        generation: record.generation,
        partition: record.partition.as_ref().map(ToString::to_string),
    }))?;
    if acknowledged.recv_timeout(PEER_TIMEOUT).is_err() {
        return Ok(guest.clean()?);
    }
    // No file system is kept busy by where the command was started.
    std::env::set_current_dir("/")?;
    boot::attend(guest.machine(), &interrupt, None)?;
    Ok(guest.clean()?)
}

fn report(report: &Report) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, report)?;
    writeln!(out)?;
    out.flush()?;
    Ok(())
}

/// Watches standard input in the background: sends a message when the guest is acknowledged. If the
/// command has gone without that, the guest is given up, and at last the process ends, and so QEMU.
fn watch_peer(guests: Guests, interrupt: Interrupt) -> io::Result<mpsc::Receiver<()>> {
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new()
        .name("peer".to_owned())
        .spawn(move || {
            if is_acknowledged() {
                // If that fails, the keeper has given up waiting, and ends.
                let _ = sender.send(());
            } else {
                // Nobody waits for a message any more.
                drop(sender);
                interrupt.raise(HANGUP);
                thread::sleep(CLEAN_TIMEOUT);
                guests.abandon();
                std::process::exit(1);
            }
        })?;
    Ok(receiver)
}

/// Waits for a byte on standard input, or for its end.
fn is_acknowledged() -> bool {
    loop {
        match io::stdin().read(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return matches!(read, Ok(1)),
        }
    }
}
