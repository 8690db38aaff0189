// SPDX-License-Identifier: GPL-2.0

//! The serial line over which a guest is told what to do.

use std::io;
use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use onecopy_guest::protocol::Reply;
use onecopy_guest::protocol::Request;
use onecopy_guest::protocol::PREFIX;
use onecopy_guest::protocol::READY;
use onecopy_guest::Failure;

use crate::lost::Lost;

/// Why there is no good answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The guest tried, and its kernel refused.
    #[error("The guest answered {0}")]
    Refused(Failure),
    /// No answer came in time.
    #[error("The guest did not answer within {} ms: {doing}", .waited.as_millis())]
    Timeout {
        /// What it was told to do.
        doing: String,
        /// For how long the host has waited.
        waited: Duration,
    },
    /// The guest is gone.
    #[error("The guest ended before it answered: {doing}")]
    Ended {
        /// What it was told to do.
        doing: String,
    },
    /// The line failed.
    #[error("Cannot talk to the guest: {doing}")]
    Io {
        /// What it was told to do.
        doing: String,
        /// Why that failed.
        source: io::Error,
    },
    /// There is no answer because there is no guest any more.
    #[error("{error}: {lost}")]
    Lost {
        /// How that showed.
        error: Box<Error>,
        /// What has become of the guest.
        lost: Lost,
    },
}

/// Shorthand for results of this module.
pub type Result<T = Answer> = std::result::Result<T, Error>;

/// What a guest has answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The lines of output.
    pub lines: Vec<String>,
    /// The text at the end.
    pub text: String,
}

impl Answer {
    /// Returns the value of `KEY=VALUE` in the text at the end, or in the first line of output.
    pub fn value(&self, key: &str) -> Option<&str> {
        let first = self.lines.first().map_or("", String::as_str);
        let mut words = self.text.split(' ').chain(first.split(' '));
        words.find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }
}

impl Control {
    /// Uses a line that is connected already.
    pub fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            received: Vec::new(),
            last_id: 0,
        }
    }
}

/// The host's end of the line, before QEMU has connected.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Listens in a directory.
    ///
    /// # Errors
    ///
    /// When there is something of that name already, or no room.
    pub fn bind(directory: &Path) -> io::Result<Self> {
        let path = directory.join("control");
        Ok(Self {
            listener: UnixListener::bind(&path)?,
            path,
        })
    }

    /// Returns the path to which QEMU has to connect.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the connection that QEMU has made.
    ///
    /// QEMU connects before its monitor answers, so there is nothing to wait for.
    ///
    /// # Errors
    ///
    /// When QEMU has not connected.
    pub fn accept(self) -> io::Result<Control> {
        self.listener.set_nonblocking(true)?;
        let (stream, _) = self.listener.accept()?;
        stream.set_nonblocking(false)?;
        Ok(Control::new(stream))
    }
}

/// A connected line.
#[derive(Debug)]
pub struct Control {
    stream: UnixStream,
    received: Vec<u8>,
    last_id: u64,
}

impl Control {
    /// Waits until the guest takes commands.
    ///
    /// # Errors
    ///
    /// When it does not within `timeout`.
    pub fn wait_ready(&mut self, timeout: Duration) -> Result<()> {
        let deadline = Deadline {
            doing: "getting ready",
            start: Instant::now(),
            timeout,
        };
        let ready = format!("{PREFIX}{READY}");
        while self.receive(&deadline)?.trim_end() != ready {}
        Ok(())
    }

    /// Tells the guest to do something and waits until it has.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with the guest's errno, or what else went wrong.
    pub fn run(&mut self, command: &str, arguments: &[&[u8]], timeout: Duration) -> Result {
        self.last_id += 1;
        let request = Request {
            id: self.last_id,
            command: command.to_owned(),
            arguments: arguments.iter().map(|argument| argument.to_vec()).collect(),
        };
        let line = request.encode();
        let deadline = Deadline {
            doing: &line,
            start: Instant::now(),
            timeout,
        };
        self.stream
            .set_write_timeout(Some(timeout))
            .and_then(|()| self.stream.write_all(format!("{line}\n").as_bytes()))
            .map_err(|error| deadline.failed(error))?;
        self.collect(&deadline)
    }

