// SPDX-License-Identifier: GPL-2.0

//! Starting a child that cannot outlive this process.
//!
//! The kernel's parent-death signal is tied to the *thread* that forked, so a child started from
//! a short-lived worker thread would be killed when that thread ends. All children are therefore
//! started by one thread that lives as long as the process.

use std::io;
use std::process::Child;
use std::process::Command;
use std::sync::mpsc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use cap_std_ext::cmdext::CapStdExtCommandExt;
use rustix::event::Timespec;

/// A command to start and where to send the child.
struct Job {
    command: Command,
    reply: mpsc::Sender<io::Result<Child>>,
}

/// Starts `command`; the kernel kills the child when this process ends in any way.
///
/// # Errors
///
/// When it cannot be started.
pub fn spawn_bound(mut command: Command) -> io::Result<Child> {
    command.lifecycle_bind_to_parent_thread();
    let (reply, answer) = mpsc::channel();
    spawner()?
        .send(Job { command, reply })
        .map_err(|_| spawner_gone())?;
    answer.recv().map_err(|_| spawner_gone())?
}

/// Converts a time-out for `poll`; one too long to express waits for the longest possible time.
pub fn timespec(timeout: Duration) -> Timespec {
    Timespec {
        tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    }
}

fn spawner() -> io::Result<mpsc::Sender<Job>> {
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Job>>> = OnceLock::new();

    let sender = match SPAWNER.get() {
        Some(sender) => sender,
        None => {
            let started = start_spawner()?;
            // When two threads come here at once, the loser's spawner ends with its sender.
            SPAWNER.get_or_init(|| Mutex::new(started))
        }
    };
    Ok(sender.lock().map_err(|_| spawner_gone())?.clone())
}

fn start_spawner() -> io::Result<mpsc::Sender<Job>> {
    let (sender, jobs) = mpsc::channel::<Job>();
    thread::Builder::new()
        .name("spawner".to_owned())
        .spawn(move || {
            for Job { mut command, reply } in jobs {
                if let Err(mpsc::SendError(Ok(mut child))) = reply.send(command.spawn()) {
                    // Nobody waits for this child any more. Both calls can only fail when it has
                    // ended already.
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        })?;
    Ok(sender)
}

fn spawner_gone() -> io::Error {
    io::Error::other("the thread that starts children has ended")
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn child_survives_the_thread_that_asked_for_it() {
        let mut child = thread::spawn(|| {
            let mut command = Command::new("sleep");
            command.arg("60");
            spawn_bound(command).unwrap()
        })
        .join()
        .unwrap();
        thread::sleep(Duration::from_millis(50));
        assert_eq!(child.try_wait().unwrap(), None);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn missing_program_is_reported() {
        let error = spawn_bound(Command::new("/nonexistent/program")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
