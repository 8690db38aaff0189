// SPDX-License-Identifier: GPL-2.0

//! The socket of a monitor, with deadlines.

use std::io;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::connect;
use rustix::net::sendmsg;
use rustix::net::socket_with;
use rustix::net::AddressFamily;
use rustix::net::SendAncillaryBuffer;
use rustix::net::SendAncillaryMessage;
use rustix::net::SendFlags;
use rustix::net::SocketAddrUnix;
use rustix::net::SocketFlags;
use rustix::net::SocketType;

use super::QmpError;

/// How often a monitor is tried again whose queue of connections is full.
const RETRY: Duration = Duration::from_millis(10);

/// A point in time up to which an answer is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    start: Instant,
    pub(super) timeout: Duration,
}

impl Deadline {
    pub(super) fn after(timeout: Duration) -> Self {
        Self {
            start: Instant::now(),
            timeout,
        }
    }

    /// Returns the time that is left, `None` when there is none.
    pub(super) fn left(&self) -> Option<Duration> {
        self.timeout
            .checked_sub(self.start.elapsed())
            .filter(|left| !left.is_zero())
    }
}

/// Sends the beginning of a line together with an open file, and returns how much that was.
pub(super) fn send_with(
    stream: &UnixStream,
    line: &[u8],
    file: BorrowedFd<'_>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files = [file];
    // There is room for one.
    control.push(SendAncillaryMessage::ScmRights(&files));
    let line = [IoSlice::new(line)];
    Ok(sendmsg(stream, &line, &mut control, SendFlags::NOSIGNAL)?)
}

/// Connects to a socket. A QEMU that hangs accepts nobody: once its short queue is full, an ordinary
/// connection would be waited for without end.
pub(super) fn dial(path: &Path, deadline: Deadline) -> Result<UnixStream, QmpError> {
    let dial = || -> Result<UnixStream, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&socket, &SocketAddrUnix::new(path)?)?;
        Ok(socket.into())
    };
    loop {
        match dial() {
            Ok(stream) => {
                stream.set_nonblocking(false).map_err(QmpError::Io)?;
                return Ok(stream);
            }
            Err(Errno::AGAIN | Errno::INTR) if deadline.left().is_some() => thread::sleep(RETRY),
            Err(Errno::AGAIN | Errno::INTR) => return Err(timeout("connection", deadline)),
            Err(error) => return Err(QmpError::Io(error.into())),
        }
    }
}

pub(super) fn timeout(doing: &str, deadline: Deadline) -> QmpError {
    QmpError::Timeout {
        doing: doing.to_owned(),
        waited: deadline.timeout,
    }
}

pub(super) fn failure(error: io::Error, doing: &str, deadline: Deadline) -> QmpError {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => timeout(doing, deadline),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => QmpError::Closed {
            doing: doing.to_owned(),
        },
        _ => QmpError::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    #[test]
    fn a_monitor_that_accepts_nobody_is_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("qmp");
        let address = SocketAddrUnix::new(&path).unwrap();
        let listener = socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        );
        let listener = listener.unwrap();
        rustix::net::bind(&listener, &address).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let _first = UnixStream::connect(&path).unwrap();
        for ms in [30, 1] {
            let error = dial(&path, Deadline::after(Duration::from_millis(ms))).unwrap_err();
            let expected = format!("QEMU did not answer within {ms} ms: connection");
            assert_eq!(error.to_string(), expected);
        }
        drop(listener);
        let error = dial(&path, Deadline::after(TIMEOUT)).unwrap_err();
        assert!(matches!(error, QmpError::Io(_)), "{error}");
    }
}
