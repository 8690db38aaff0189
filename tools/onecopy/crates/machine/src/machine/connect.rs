// SPDX-License-Identifier: GPL-2.0

//! From a started process to its open channels.

use std::fs;
use std::fs::Permissions;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use rustix::event::poll;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::io::Errno;

use super::COMMAND_TIMEOUT;
use super::START_TIMEOUT;
use super::TICK;
use crate::error::Error;
use crate::error::Report;
use crate::interrupt::Interrupt;
use crate::outcome::Outcome;
use crate::process::Process;
use crate::qemu::Qemu;
use crate::qmp::QmpError;
use crate::Result;
use onecopy_child::timespec;

/// What a QEMU says that was built without seccomp.
const NO_SANDBOX: &str = "-sandbox support is not enabled";

/// Listens where QEMU is told to connect.
pub(super) fn listen(path: &Path) -> Result<UnixListener> {
    let bind = || {
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(listener)
    };
    bind().map_err(Error::io(format!("listen on {}", path.display())))
}

/// Waits for QEMU to connect, or to end.
pub(super) fn accept(
    listener: &UnixListener,
    process: &mut Process,
    interrupt: &Interrupt,
    doing: &str,
) -> Result<UnixStream> {
    let start = Instant::now();
    loop {
        interrupt.check()?;
        let left = START_TIMEOUT.saturating_sub(start.elapsed());
        let connected = wait_for_either(listener, process, left.min(TICK))?;
        // A connection that QEMU made before it failed is of no use, so its end comes first.
        if let Some(status) = process.try_wait().map_err(Error::io("wait for QEMU"))? {
            return Err(Error::Ended {
                doing: doing.to_owned(),
                outcome: Outcome {
                    status,
                    reason: None,
                },
                report: words_of(process),
            });
        }
        if connected {
            let accepted = listener
                .accept()
                .map_err(Error::io("accept QEMU's connection"));
            return accepted.map(|(stream, _)| stream);
        }
        if left.is_zero() {
            return Err(Error::Timeout {
                doing: format!("{doing} by QEMU"),
                waited: START_TIMEOUT,
                report: words_of(process),
            });
        }
    }
}

/// Turns a failed negotiation into the reason: usually QEMU has refused an argument and ended.
pub(super) fn start_failure(error: QmpError, process: &mut Process) -> Error {
    let status = match &error {
        QmpError::Closed { .. } => process.wait(COMMAND_TIMEOUT),
        _ => process.try_wait(),
    };
    let report = words_of(process);
    match status {
        Ok(Some(status)) => Error::Ended {
            doing: "starting".to_owned(),
            outcome: Outcome {
                status,
                reason: None,
            },
            report,
        },
        _ => Error::Qmp {
            cause: error,
            report,
        },
    }
}

/// Finds the reason in what QEMU has said, where that does not say what to do about it.
pub(super) fn explain(error: Error, qemu: &Qemu) -> Error {
    match error {
        Error::Ended { report, .. } if report.stderr.contains(NO_SANDBOX) => Error::NoSandbox {
            path: qemu.path().to_owned(),
        },
        error => error,
    }
}

/// Waits for a connection or the end of the process; says whether there is a connection.
fn wait_for_either(listener: &UnixListener, process: &Process, timeout: Duration) -> Result<bool> {
    let mut fds = [
        PollFd::new(listener, PollFlags::IN),
        PollFd::from_borrowed_fd(process.pidfd().as_fd(), PollFlags::IN),
    ];
    match poll(&mut fds, Some(&timespec(timeout))) {
        Ok(_) => {
            let [listening, _] = fds;
            Ok(listening.revents().contains(PollFlags::IN))
        }
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(Error::io("wait for QEMU")(error.into())),
    }
}

/// Before there is a console, only QEMU has said something.
fn words_of(process: &mut Process) -> Box<Report> {
    Box::new(Report {
        stderr: process.stderr_tail(),
        console: String::new(),
        outcome: None,
    })
}
