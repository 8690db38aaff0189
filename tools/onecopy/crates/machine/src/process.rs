// SPDX-License-Identifier: GPL-2.0

//! A QEMU process: started bound to us, watched, and ended by us.

use std::io;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use onecopy_child::spawn_bound;
use onecopy_child::timespec;
use rustix::event::poll;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::process::pidfd_open;
use rustix::process::Pid;
use rustix::process::PidfdFlags;

/// How much of standard error is kept.
const STDERR_TAIL_BYTES: usize = 4096;

/// A child process with the end of its standard error.
///
/// Dropping it kills the child and waits for it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pidfd: OwnedFd,
    stderr: Stderr,
}

impl Process {
    /// Starts `command` with no standard input and its standard error kept.
    ///
    /// It gets a process group of its own, so that a Ctrl-C at the terminal reaches us alone and
    /// we decide how the guest ends.
    pub(crate) fn start(mut command: Command) -> io::Result<Self> {
        use std::os::unix::process::CommandExt;

        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = spawn_bound(command)?;
        match watch(&mut child) {
            Ok((pidfd, stderr)) => Ok(Self {
                child,
                pidfd,
                stderr,
            }),
            Err(error) => {
                // The child must not stay behind; both calls fail only when it has ended.
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Returns the process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns a descriptor that becomes readable when the process ends.
    pub(crate) fn pidfd(&self) -> &OwnedFd {
        &self.pidfd
    }

    /// Returns the exit status if the process has ended.
    pub(crate) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits for the end of the process for at most `timeout`.
    pub(crate) fn wait(&mut self, timeout: Duration) -> io::Result<Option<ExitStatus>> {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        match poll(&mut fds, Some(&timespec(timeout))) {
            // A signal handler ran: the caller looks again.
            Ok(_) | Err(rustix::io::Errno::INTR) => self.child.try_wait(),
            Err(error) => Err(error.into()),
        }
    }

    /// Kills the process and waits for it.
    pub(crate) fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }

    /// Returns the end of standard error; complete only after the process has ended.
    pub(crate) fn stderr_tail(&mut self) -> String {
        self.stderr
            .tail(matches!(self.child.try_wait(), Ok(Some(_))))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only when the process has been waited for already.
        let _ = self.kill();
    }
}

fn watch(child: &mut Child) -> io::Result<(OwnedFd, Stderr)> {
    let stream = child
        .stderr
        .take()
        .ok_or_else(|| io::Error::other("no standard error"))?;
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    Ok((pidfd, Stderr::collect(stream)?))
}

/// Collects the end of a stream in the background.
#[derive(Debug)]
struct Stderr {
    tail: std::sync::Arc<std::sync::Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Stderr {
    fn collect(mut stream: impl Read + Send + 'static) -> io::Result<Self> {
        let tail = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let kept = std::sync::Arc::clone(&tail);
        let reader = thread::Builder::new()
            .name("stderr".to_owned())
            .spawn(move || {
                let mut chunk = [0; 1024];
                while let Ok(count @ 1..) = stream.read(&mut chunk) {
                    let Ok(mut kept) = kept.lock() else { return };
                    kept.extend_from_slice(chunk.get(..count).unwrap_or_default());
                    let surplus = kept.len().saturating_sub(STDERR_TAIL_BYTES);
                    kept.drain(..surplus);
                }
            })?;
        Ok(Self {
            tail,
            reader: Some(reader),
        })
    }

    fn tail(&mut self, ended: bool) -> String {
        if ended {
            if let Some(reader) = self.reader.take() {
                // A panic of the reader loses text, never the error that this text belongs to.
                let _ = reader.join();
            }
        }
        self.tail
            .lock()
            .map(|tail| String::from_utf8_lossy(&tail).into_owned())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::start(command).unwrap()
    }

    #[test]
    fn only_the_end_of_standard_error_is_kept() {
        let mut process = shell("seq 1 5000 >&2; exit 3");
        let status = process.wait(Duration::from_secs(10)).unwrap().unwrap();
        assert_eq!(status.code(), Some(3));
        let tail = process.stderr_tail();
        assert!(tail.ends_with("\n4999\n5000\n"), "{tail}");
        assert_eq!(tail.len(), STDERR_TAIL_BYTES);
    }

    #[test]
    fn wait_gives_up_after_the_timeout() {
        let mut process = shell("sleep 60");
        assert_eq!(process.wait(Duration::from_millis(20)).unwrap(), None);
    }

    #[test]
    fn drop_ends_the_process() {
        let process = shell("sleep 60");
        let directory = format!("/proc/{}", process.id());
        drop(process);
        assert!(!std::path::Path::new(&directory).exists());
    }
}
