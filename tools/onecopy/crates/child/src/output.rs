// SPDX-License-Identifier: GPL-2.0

//! Asking other programs for something that they answer at once.

use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::os::unix::process::CommandExt;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Output;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use rustix::event::poll;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::fs::memfd_create;
use rustix::fs::MemfdFlags;
use rustix::process::kill_process_group;
use rustix::process::pidfd_open;
use rustix::process::Pid;
use rustix::process::PidfdFlags;
use rustix::process::Signal;

use crate::spawn::spawn_bound;
use crate::spawn::timespec;

/// How much of standard error is shown.
const TAIL_BYTES: usize = 1024;

/// How long a program may take that has little to do, on a host that is busy.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Runs a command to its end and returns what it has said. At the deadline it is killed, with what it has
/// started.
///
/// # Errors
///
/// When it cannot be started, and with [`io::ErrorKind::TimedOut`] when it has not ended in time.
pub fn output_within(mut command: Command, deadline: Duration) -> io::Result<Output> {
    // Files, not pipes: those would be open for as long as anybody has them.
    let (stdout, stderr) = (memory_file()?, memory_file()?);
    command
        .stdin(Stdio::null())
        .stdout(stdout.try_clone()?)
        .stderr(stderr.try_clone()?)
        .process_group(0);
    let status = wait_within(spawn_bound(command)?, deadline)?;
    Ok(Output {
        status,
        stdout: content(stdout)?,
        stderr: content(stderr)?,
    })
}

fn wait_within(mut child: Child, deadline: Duration) -> io::Result<ExitStatus> {
    let start = Instant::now();
    let pid = Pid::from_child(&child);
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    loop {
        let left = deadline.saturating_sub(start.elapsed());
        let ready = poll(
            &mut [PollFd::new(&pidfd, PollFlags::IN)],
            Some(&timespec(left)),
        );
        match (child.try_wait()?, ready) {
            (Some(status), _) => return Ok(status),
            (None, Err(rustix::io::Errno::INTR)) => {}
            (None, _) => break,
        }
    }
    // Its group has its number for as long as it is not waited for.
    kill_process_group(pid, Signal::KILL)?;
    child.wait()?;
    let seconds = deadline.as_secs();
    Err(io::Error::new(
        io::ErrorKind::TimedOut,
        format!("it has not ended within {seconds} s"),
    ))
}

/// Returns the end of what a program has said.
pub fn tail(said: &[u8]) -> String {
    let start = said.len().saturating_sub(TAIL_BYTES);
    let end = said.get(start..).unwrap_or_default();
    String::from_utf8_lossy(end).trim().to_owned()
}

fn memory_file() -> io::Result<File> {
    Ok(memfd_create("output", MemfdFlags::CLOEXEC)?.into())
}

fn content(mut file: File) -> io::Result<Vec<u8>> {
    file.rewind()?;
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, deadline: Duration) -> io::Result<Output> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        output_within(command, deadline)
    }

    #[test]
    fn what_a_program_says_comes_back() {
        let output = shell("seq 1 99999; echo no >&2; exit 3", DEADLINE).unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert!(output.stdout.starts_with(b"1\n2\n") && output.stdout.ends_with(b"\n99999\n"));
        assert_eq!(output.stderr, b"no\n");
    }

    #[test]
    fn the_end_of_what_a_program_says_is_shown() {
        let output = shell("seq 1 1000 >&2", DEADLINE).unwrap();
        let said = tail(&output.stderr);
        assert!(
            said.ends_with("999\n1000") && said.len() <= TAIL_BYTES,
            "{said}"
        );
        assert_eq!(tail(b" few\n"), "few");
    }

    #[test]
    fn a_program_that_sleeps_is_killed_with_its_children() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("child");
        let start = Instant::now();
        let script = format!("sleep 600 & echo $! >{}; wait", file.display());
        let error = shell(&script, Duration::from_secs(1)).unwrap_err();
        assert_eq!(error.to_string(), "it has not ended within 1 s");
        assert!(start.elapsed() < DEADLINE);
        let child = std::fs::read_to_string(file).unwrap();
        let is_sleeping = || {
            let line = std::fs::read(format!("/proc/{}/cmdline", child.trim()));
            line.is_ok_and(|line| line.starts_with(b"sleep"))
        };
        while is_sleeping() {
            assert!(start.elapsed() < DEADLINE);
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
