// SPDX-License-Identifier: GPL-2.0

//! Running another program to its end.

use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;

use cap_std_ext::cmdext::CapStdExtCommandExt;
use rustix::event::poll;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::fs::memfd_create;
use rustix::fs::MemfdFlags;
use rustix::process::pidfd_open;
use rustix::process::Pid;
use rustix::process::PidfdFlags;

/// How much of standard error is shown.
const STDERR_TAIL_BYTES: u64 = 1024;

/// Runs a command that ends with us; returns `None` when it has been killed at its deadline.
pub(super) fn run_bound(
    mut command: Command,
    stderr: &File,
    timeout: Duration,
) -> io::Result<Option<ExitStatus>> {
    command.stdout(Stdio::null()).stderr(stderr.try_clone()?);
    run(command, timeout)
}

/// Runs a command that ends with us, and returns what it has said on standard output.
pub(super) fn output_within(mut command: Command, timeout: Duration) -> io::Result<String> {
    // A file, not a pipe: that would be open for as long as anybody has it.
    let mut stdout = File::from(memfd_create("output", MemfdFlags::CLOEXEC)?);
    command.stdout(stdout.try_clone()?).stderr(Stdio::null());
    if run(command, timeout)?.is_none() {
        let reason = format!("it has not ended within {} s", timeout.as_secs());
        return Err(io::Error::new(io::ErrorKind::TimedOut, reason));
    }
    stdout.rewind()?;
    let mut said = Vec::new();
    stdout.read_to_end(&mut said)?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

fn run(mut command: Command, timeout: Duration) -> io::Result<Option<ExitStatus>> {
    let mut child = command
        .lifecycle_bind_to_parent_thread()
        .stdin(Stdio::null())
        .spawn()?;
    let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    let timeout = Timespec {
        tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: 0,
    };
    loop {
        let ready = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout));
        match (child.try_wait()?, ready) {
            (Some(status), _) => return Ok(Some(status)),
            (None, Err(rustix::io::Errno::INTR)) => {}
            (None, _) => {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
        }
    }
}

/// Returns the end of what a program has said.
pub(super) fn tail(stderr: &File) -> io::Result<String> {
    let len = stderr.metadata()?.len();
    let start = len.saturating_sub(STDERR_TAIL_BYTES);
    let mut bytes = vec![0; usize::try_from(len - start).unwrap_or_default()];
    stderr.read_exact_at(&mut bytes, start)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, timeout: Duration) -> (Option<i32>, String) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let stderr = tempfile::tempfile().unwrap();
        let status = run_bound(command, &stderr, timeout).unwrap();
        (
            status.and_then(|status| status.code()),
            tail(&stderr).unwrap(),
        )
    }

    #[test]
    fn status_and_the_end_of_standard_error_come_back() {
        let (code, said) = shell("seq 1 1000 >&2; exit 3", Duration::from_secs(10));
        assert_eq!(code, Some(3));
        assert!(said.ends_with("999\n1000") && said.len() <= 1024, "{said}");
    }

    #[test]
    fn a_program_that_does_not_end_is_killed() {
        let (code, said) = shell("echo busy >&2; exec sleep 60", Duration::from_secs(1));
        assert_eq!((code, said.as_str()), (None, "busy"));
        let mut command = Command::new("sleep");
        command.arg("60");
        let error = output_within(command, Duration::from_secs(1)).unwrap_err();
        assert_eq!(error.to_string(), "it has not ended within 1 s");
    }

    #[test]
    fn what_a_program_says_comes_back() {
        let mut command = Command::new("echo");
        command.arg("1.8");
        let said = output_within(command, Duration::from_secs(10)).unwrap();
        assert_eq!(said, "1.8\n");
    }
}
