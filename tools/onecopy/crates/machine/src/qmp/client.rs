// SPDX-License-Identifier: GPL-2.0

//! One QMP session.

use std::collections::VecDeque;
use std::io;
use std::io::Read;
use std::io::Write;
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::commands::QmpCapabilities;
use super::socket::dial;
use super::socket::failure;
use super::socket::send_with;
use super::socket::timeout;
use super::socket::Deadline;
use super::wire::Message;
use super::wire::Request;
use super::Command;
use super::Event;
use super::QmpError;

/// A connected monitor.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    received: Vec<u8>,
    events: VecDeque<Event>,
    last_id: u64,
}

/// A command that was sent and whose answer has not been read.
#[derive(Debug)]
#[must_use = "the answer may be a refusal"]
pub struct Pending<C> {
    id: u64,
    command: PhantomData<C>,
}

impl Client {
    /// Connects to the monitor at `path` and greets QEMU, both within `timeout`.
    ///
    /// # Errors
    ///
    /// When nobody listens there, or QEMU does not answer in time.
    pub fn connect(path: &Path, timeout: Duration) -> Result<Self, QmpError> {
        let deadline = Deadline::after(timeout);
        Self::greet(dial(path, deadline)?, deadline)
    }

    /// Connects to another socket of QEMU within `timeout`.
    ///
    /// # Errors
    ///
    /// When nobody listens there, or QEMU accepts nobody in time.
    pub fn dial(path: &Path, timeout: Duration) -> Result<UnixStream, QmpError> {
        dial(path, Deadline::after(timeout))
    }

    /// Greets QEMU on a fresh connection.
    ///
    /// # Errors
    ///
    /// When QEMU does not greet back within `timeout`.
    pub fn negotiate(stream: UnixStream, timeout: Duration) -> Result<Self, QmpError> {
        Self::greet(stream, Deadline::after(timeout))
    }

    fn greet(stream: UnixStream, deadline: Deadline) -> Result<Self, QmpError> {
        let mut client = Self {
            stream,
            received: Vec::new(),
            events: VecDeque::new(),
            last_id: 0,
        };
        // QEMU reads it when it has greeted; to wait for that would only wake it once more.
        let negotiated = client.begin_until(&QmpCapabilities {}, deadline)?;
        while !matches!(
            client.receive("greeting", deadline)?,
            Message::Greeting { .. }
        ) {}
        client.finish_until(negotiated, deadline)?;
        Ok(client)
    }

    /// Carries out a command and returns its answer.
    ///
    /// # Errors
    ///
    /// When QEMU refuses, ends, or does not answer within `timeout`.
    pub fn execute<C: Command>(
        &mut self,
        command: &C,
        timeout: Duration,
    ) -> Result<C::Ok, QmpError> {
        let deadline = Deadline::after(timeout);
        let pending = self.begin_until(command, deadline)?;
        self.finish_until(pending, deadline)
    }

    /// Sends a command and does not wait for its answer. Where many QEMUs are asked, most of the time goes by
    /// until each runs, so it should find all questions together.
    ///
    /// # Errors
    ///
    /// When QEMU has ended, or has not taken earlier commands within `timeout`.
    pub fn begin<C: Command>(
        &mut self,
        command: &C,
        timeout: Duration,
    ) -> Result<Pending<C>, QmpError> {
        self.begin_until(command, Deadline::after(timeout))
    }

    /// Returns the answer of a command that was sent. Answers are to be waited for in the order of their
    /// commands: one that comes while a later one is waited for is lost.
    ///
    /// # Errors
    ///
    /// As [`Self::execute`].
    pub fn finish<C: Command>(
        &mut self,
        pending: Pending<C>,
        timeout: Duration,
    ) -> Result<C::Ok, QmpError> {
        self.finish_until(pending, Deadline::after(timeout))
    }

    /// As [`Self::execute`], for a command that takes an open file.
    ///
    /// # Errors
    ///
    /// As [`Self::execute`].
    pub fn execute_with<C: Command>(
        &mut self,
        command: &C,
        file: BorrowedFd<'_>,
        timeout: Duration,
    ) -> Result<C::Ok, QmpError> {
        let deadline = Deadline::after(timeout);
        let pending = self.send(command, Some(file), deadline)?;
        self.finish_until(pending, deadline)
    }

