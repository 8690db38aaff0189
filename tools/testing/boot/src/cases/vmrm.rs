// SPDX-License-Identifier: GPL-2.0

//! The resource manager: `onecopy vmrm` with guests from a saved system. Only what it reads of the
//! host's memory is made up.

use std::env;
use std::fs;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Output;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::bail;
use anyhow::ensure;
use anyhow::Context as _;
use anyhow::Result;
use onecopy_boot::saved::SavedSystem;
use onecopy_boot::saved::MEMORY_BYTES;
use onecopy_boot::space::MIB;
use onecopy_boot::Guest;
use onecopy_system::IplOptions;
use rustix::process::kill_process;
use rustix::process::Pid;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::cases;
use super::ensure_eq;
use crate::context::Context;

cases! {
    BuiltInFast:
        guests_give_memory_that_the_host_needs_and_get_it_back,
        a_manager_bears_what_becomes_of_its_guests;
}

/// What the host is said to have, and what each guest keeps.
const HOST_MIB: u64 = 8192;
const FLOOR: u64 = 256 * MIB;

/// How much is used in a guest and freed again, in MiB.
const TOUCHED_MIB: &str = "300";

/// How long everything may take.
const SOON: Duration = Duration::from_secs(200);

/// How often it is looked whether it has happened.
const PAUSE: Duration = Duration::from_millis(100);

/// A manager, and the host that it believes to be on.
struct Manager {
    directory: TempDir,
    config: PathBuf,
    run: PathBuf,
    child: Option<Child>,
}

impl Manager {
    /// Makes the host, with configuration for the guests that `names` fits.
    fn new(context: &Context, saved: &SavedSystem, names: &str) -> Result<Self> {
        let directory = context.directory()?;
        let root = directory.path();
        fs::create_dir(root.join("proc"))?;
        let config = root.join("vmrm.toml");
        let text = format!(
            "[host]\nroot = {root:?}\ninterval = 1\nease_rounds = 2\n\
             [notify]\nmemory = [{names}]\n\
             [default]\nfloor = \"{}M\"\nheadroom = \"16M\"\n",
            FLOOR / MIB
        );
        fs::write(&config, text)?;
        let [_, run] = saved.roots();
        Ok(Self {
            run: run.to_owned(),
            config,
            directory,
            child: None,
        })
    }

    /// Lets the host have so much available from now on.
    fn set_available(&self, mib: u64) -> Result<()> {
        let text = format!(
            "MemTotal: {} kB\nMemAvailable: {} kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
            HOST_MIB << 10,
            mib << 10
        );
        // It must never be seen half written.
        let new = self.directory.path().join("new");
        fs::write(&new, text)?;
        Ok(fs::rename(new, self.directory.path().join("proc/meminfo"))?)
    }

    fn command(&self, words: &[&str]) -> Result<Command> {
        let program = env::current_exe()?.with_file_name("onecopy");
        ensure!(
            program.exists(),
            "{} is missing: run make tools",
            program.display()
        );
        let mut command = Command::new(program);
        command
            .arg("--run-dir")
            .arg(&self.run)
            .args(["vmrm", "run"]);
        command.arg("--config").arg(&self.config).args(words);
        Ok(command)
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// Starts it as a service would.
    fn start(&mut self) -> Result<()> {
        let log = File::create(self.log())?;
        let trace = self.directory.path().join("trace");
        let trace = trace.to_str().context("no such directory")?;
        let mut command = self.command(&["--json", "--record", trace])?;
        self.child = Some(command.stdout(log.try_clone()?).stderr(log).spawn()?);
        Ok(())
    }

    /// Does one round, and returns what came of it.
    fn once(&self) -> Result<Output> {
        Ok(self.command(&["--once"])?.output()?)
    }

    /// Ends it, and returns what it has said.
    fn stop(&mut self) -> Result<Vec<Value>> {
        let mut child = self.child.take().context("it was not started")?;
        signal(child.id(), Signal::TERM)?;
        let start = Instant::now();
        let status = loop {
            match child.try_wait()? {
                Some(status) => break status,
                None if start.elapsed() > SOON => {
                    child.kill()?;
                    bail!("it does not end by SIGTERM");
                }
                None => thread::sleep(PAUSE),
            }
        };
        let said = fs::read_to_string(self.log())?;
        ensure!(status.success(), "it ended with {status}: {said}");
        let lines = said.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().context(said.clone())
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It cannot have ended unless a test has failed already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(pid)?).context("no process")?;
    Ok(kill_process(pid, signal)?)
}

/// Starts a guest with a balloon and its driver, and lets it use memory and free it.
fn guest(context: &Context, saved: &SavedSystem, name: &str) -> Result<Guest> {
    let options = IplOptions {
        balloon: true,
        ..saved.options(name)?
    };
    let mut guest = saved.ipl_with(&options)?;
    saved.load_balloon(&mut guest, context.kernel())?;
    guest.run("applet", &["hog", TOUCHED_MIB])?;
    Ok(guest)
}

/// The lines of one kind.
fn events<'a>(said: &'a [Value], kind: &str) -> Vec<&'a Value> {
    said.iter().filter(|event| event["event"] == kind).collect()
}

