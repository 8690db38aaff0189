// SPDX-License-Identifier: GPL-2.0

//! Processes of others, which may have ended: a number alone can be somebody else's by now.

use std::fs;
use std::io;
use std::str::FromStr;
use std::time::Duration;
use std::time::Instant;

use rustix::event::poll;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::io::Errno;
use rustix::param::clock_ticks_per_second;
use rustix::process::pidfd_open;
use rustix::process::pidfd_send_signal;
use rustix::process::Pid;
use rustix::process::PidfdFlags;
use rustix::process::Signal;
use serde::Deserialize;
use serde::Serialize;

/// Fields of `/proc/PID/stat`, which proc(5) counts from 1.
const STATE: usize = 3;
const USER: usize = 14;
const SYSTEM: usize = 15;
const START: usize = 22;

/// A process, identified by its number and by when it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The process id.
    pub pid: u32,
    /// When it was started, in clock ticks since the host's boot.
    pub start_ticks: u64,
}

impl Process {
    /// Identifies a process that runs.
    ///
    /// # Errors
    ///
    /// When there is no such process.
    pub fn of(pid: u32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let (_, start_ticks) = parse(&stat).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { pid, start_ticks })
    }

    /// Identifies our own process.
    ///
    /// # Errors
    ///
    /// When `/proc` is not mounted.
    pub fn ours() -> io::Result<Self> {
        Self::of(std::process::id())
    }

    /// Returns whether the process still runs.
    pub fn is_alive(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid));
        let found = stat.ok().as_deref().and_then(parse);
        // A zombie has ended; only its parent has not looked yet.
        found.is_some_and(|(state, start)| start == self.start_ticks && !"ZX".contains(state))
    }

    /// Returns for how long its threads have run on processors, if it still runs.
    pub fn cpu_time(&self) -> Option<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        let fields = fields(&stat)?;
        if field::<u64>(&fields, START)? != self.start_ticks {
            return None;
        }
        let ticks = field::<u64>(&fields, USER)?.checked_add(field(&fields, SYSTEM)?)?;
        let ticks_per_second = clock_ticks_per_second().max(1);
        let nanoseconds = u128::from(ticks) * 1_000_000_000 / u128::from(ticks_per_second);
        Some(Duration::from_nanos(nanoseconds.try_into().ok()?))
    }

    /// Kills the process, if it is still the same, and waits for its end.
    ///
    /// Returns `false` if it has not ended within `timeout`.
    ///
    /// # Errors
    ///
    /// When it is somebody else's.
    pub fn kill(&self, timeout: Duration) -> io::Result<bool> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return Ok(true);
        };
        // The descriptor stands for one process, which is looked at after it is held.
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) if self.is_alive() => pidfd_send_signal(fd, Signal::KILL)?,
            Ok(_) | Err(Errno::SRCH) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
        self.wait(timeout)
    }

    /// Waits for the end of the process; returns `false` if it still runs after `timeout`.
    ///
    /// # Errors
    ///
    /// When it cannot be watched.
    pub fn wait(&self, timeout: Duration) -> io::Result<bool> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return Ok(true);
        };
        let fd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => fd,
            Err(Errno::SRCH) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        let start = Instant::now();
        while self.is_alive() {
            let Some(left) = timeout.checked_sub(start.elapsed()) else {
                return Ok(false);
            };
            let left = Timespec::try_from(left).map_err(io::Error::other)?;
            match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&left)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }
}

/// Reads the state and the start time from the text of `/proc/PID/stat`.
fn parse(stat: &str) -> Option<(char, u64)> {
    let fields = fields(stat)?;
    Some((field(&fields, STATE)?, field(&fields, START)?))
}

/// Splits the text of `/proc/PID/stat` behind the name of the program, which is in parentheses and
/// may hold anything, parentheses included.
fn fields(stat: &str) -> Option<Vec<&str>> {
    Some(stat.rsplit_once(')')?.1.split_whitespace().collect())
}

fn field<T: FromStr>(fields: &[&str], number: usize) -> Option<T> {
    // The first two are gone.
    fields.get(number.checked_sub(3)?)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_name_with_parentheses_and_blanks_is_no_obstacle() {
        let fields: Vec<String> = (4..30).map(|number| number.to_string()).collect();
        let stat = format!("7 (a) R (b) S {}\n", fields.join(" "));
        assert_eq!(parse(&stat), Some(('S', 22)));
        assert_eq!(parse("7 (a) S 4 5"), None);
    }

    #[test]
    fn time_on_processors_is_that_of_this_very_process() {
        let process = Process::ours().unwrap();
        let before = process.cpu_time().unwrap();
        let start = Instant::now();
        while process.cpu_time().unwrap() == before {
            assert!(start.elapsed() < Duration::from_secs(30), "we work");
        }
        let other = Process {
            start_ticks: process.start_ticks + 1,
            ..process
        };
        assert_eq!(other.cpu_time(), None);
    }

    #[test]
    fn a_number_that_is_used_again_is_another_process() {
        let process = Process::ours().unwrap();
        assert!(process.is_alive());
        let other = Process {
            start_ticks: process.start_ticks + 1,
            ..process
        };
        assert!(!other.is_alive());
        assert!(other.kill(Duration::from_secs(1)).unwrap(), "not us");
        assert!(other.wait(Duration::from_secs(1)).unwrap());
    }

    #[test]
    fn a_killed_process_has_ended_before_its_parent_looks() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::of(child.id()).unwrap();
        assert!(!process.wait(Duration::from_millis(20)).unwrap());
        assert!(process.kill(Duration::from_secs(10)).unwrap());
        assert!(!process.is_alive());
        child.wait().unwrap();
    }
}
