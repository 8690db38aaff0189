// SPDX-License-Identifier: GPL-2.0

//! One message and its answer, over the socket of a guest's channel.

use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use onecopy_directory::lock_within;
use onecopy_directory::Sharing;
use onecopy_machine::qmp;
use onecopy_machine::qmp::QmpError;

use super::answer::Answer;
use super::answer::Refused;
use super::message::Message;
use super::message::Sender;

/// The longest line of a guest, in bytes; what is longer is no answer.
const MAX_LINE_BYTES: usize = 512;

/// Why a message was not carried out, as far as is known.
#[derive(Debug, thiserror::Error)]
pub enum SmsgError {
    /// The guest has refused it.
    #[error("{0}")]
    Refused(Refused),
    /// There is nothing to send messages by.
    #[error("it has no channel for messages; ipl --smsg plugs one")]
    NoChannel,
    /// Somebody else is sending messages all the time.
    #[error("another message was being sent for {} s; this one was not", .0.as_secs_f32())]
    Busy(Duration),
    /// Nobody takes it.
    #[error(
        "no answer within {} s: the guest does not run, its kernel has no driver for messages \
         (CONFIG_VIRTIO_SMSG), or is busy with it; it may still be carried out",
        .0.as_secs_f32()
    )]
    NoAnswer(Duration),
    /// The machine is gone.
    #[error("the machine has ended before there was an answer")]
    Ended,
    /// A system call has failed.
    #[error("cannot use its channel")]
    Io(#[from] io::Error),
}

/// Until when there must be an answer.
#[derive(Debug, Clone, Copy)]
struct Deadline {
    start: Instant,
    timeout: Duration,
}

impl Deadline {
    /// Returns the time that is left, which is not zero.
    fn must_have_left(self) -> Result<Duration, SmsgError> {
        self.left().ok_or(SmsgError::NoAnswer(self.timeout))
    }

    fn left(self) -> Option<Duration> {
        let left = self.timeout.checked_sub(self.start.elapsed());
        left.filter(|left| !left.is_zero())
    }
}

/// Sends a message by a socket, and waits for the answer. One process at a time does that: it has the
/// lock, which is a file.
///
/// # Errors
///
/// See [`SmsgError`].
pub fn exchange(
    socket: &Path,
    lock: &Path,
    sender: &Sender,
    message: &Message,
    timeout: Duration,
) -> Result<(), SmsgError> {
    let start = Instant::now();
    let deadline = Deadline { start, timeout };
    if !socket.try_exists()? {
        return Err(SmsgError::NoChannel);
    }
    let _lock = take_turns(lock, deadline)?;
    let stream = connect(socket, deadline)?;
    converse(stream, sender, message, deadline)
}

/// QEMU takes one client after the other, and nobody is told to wait.
fn take_turns(path: &Path, deadline: Deadline) -> Result<File, SmsgError> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)?;
    let left = deadline.left().unwrap_or_default();
    if lock_within(&file, Sharing::Exclusive, left)? {
        return Ok(file);
    }
    Err(SmsgError::Busy(deadline.timeout))
}

fn connect(socket: &Path, deadline: Deadline) -> Result<UnixStream, SmsgError> {
    let dialled = qmp::Client::dial(socket, deadline.must_have_left()?);
    dialled.map_err(|error| match error {
        QmpError::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => SmsgError::Ended,
        QmpError::Io(error) => SmsgError::Io(error),
        _ => SmsgError::NoAnswer(deadline.timeout),
    })
}

fn converse(
    mut stream: UnixStream,
    sender: &Sender,
    message: &Message,
    deadline: Deadline,
) -> Result<(), SmsgError> {
    let id = new_id()?;
    // Somebody may have been killed in the middle of a line.
    let request = format!("\n{id} {sender} {message}\n");
    let failed = |error: io::Error| failure(error, deadline);
    stream.set_write_timeout(Some(deadline.must_have_left()?))?;
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut received = Vec::new();
    loop {
        while let Some(end) = received.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = received.drain(..=end).collect();
            match Answer::parse(line.get(..end).unwrap_or_default(), &id) {
                Some(Answer::Done) => return Ok(()),
                Some(Answer::Refused(refused)) => return Err(SmsgError::Refused(refused)),
                None => {}
            }
        }
        if received.len() > MAX_LINE_BYTES {
            received.clear();
        }
        stream.set_read_timeout(Some(deadline.must_have_left()?))?;
        let mut chunk = [0; MAX_LINE_BYTES];
        match stream.read(&mut chunk) {
            Ok(0) => return Err(SmsgError::Ended),
            Ok(count) => received.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

fn failure(error: io::Error, deadline: Deadline) -> SmsgError {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            SmsgError::NoAnswer(deadline.timeout)
        }
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => SmsgError::Ended,
        _ => SmsgError::Io(error),
    }
}

