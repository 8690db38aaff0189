// SPDX-License-Identifier: GPL-2.0

//! The serial console of a guest.

mod log;
mod transcript;

use std::io;
use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::thread;
use std::time::Duration;
use std::time::Instant;

pub(crate) use self::log::Log;
use self::transcript::Transcript;

/// How many lines go into a report.
const TAIL_LINES: usize = 30;

/// How long the guest may leave input unread before writing to it fails.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where console output goes besides the log.
pub type Tee = Box<dyn Write + Send>;

/// How a match is taken from the transcript: its index among the patterns, and its line.
type Take = fn(&mut Transcript, &[&str]) -> Option<(usize, String)>;

/// Why the expected text did not come.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The guest is gone.
    #[error("The console ended before it said {expected}")]
    Ended {
        /// What was waited for.
        expected: String,
    },
    /// The guest is silent, or says something else.
    #[error("The console did not say {expected} within {} ms", .waited.as_millis())]
    Timeout {
        /// What was waited for.
        expected: String,
        /// For how long.
        waited: Duration,
    },
    /// The guest does not take input.
    #[error("Cannot write to the console")]
    Write(#[source] io::Error),
}

/// A serial console: everything that it says is kept, logged and searchable.
///
/// Searches go forward only: each one starts where the last match ended. Clones share the
/// console and the position.
#[derive(Debug, Clone)]
pub struct Console {
    shared: Arc<Shared>,
    stream: Arc<UnixStream>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    transcript: Transcript,
    ended: bool,
}

impl Shared {
    /// A reader that panicked leaves a shorter transcript, which is still the truth.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Console {
    /// Starts to read `stream` in the background, into `log` and `tee`.
    pub(crate) fn attach(stream: UnixStream, log: Log, tee: Option<Tee>) -> io::Result<Self> {
        stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
        let reader = stream.try_clone()?;
        let shared = Arc::new(Shared::default());
        let kept = Arc::clone(&shared);
        thread::Builder::new()
            .name("console".to_owned())
            .spawn(move || read_to_end(reader, log, tee, &kept))?;
        Ok(Self {
            shared,
            stream: Arc::new(stream),
        })
    }

    /// Waits until the console says `pattern`, and returns that line as far as it has arrived.
    ///
    /// Suits prompts, whose line does not end.
    ///
    /// # Errors
    ///
    /// When the text does not come within `timeout`, or the console ends.
    pub fn wait_for(&self, pattern: &str, timeout: Duration) -> Result<String, ConsoleError> {
        Ok(self.wait_for_any(&[pattern], timeout)?.1)
    }

    /// Waits for the first of several texts; returns its index in `patterns` and its line.
    ///
    /// # Errors
    ///
    /// When none of them comes within `timeout`, or the console ends.
    pub fn wait_for_any(
        &self,
        patterns: &[&str],
        timeout: Duration,
    ) -> Result<(usize, String), ConsoleError> {
        self.wait(patterns, timeout, Transcript::take_match)
    }

    /// Waits until a line that holds `pattern` is complete, and returns it.
    ///
    /// # Errors
    ///
    /// When the line does not come within `timeout`, or the console ends.
    pub fn wait_for_line(&self, pattern: &str, timeout: Duration) -> Result<String, ConsoleError> {
        Ok(self.wait(&[pattern], timeout, Transcript::take_line)?.1)
    }

    /// Waits until nothing more can come: the guest has ended.
    ///
    /// Returns `false` when it has not within `timeout`.
    pub fn wait_for_end(&self, timeout: Duration) -> bool {
        let state = self.shared.lock();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(state, timeout, |state| !state.ended);
        waited.unwrap_or_else(PoisonError::into_inner).0.ended
    }

    /// Sends a line to the guest.
    ///
    /// # Errors
    ///
    /// When the guest is gone, or does not read for 10 s.
    pub fn send_line(&self, line: &str) -> Result<(), ConsoleError> {
        self.send(format!("{line}\n").as_bytes())
    }

    /// Sends bytes to the guest.
    ///
    /// # Errors
    ///
    /// When the guest is gone, or does not read for 10 s.
    pub fn send(&self, bytes: &[u8]) -> Result<(), ConsoleError> {
        (&*self.stream)
            .write_all(bytes)
            .map_err(ConsoleError::Write)
    }

    /// Returns everything that the console has said and that is still kept (4 MiB at least).
    pub fn text(&self) -> String {
        self.shared.lock().transcript.text()
    }

    /// Returns the last lines.
    pub fn tail(&self) -> String {
        self.shared.lock().transcript.tail(TAIL_LINES)
    }

    fn wait(
        &self,
        patterns: &[&str],
        timeout: Duration,
        take: Take,
    ) -> Result<(usize, String), ConsoleError> {
        let expected = || {
            let quoted: Vec<_> = patterns
                .iter()
                .map(|pattern| format!("{pattern:?}"))
                .collect();
            quoted.join(" or ")
        };
        let start = Instant::now();
        let mut state = self.shared.lock();
        loop {
            if let Some(found) = take(&mut state.transcript, patterns) {
                return Ok(found);
            }
            if state.ended {
                return Err(ConsoleError::Ended {
                    expected: expected(),
                });
            }
            let Some(left) = timeout.checked_sub(start.elapsed()) else {
                return Err(ConsoleError::Timeout {
                    expected: expected(),
                    waited: timeout,
                });
            };
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn read_to_end(mut stream: UnixStream, mut log: Log, mut tee: Option<Tee>, shared: &Shared) {
    let mut chunk = [0; 4096];
    loop {
        let count = match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let said = chunk.get(..count).unwrap_or_default();
        // A full disk or a closed terminal must not stop the guest: the transcript goes on.
        let _ = log.write(said);
        if let Some(tee) = &mut tee {
            let _ = tee.write_all(said).and_then(|()| tee.flush());
        }
        shared.lock().transcript.push(said);
        shared.changed.notify_all();
    }
    shared.lock().ended = true;
    shared.changed.notify_all();
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn console() -> (Console, UnixStream) {
        let (ours, guest) = UnixStream::pair().unwrap();
        let log = Log::create(Path::new("/dev/null"), None).unwrap();
        (Console::attach(ours, log, None).unwrap(), guest)
    }

    #[test]
    fn expected_text_is_found_across_writes() {
        let (console, mut guest) = console();
        guest.write_all(b"rea").unwrap();
        guest.write_all(b"dy\r\n").unwrap();
        let line = console
            .wait_for_line("ready", Duration::from_secs(5))
            .unwrap();
        assert_eq!(line, "ready");
    }

    #[test]
    fn silence_ends_at_the_deadline() {
        let (console, _guest) = console();
        let error = console
            .wait_for("ready", Duration::from_millis(20))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "The console did not say \"ready\" within 20 ms"
        );
    }

    #[test]
    fn the_end_of_the_guest_ends_the_wait() {
        let (console, guest) = console();
        drop(guest);
        let error = console
            .wait_for("ready", Duration::from_secs(60))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "The console ended before it said \"ready\""
        );
        assert!(console.wait_for_end(Duration::ZERO));
    }

    #[test]
    fn lines_reach_the_guest() {
        let (console, mut guest) = console();
        console.send_line("go").unwrap();
        let mut received = [0; 3];
        guest.read_exact(&mut received).unwrap();
        assert_eq!(&received, b"go\n");
    }
}