fn guests_give_memory_that_the_host_needs_and_get_it_back(context: &Context) -> Result<()> {
    let saved = context.saved()?;
    let mut guests = [
        guest(context, saved, "vmrm1")?,
        guest(context, saved, "vmrm2")?,
    ];
    let mut manager = Manager::new(context, saved, "\"vmrm*\"")?;
    let before = [guests[0].host_bytes()?, guests[1].host_bytes()?];

    manager.set_available(HOST_MIB)?;
    let output = manager.once()?;
    ensure!(
        output.status.success() && output.stdout.is_empty(),
        "{output:?}"
    );
    manager.set_available(0)?;
    let dry = manager.command(&["--once", "--dry-run"])?.output()?;
    let said = String::from_utf8_lossy(&dry.stdout).into_owned();
    ensure!(dry.status.success() && said.contains("SHRINK"), "{dry:?}");
    for guest in &mut guests {
        ensure_eq!(guest.balloon()?, MEMORY_BYTES, "after a dry run");
    }

    manager.start()?;
    for (guest, before) in guests.iter_mut().zip(before) {
        guest.wait_balloon(FLOOR, SOON)?;
        let after = guest.host_bytes()?;
        ensure!(
            before.saturating_sub(after) >= 200 * MIB,
            "the host had {} MiB and has {} MiB",
            before / MIB,
            after / MIB
        );
    }
    manager.set_available(HOST_MIB)?;
    for guest in &mut guests {
        guest.wait_balloon(MEMORY_BYTES, SOON)?;
        guest.check(false)?;
    }
    let said = manager.stop()?;
    let orders = events(&said, "shrink");
    ensure!(orders.len() >= 4, "{said:?}");
    for order in orders {
        ensure_eq!(order["delivery"]["state"], "sent");
        ensure!(
            order["to_bytes"].as_u64() <= Some(MEMORY_BYTES - FLOOR),
            "{order}"
        );
    }
    replay(&manager)
}

/// What was recorded can be replayed.
fn replay(manager: &Manager) -> Result<()> {
    let program = env::current_exe()?.with_file_name("onecopy");
    let output = Command::new(program)
        .args(["vmrm", "simulate", "--json"])
        .arg(manager.directory.path().join("trace"))
        .arg("--config")
        .arg(&manager.config)
        .output()?;
    ensure!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout)?;
    let summary: Value = serde_json::from_str(said.lines().last().context("nothing is said")?)?;
    ensure_eq!(summary["guests"], 2);
    ensure!(summary["orders"].as_u64() > Some(0), "{summary}");
    Ok(())
}

/// Returns the process of a guest's QEMU.
fn emulator(saved: &SavedSystem, guest: &str) -> Result<u32> {
    let running = saved.running(guest)?;
    Ok(running.record().qemu.context("it has no QEMU")?.pid)
}

fn a_manager_bears_what_becomes_of_its_guests(context: &Context) -> Result<()> {
    let saved = context.saved()?;
    let names = ["vmrm-a", "vmrm-hung", "vmrm-killed"];
    let [mut good, _hung, _killed] = [
        guest(context, saved, names[0])?,
        guest(context, saved, names[1])?,
        guest(context, saved, names[2])?,
    ];
    let _without = saved.ipl_with(&saved.options("vmrm-without")?)?;
    let mut manager = Manager::new(context, saved, "\"vmrm-*\", \"missing\"")?;
    manager.set_available(HOST_MIB)?;
    let hung = emulator(saved, names[1])?;
    signal(hung, Signal::STOP)?;
    manager.start()?;
    let log = manager.log();
    wait_for_text(&log, "vmrm-hung")?;
    signal(emulator(saved, names[2])?, Signal::KILL)?;

    manager.set_available(0)?;
    good.wait_balloon(FLOOR, SOON)?;
    // Whoever names a guest that is not there, or cannot be asked, is told by the exit status.
    let once = Command::new(env::current_exe()?.with_file_name("onecopy"))
        .arg("--run-dir")
        .arg(&manager.run)
        .args(["vmrm", "run", "--once", "--config"])
        .arg(&manager.config)
        .output()?;
    let refused = String::from_utf8_lossy(&once.stderr).into_owned();
    ensure_eq!(once.status.code(), Some(4));
    ensure!(
        refused.contains("Another vmrm manages the guests of"),
        "{refused}"
    );

    signal(hung, Signal::CONT)?;
    wait_for_text(&log, "\"answers\"")?;
    let said = manager.stop()?;
    let silent: Vec<_> = events(&said, "silent");
    let says = |guest: &str, text: &str| {
        let mut of_guest = silent.iter().filter(|event| event["guest"] == guest);
        of_guest.any(|event| {
            event["error"]
                .as_str()
                .is_some_and(|error| error.contains(text))
        })
    };
    ensure!(
        says("vmrm-hung", "did not answer within 3000 ms"),
        "{silent:?}"
    );
    ensure!(says("vmrm-without", "has no balloon"), "{silent:?}");
    ensure_eq!(events(&said, "unknown").len(), 1);

    let output = manager.once()?;
    ensure_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for words in ["missing: is named", "vmrm-without: does not answer"] {
        ensure!(said.contains(words), "{said}");
    }
    ensure_eq!(good.balloon()?, FLOOR);
    good.check(false)
}

fn wait_for_text(log: &Path, text: &str) -> Result<()> {
    let start = Instant::now();
    while !fs::read_to_string(log)?.contains(text) {
        let said = fs::read_to_string(log)?;
        ensure!(start.elapsed() < SOON, "{text} is not said: {said}");
        thread::sleep(PAUSE);
    }
    Ok(())
}
