// SPDX-License-Identifier: GPL-2.0

//! The group (cgroup) that the guests' QEMUs are in, below a limit.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::bail;
use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;

/// How often is looked whether something has happened.
const TICK: Duration = Duration::from_millis(100);

/// What is less than this is no change of what is used.
const CHANGE_BYTES: u64 = 1 << 20;

/// The names of a version of the memory controller, and where its groups are.
#[derive(Debug)]
struct Version {
    groups: &'static str,
    limit: &'static str,
    /// What limits memory and swap, or swap alone; the kernel may not count swap.
    swap: &'static str,
    has_swap_in_limit: bool,
    usage: &'static str,
    /// Has a line "oom_kill N".
    events: &'static str,
}

const VERSIONS: [Version; 2] = [
    Version {
        groups: "/sys/fs/cgroup",
        limit: "memory.max",
        swap: "memory.swap.max",
        has_swap_in_limit: false,
        usage: "memory.current",
        events: "memory.events",
    },
    Version {
        groups: "/sys/fs/cgroup/memory",
        limit: "memory.limit_in_bytes",
        swap: "memory.memsw.limit_in_bytes",
        has_swap_in_limit: true,
        usage: "memory.usage_in_bytes",
        events: "memory.oom_control",
    },
];

/// A group with a limit, which is there until it is removed.
#[derive(Debug)]
pub(crate) struct Group {
    name: String,
    path: PathBuf,
    version: &'static Version,
    limit_bytes: u64,
}

impl Group {
    /// Makes a group at the top. That needs root, and a memory controller.
    ///
    /// # Errors
    ///
    /// When it cannot be made; nothing is left of it then.
    pub(crate) fn create(limit_bytes: u64) -> Result<Self> {
        let mut reasons = Vec::new();
        for version in &VERSIONS {
            match Self::create_in(version, limit_bytes) {
                Ok(group) => return Ok(group),
                Err(error) => reasons.push(format!("{error:#}")),
            }
        }
        bail!("no group with a limit can be made: {}", reasons.join("; "))
    }

    fn create_in(version: &'static Version, limit_bytes: u64) -> Result<Self> {
        let name = format!("onecopy-bench-{}", std::process::id());
        let path = Path::new(version.groups).join(&name);
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let group = Self {
            name,
            path,
            version,
            limit_bytes,
        };
        let limited = group.limit();
        limited.with_context(|| format!("{} cannot be limited", group.path.display()))?;
        Ok(group)
    }

    fn limit(&self) -> io::Result<()> {
        let Version {
            limit,
            swap,
            has_swap_in_limit,
            ..
        } = self.version;
        self.write(limit, self.limit_bytes)?;
        if self.path.join(swap).exists() {
            self.write(swap, u64::from(*has_swap_in_limit) * self.limit_bytes)?;
        }
        Ok(())
    }

    /// Writes to a file of the group. It must be there: where a version has no file system of its own, a
    /// group is only a directory.
    fn write(&self, name: &str, number: u64) -> io::Result<()> {
        let mut file = File::options().write(true).open(self.path.join(name))?;
        file.write_all(number.to_string().as_bytes())
    }

    /// Returns its path below the directory of groups.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Moves a process into it. What that has already is not limited.
    pub(super) fn add(&self, pid: u32) -> Result<()> {
        Ok(self.write("cgroup.procs", pid.into())?)
    }

    /// Waits until there is so much; not longer than `pause`, and not when what is used has not become less
    /// for `still`, since it may never be.
    pub(super) fn wait_for_room(&self, bytes: u64, pause: Duration, still: Duration) -> Result<()> {
        let start = Instant::now();
        let mut least = u64::MAX;
        let mut changed = start;
        while start.elapsed() < pause && changed.elapsed() < still {
            let usage = fs::read_to_string(self.path.join(self.version.usage))?;
            let usage: u64 = usage.trim().parse()?;
            if self.limit_bytes.saturating_sub(usage) > bytes {
                break;
            }
            if usage.saturating_add(CHANGE_BYTES) <= least {
                (least, changed) = (usage, Instant::now());
            }
            thread::sleep(TICK);
        }
        Ok(())
    }

    /// Returns how many processes of it the kernel has killed for lack of memory.
    pub(super) fn kills(&self) -> Result<u32> {
        let text = fs::read_to_string(self.path.join(self.version.events))?;
        let mut lines = text.lines();
        let count = lines.find_map(|line| line.strip_prefix("oom_kill "));
        Ok(count.context("the kernel does not count")?.parse()?)
    }

    /// Removes it when all its processes have ended; some leave it a little later.
    pub(super) fn remove(self, timeout: Duration) -> Result<()> {
        let start = Instant::now();
        while let Err(error) = self.try_remove() {
            ensure!(start.elapsed() < timeout, "the group stays: {error}");
            thread::sleep(TICK);
        }
        Ok(())
    }

    fn try_remove(&self) -> io::Result<()> {
        match fs::remove_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // After an error; the guests that were in it have ended before.
        let _ = self.try_remove();
    }
}
