// SPDX-License-Identifier: GPL-2.0

//! Guests that use more memory, one after the other, than there is for all of them: below a group of
//! this host, or of an inner one where groups cannot be made here.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use onecopy_boot::saved::SavedSystem;
use onecopy_boot::saved::MEMORY_BYTES;
use onecopy_boot::Guest;
use onecopy_boot::Kernel;
use onecopy_system::IplOptions;
use rustix::process::kill_process;
use rustix::process::Pid;
use rustix::process::Signal;
use serde::Deserialize;
use serde::Serialize;

use super::group::Group;
use crate::command::Options;
use crate::paths;

/// How many guests there are, how much each uses and frees again, and what all may have together, in
/// MiB.
pub(super) const GUESTS: u32 = 5;
pub(super) const TOUCHED_MIB: u64 = 192;
pub(super) const LIMIT_MIB: u64 = 640;

/// How often guests are squeezed with a manager. Once without is enough: few of them survive.
const ROUNDS: usize = 3;

/// How long the next guest waits at most for what it is going to use.
const PAUSE: Duration = Duration::from_secs(60);

/// How long it waits when nothing becomes free meanwhile: the manager looks each second.
const STILL: Duration = Duration::from_secs(15);

/// How much longer than elsewhere guests may take for everything: the inner host is slow.
const PATIENCE: u32 = 4;

/// How long a manager, or QEMU, may take to its end.
const END_TIMEOUT: Duration = Duration::from_secs(60);

/// Where the first program of the inner host puts the saved system.
const DIRECTORY: &str = "/tmp/squeeze";

/// What the lines with results begin with.
pub(super) const RESULT: &str = "squeeze: result ";

/// The manager keeps free what one guest uses at a time.
const CONFIG: &str = "\
[host]
interval = 1
low = \"50%\"
high = \"55%\"
ease = \"95%\"

[default]
floor = \"128M\"
headroom = \"32M\"
";

/// How a squeeze has ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ended {
    /// Whether there was a manager.
    pub(crate) managed: bool,
    /// How many processes the kernel has killed for lack of memory.
    pub(crate) kills: u32,
    /// How many guests answer at the end.
    pub(crate) alive: u32,
}

/// Squeezes guests in the inner host, and writes a line of JSON for each time.
///
/// # Errors
///
/// When guests fail for another reason than that they were killed for lack of memory.
pub(crate) fn run(options: &Options) -> Result<()> {
    let kernel = paths::kernel(options)?;
    let directory = Path::new(DIRECTORY);
    let saved = SavedSystem::open(directory, PATIENCE)?;
    let group = Group::create(LIMIT_MIB << 20)?;
    for ended in all(&saved, &kernel, group, directory)? {
        println!("{RESULT}{}", serde_json::to_string(&ended)?);
    }
    Ok(())
}

/// Squeezes guests below this group with a manager, then without. The directory is for the manager's
/// configuration.
///
/// # Errors
///
/// As [`run`].
pub(super) fn all(
    saved: &SavedSystem,
    kernel: &Kernel,
    group: Group,
    directory: &Path,
) -> Result<Vec<Ended>> {
    let mut guests = (1..=GUESTS)
        .map(|number| start(saved, kernel, &group, number))
        .collect::<Result<Vec<_>>>()?;
    let mut results = Vec::new();
    for _ in 0..ROUNDS {
        let manager = Manager::start(saved, &group, directory)?;
        results.push(squeeze(&mut guests, &group, true)?);
        manager.stop()?;
    }
    // They get everything back that the manager has taken.
    for guest in &mut guests {
        guest.resize(MEMORY_BYTES, END_TIMEOUT)?;
    }
    results.push(squeeze(&mut guests, &group, false)?);
    drop(guests);
    group.remove(END_TIMEOUT)?;
    Ok(results)
}

/// Says how far it is.
fn progress(what: &str) {
    println!("squeeze: {what}");
}

/// Lets all guests use memory, one after the other, and returns what has become of them.
fn squeeze(guests: &mut [Guest], group: &Group, managed: bool) -> Result<Ended> {
    let before = group.kills()?;
    for guest in &mut *guests {
        use_memory(guest)?;
        progress("a guest has used its memory");
        group.wait_for_room(TOUCHED_MIB << 20, PAUSE, STILL)?;
    }
    let answers = |guest: &mut Guest| guest.read("/proc/uptime").is_ok();
    let alive = guests
        .iter_mut()
        .filter_map(|guest| answers(guest).then_some(()));
    let alive = u32::try_from(alive.count())?;
    let kills = group.kills()? - before;
    ensure!(
        alive + kills >= GUESTS,
        "{alive} of {GUESTS} guests are alive, and {kills} were killed"
    );
    Ok(Ended {
        managed,
        kills,
        alive,
    })
}

/// Starts a guest with a balloon. What it takes until it is there is not limited.
fn start(saved: &SavedSystem, kernel: &Kernel, group: &Group, number: u32) -> Result<Guest> {
    let options = IplOptions {
        balloon: true,
        ..saved.options(&format!("guest{number}"))?
    };
    let mut guest = saved.ipl_with(&options)?;
    saved.load_balloon(&mut guest, kernel)?;
    group.add(guest.machine().pid())?;
    progress("a guest runs");
    Ok(guest)
}

/// Lets a guest use memory, and free it again. It may be killed then, or have been.
fn use_memory(guest: &mut Guest) -> Result<()> {
    let used = guest.run("applet", &["hog", &TOUCHED_MIB.to_string()]);
    if let Err(error) = used {
        let ended = guest.machine().wait(END_TIMEOUT);
        ended.with_context(|| format!("the guest still runs, and says: {error}"))?;
    }
    Ok(())
}

/// Our command, which was built together with this program.
struct Manager {
    child: Child,
}

impl Manager {
    fn start(saved: &SavedSystem, group: &Group, directory: &Path) -> Result<Self> {
        let config = directory.join("vmrm.toml");
        let cgroup = format!("cgroup = {:?}\n", group.name());
        fs::write(&config, CONFIG.replacen('\n', &format!("\n{cgroup}"), 1))?;
        let [_, run] = saved.roots();
        let mut command = Command::new(env::current_exe()?.with_file_name("onecopy"));
        command.arg("--run-dir").arg(run).args(["vmrm", "run"]);
        let child = command.arg("--config").arg(config).spawn()?;
        Ok(Self { child })
    }

    /// Ends it; it must have worked until now.
    fn stop(mut self) -> Result<()> {
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none(), "the manager has ended: {ended:?}");
        let pid = Pid::from_raw(i32::try_from(self.child.id())?).context("no process")?;
        kill_process(pid, Signal::TERM)?;
        let start = Instant::now();
        while start.elapsed() < END_TIMEOUT {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "the manager ended with {status}");
                return Ok(());
            }
            thread::sleep(Duration::from_millis(100));
        }
        anyhow::bail!("the manager does not end");
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        // It has ended already unless something else has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