/// Returns an identifier that nobody else has used: answers to others may still come.
fn new_id() -> io::Result<String> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use std::io::BufRead;
    use std::io::BufReader;
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;

    use std::thread;

    use onecopy_directory::try_lock;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(100);

    struct Place(tempfile::TempDir);

    impl Place {
        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn send(&self, text: &str, timeout: Duration) -> Result<(), SmsgError> {
            let (sender, message) = (Sender::default(), text.parse().unwrap());
            exchange(
                &self.path("smsg"),
                &self.path("lock"),
                &sender,
                &message,
                timeout,
            )
        }

        /// Answers so many messages, each as the function says.
        fn serve(
            &self,
            count: usize,
            answer: fn(&str, &str) -> String,
        ) -> thread::JoinHandle<Vec<String>> {
            let listener = UnixListener::bind(self.path("smsg")).unwrap();
            thread::spawn(move || {
                let mut seen = Vec::new();
                for _ in 0..count {
                    let (stream, _) = listener.accept().unwrap();
                    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                    assert_eq!(lines.next().unwrap().unwrap(), "");
                    let line = lines.next().unwrap().unwrap();
                    let (id, rest) = line.split_once(' ').unwrap();
                    (&stream).write_all(answer(id, rest).as_bytes()).unwrap();
                    seen.push(rest.to_owned());
                    // Until the other side has enough.
                    lines.for_each(drop);
                }
                seen
            })
        }
    }

    fn place() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    #[test]
    fn the_answer_is_found_among_others() {
        let place = place();
        let server = place.serve(2, |id, rest| match rest {
            "VMRMSVM CMM SHRINK 1" => format!("half\n0 OK\n{}\n{id} OK\n", "x".repeat(2000)),
            _ => format!("{id} ERR 1 no\n"),
        });
        place.send("CMM SHRINK 1", TIMEOUT).unwrap();
        let error = place.send("A", TIMEOUT).unwrap_err();
        assert_eq!(error.to_string(), "no: Operation not permitted (errno 1)");
        assert_eq!(
            server.join().unwrap(),
            ["VMRMSVM CMM SHRINK 1", "VMRMSVM A"]
        );
    }

    #[test]
    fn senders_take_turns() {
        let place = place();
        let server = place.serve(8, |id, _| {
            thread::sleep(Duration::from_millis(10));
            format!("{id} OK\n")
        });
        thread::scope(|scope| {
            for number in 0..8 {
                let place = &place;
                scope.spawn(move || place.send(&format!("A {number}"), TIMEOUT).unwrap());
            }
        });
        assert_eq!(server.join().unwrap().len(), 8);
    }

    #[test]
    fn nothing_is_waited_for_without_end() {
        let place = place();
        assert!(matches!(place.send("A", SHORT), Err(SmsgError::NoChannel)));
        let listener = UnixListener::bind(place.path("smsg")).unwrap();
        for _ in 0..3 {
            assert!(matches!(
                place.send("A", SHORT),
                Err(SmsgError::NoAnswer(_))
            ));
        }
        let lock = File::open(place.path("lock")).unwrap();
        assert!(try_lock(&lock, Sharing::Exclusive).unwrap());
        assert!(matches!(place.send("A", SHORT), Err(SmsgError::Busy(_))));
        drop(lock);
        drop(listener);
        assert!(matches!(place.send("A", SHORT), Err(SmsgError::Ended)));
    }

    #[test]
    fn a_machine_that_ends_is_noticed_at_once() {
        let place = place();
        let listener = UnixListener::bind(place.path("smsg")).unwrap();
        let server = thread::spawn(move || drop(listener.accept().unwrap()));
        let error = place.send("A", TIMEOUT).unwrap_err();
        assert!(matches!(error, SmsgError::Ended), "{error:?}");
        server.join().unwrap();
    }
}