    fn begin_until<C: Command>(
        &mut self,
        command: &C,
        deadline: Deadline,
    ) -> Result<Pending<C>, QmpError> {
        self.send(command, None, deadline)
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "an answer can be waited for once"
    )]
    fn finish_until<C: Command>(
        &mut self,
        pending: Pending<C>,
        deadline: Deadline,
    ) -> Result<C::Ok, QmpError> {
        let id = pending.id;
        loop {
            match self.receive(C::NAME, deadline)? {
                Message::Done {
                    value,
                    id: Some(answered),
                } if answered == id => {
                    return serde_json::from_value(value.clone()).map_err(|source| {
                        QmpError::Malformed {
                            message: value.to_string(),
                            source,
                        }
                    });
                }
                Message::Refused {
                    error,
                    id: Some(answered),
                } if answered == id => {
                    return Err(QmpError::Refused {
                        command: C::NAME,
                        class: error.class,
                        description: error.description,
                    });
                }
                Message::Event(event) => self.events.push_back(event),
                // An answer to an earlier command whose caller has stopped waiting.
                Message::Done { .. } | Message::Refused { .. } | Message::Greeting { .. } => {}
            }
        }
    }

    /// Waits for the next event of the given name and removes it; other events stay.
    ///
    /// # Errors
    ///
    /// When it does not come within `timeout`, or QEMU ends.
    pub fn wait_event(&mut self, name: &str, timeout: Duration) -> Result<Event, QmpError> {
        let deadline = Deadline::after(timeout);
        let mut seen = 0;
        loop {
            let found = self
                .events
                .iter()
                .skip(seen)
                .position(|event| event.name == name);
            if let Some(event) = found.and_then(|at| self.events.remove(seen + at)) {
                return Ok(event);
            }
            seen = self.events.len();
            if let Message::Event(event) = self.receive(name, deadline)? {
                self.events.push_back(event);
            }
        }
    }

    /// Takes all events that have been received so far.
    pub fn take_events(&mut self) -> Vec<Event> {
        self.events.drain(..).collect()
    }

    /// Reads what QEMU has said before it closed the monitor.
    pub(crate) fn drain(&mut self, timeout: Duration) {
        let deadline = Deadline::after(timeout);
        while let Ok(message) = self.receive("end", deadline) {
            if let Message::Event(event) = message {
                self.events.push_back(event);
            }
        }
    }

    fn send<C: Command>(
        &mut self,
        command: &C,
        file: Option<BorrowedFd<'_>>,
        deadline: Deadline,
    ) -> Result<Pending<C>, QmpError> {
        self.last_id += 1;
        let request = Request {
            execute: C::NAME,
            arguments: command,
            id: self.last_id,
        };
        let mut line = serde_json::to_vec(&request).map_err(|source| QmpError::Malformed {
            message: C::NAME.to_owned(),
            source,
        })?;
        line.push(b'\n');
        let left = deadline.left().ok_or_else(|| timeout(C::NAME, deadline))?;
        self.stream
            .set_write_timeout(Some(left))
            .map_err(QmpError::Io)?;
        let sent = match file {
            Some(file) => send_with(&self.stream, &line, file),
            None => Ok(0),
        };
        sent.and_then(|sent| self.stream.write_all(line.get(sent..).unwrap_or_default()))
            .map_err(|error| failure(error, C::NAME, deadline))?;
        Ok(Pending {
            id: self.last_id,
            command: PhantomData,
        })
    }

    fn receive(&mut self, doing: &str, deadline: Deadline) -> Result<Message, QmpError> {
        loop {
            if let Some(end) = self.received.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return serde_json::from_slice(&line).map_err(|source| QmpError::Malformed {
                    message: String::from_utf8_lossy(&line).trim().to_owned(),
                    source,
                });
            }
            let left = deadline.left().ok_or_else(|| timeout(doing, deadline))?;
            self.stream
                .set_read_timeout(Some(left))
                .map_err(QmpError::Io)?;
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => {
                    return Err(QmpError::Closed {
                        doing: doing.to_owned(),
                    })
                }
                Ok(count) => {
                    self.received
                        .extend_from_slice(chunk.get(..count).unwrap_or_default());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failure(error, doing, deadline)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufRead;
    use std::io::BufReader;
    use std::thread;
    use std::thread::JoinHandle;

    use super::super::commands::QueryStatus;
    use super::super::commands::Stop;
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    /// Plays QEMU: says each line after it has received a command, then closes the monitor.
    fn session(answers: &'static [&'static str]) -> (Result<Client, QmpError>, JoinHandle<()>) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let peer = thread::spawn(move || {
            let mut commands = BufReader::new(theirs.try_clone().unwrap()).lines();
            theirs.write_all(b"{\"QMP\": {}}\n").unwrap();
            for answer in answers {
                commands.next().unwrap().unwrap();
                theirs.write_all(answer.as_bytes()).unwrap();
            }
        });
        (Client::negotiate(ours, TIMEOUT), peer)
    }

    const READY: &str = "{\"return\": {}, \"id\": 1}\n";

    #[test]
    fn events_between_answers_are_kept_in_order() {
        let (client, peer) = session(&[
            READY,
            "{\"event\": \"A\"}\n{\"event\": \"B\"}\n{\"return\": {}, \"id\": 2}\n{\"event\": \"A\"}\n",
        ]);
        let mut client = client.unwrap();
        client.execute(&Stop {}, TIMEOUT).unwrap();
        assert_eq!(client.wait_event("B", TIMEOUT).unwrap().name, "B");
        client.wait_event("A", TIMEOUT).unwrap();
        client.wait_event("A", TIMEOUT).unwrap();
        assert!(client.take_events().is_empty());
        peer.join().unwrap();
    }

    #[test]
    fn a_refusal_carries_qemus_words() {
        let (client, _peer) = session(&[
            READY,
            "{\"error\": {\"class\": \"GenericError\", \"desc\": \"not now\"}, \"id\": 2}\n",
        ]);
        let error = client.unwrap().execute(&Stop {}, TIMEOUT).unwrap_err();
        assert_eq!(error.to_string(), "QEMU refused stop: not now");
    }

    #[test]
    fn an_answer_to_another_command_is_not_taken() {
        let (client, _peer) = session(&[
            READY,
            "{\"return\": {}, \"id\": 77}\n\
             {\"return\": {\"running\": true, \"status\": \"running\"}, \"id\": 2}\n",
        ]);
        assert!(
            client
                .unwrap()
                .execute(&QueryStatus {}, TIMEOUT)
                .unwrap()
                .running
        );
    }

    #[test]
    fn commands_that_were_sent_together_have_their_own_answers() {
        let (client, peer) = session(&[
            READY,
            "",
            "{\"return\": {\"running\": true, \"status\": \"running\"}, \"id\": 2}\n\
             {\"event\": \"A\"}\n\
             {\"error\": {\"class\": \"GenericError\", \"desc\": \"not now\"}, \"id\": 3}\n",
        ]);
        let mut client = client.unwrap();
        let status = client.begin(&QueryStatus {}, TIMEOUT).unwrap();
        let stop = client.begin(&Stop {}, TIMEOUT).unwrap();
        assert!(client.finish(status, TIMEOUT).unwrap().running);
        let error = client.finish(stop, TIMEOUT).unwrap_err();
        assert_eq!(error.to_string(), "QEMU refused stop: not now");
        client.wait_event("A", TIMEOUT).unwrap();
        peer.join().unwrap();
    }

    #[test]
    fn an_answer_of_another_form_is_shown() {
        let (client, _peer) = session(&[READY, "{\"return\": {\"running\": 5}, \"id\": 2}\n"]);
        let error = client
            .unwrap()
            .execute(&QueryStatus {}, TIMEOUT)
            .unwrap_err();
        assert!(matches!(error, QmpError::Malformed { .. }));
        assert!(error.to_string().contains("{\"running\":5}"), "{error}");
    }

    #[test]
    fn a_monitor_that_does_not_greet_is_waited_for_as_long_as_was_asked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("qmp");
        let _silent = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let error = Client::connect(&path, Duration::from_millis(50)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "QEMU did not answer within 50 ms: greeting"
        );
    }

    #[test]
    fn silence_ends_at_the_deadline_and_a_closed_monitor_at_once() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let error = Client::negotiate(ours, Duration::from_millis(20)).unwrap_err();
        assert!(matches!(error, QmpError::Timeout { .. }), "{error}");
        let (client, _peer) = session(&[READY]);
        let error = client.unwrap().execute(&Stop {}, TIMEOUT).unwrap_err();
        assert!(matches!(error, QmpError::Closed { .. }), "{error}");
    }
}