    fn collect(&mut self, deadline: &Deadline<'_>) -> Result {
        let mut answer = Answer::default();
        loop {
            match Reply::decode(&self.receive(deadline)?, self.last_id) {
                Some(Reply::Output(line)) => {
                    answer
                        .lines
                        .push(String::from_utf8_lossy(&line).into_owned());
                }
                Some(Reply::Done(text)) => return Ok(Answer { text, ..answer }),
                Some(Reply::Failed(failure)) => return Err(Error::Refused(failure)),
                // Late answers to a command that was given up.
                None => {}
            }
        }
    }

    fn receive(&mut self, deadline: &Deadline<'_>) -> Result<String> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            let left = deadline.left()?;
            self.stream
                .set_read_timeout(Some(left))
                .map_err(|error| deadline.failed(error))?;
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => {
                    return Err(Error::Ended {
                        doing: deadline.doing.to_owned(),
                    })
                }
                Ok(count) => {
                    self.received
                        .extend_from_slice(chunk.get(..count).unwrap_or_default());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(deadline.failed(error)),
            }
        }
    }
}

/// Until when an answer is waited for, and to what.
struct Deadline<'a> {
    doing: &'a str,
    start: Instant,
    timeout: Duration,
}

impl Deadline<'_> {
    fn left(&self) -> Result<Duration> {
        let left = self.timeout.checked_sub(self.start.elapsed());
        left.filter(|left| !left.is_zero())
            .ok_or_else(|| self.exceeded())
    }

    fn exceeded(&self) -> Error {
        Error::Timeout {
            doing: self.doing.to_owned(),
            waited: self.timeout,
        }
    }

    fn failed(&self, source: io::Error) -> Error {
        match source.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => self.exceeded(),
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Error::Ended {
                doing: self.doing.to_owned(),
            },
            _ => Error::Io {
                doing: self.doing.to_owned(),
                source,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    fn line() -> (Control, UnixStream) {
        let directory = tempfile::tempdir().unwrap();
        let listener = Listener::bind(directory.path()).unwrap();
        let guest = UnixStream::connect(listener.path()).unwrap();
        (listener.accept().unwrap(), guest)
    }

    #[test]
    fn answers_are_told_from_messages_and_from_late_answers() {
        let (mut control, mut guest) = line();
        guest
            .write_all(b"[ 1.0] boot\n@oc ready\nnoise\n@oc 0 OK late\n")
            .unwrap();
        guest
            .write_all(b"@oc 1 | a b%0a\n@oc 1 OK n=1\n@oc 2 ERR 2 ENOENT x\n")
            .unwrap();
        control.wait_ready(TIMEOUT).unwrap();
        let answer = control.run("read", &[b"/x"], TIMEOUT).unwrap();
        assert_eq!(answer.lines, ["a b\n"]);
        assert_eq!((answer.value("n"), answer.value("m")), (Some("1"), None));
        let error = control.run("read", &[b"/x"], TIMEOUT).unwrap_err();
        assert!(
            matches!(&error, Error::Refused(failure) if failure.errno == 2),
            "{error}"
        );
    }

    #[test]
    fn silence_ends_at_the_deadline() {
        let (mut control, _guest) = line();
        let error = control
            .run("read", &[], Duration::from_millis(20))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "The guest did not answer within 20 ms: 1 read"
        );
    }

    #[test]
    fn the_end_of_the_guest_ends_the_wait() {
        let (mut control, guest) = line();
        let ending = thread::spawn(move || drop(guest));
        let error = control.wait_ready(TIMEOUT).unwrap_err();
        ending.join().unwrap();
        assert!(matches!(error, Error::Ended { .. }), "{error}");
    }
}
