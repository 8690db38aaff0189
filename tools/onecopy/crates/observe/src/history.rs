// SPDX-License-Identifier: GPL-2.0

//! What was recorded: files of one JSON object in a line.
//!
//! These lines are known, and may stand in the same file:
//!
//! ```text
//! {"time_unix_ms":..,"host":..,..}                        a sample
//! {"time":1800000000.5,"guest":"web","bytes":268435456}   the memory that a guest was told to give up
//! {"event":"shrink","unix_ms":..,"guest":"web","to_bytes":268435456,"delivery":{"state":"sent"},..}    the same
//! ```
//!
//! The time of the second is in seconds since 1970, or like `2027-01-15T08:00:00Z`. The third is what
//! `onecopy vmrm --json` prints; its other events are skipped, and so is what a guest was not told because
//! that has failed.

use std::fs::File;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Seek;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use serde::Deserialize;

use crate::Sample;

/// What was recorded, in the order of time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// Samples.
    pub samples: Vec<Sample>,
    /// What guests were told.
    pub shrinks: Vec<Shrink>,
}

/// A guest was told by SHRINK how much memory it shall give up altogether.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shrink {
    /// When, in milliseconds since 1970.
    pub time_unix_ms: u64,
    /// The guest.
    pub guest: String,
    /// The memory in bytes; 0 gives all back to it.
    pub bytes: u64,
}

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file cannot be read or written.
    #[error("Cannot {doing} {}", .path.display())]
    Io {
        /// What was being done, as a verb.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A line is neither a sample nor a SHRINK.
    #[error("Line {line} of {} is neither a sample nor a SHRINK", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Time {
    Seconds(f64),
    Text(String),
}

#[derive(Deserialize)]
struct ShrinkLine {
    time: Time,
    guest: String,
    bytes: u64,
}

/// What of an event of `onecopy vmrm` matters here.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum EventLine {
    Shrink {
        unix_ms: u64,
        guest: String,
        to_bytes: u64,
        delivery: Delivery,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
enum Delivery {
    Failed,
    /// Also of a simulation, which shows what guests would have been told.
    #[serde(other)]
    Done,
}

impl History {
    /// Adds what is in a file, and brings all in order.
    ///
    /// A last line without an end is left out: its writer was killed, or is still writing.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or another line is not understood.
    pub fn read(&mut self, path: &Path) -> Result<(), HistoryError> {
        let failed = |source| HistoryError::Io {
            doing: "read",
            path: path.to_owned(),
            source,
        };
        let mut reader = BufReader::new(File::open(path).map_err(failed)?);
        let mut text = Vec::new();
        for line in 1.. {
            text.clear();
            let count = reader.read_until(b'\n', &mut text).map_err(failed)?;
            if count == 0 {
                break;
            }
            let parsed = self.add(&text);
            if let Err(source) = parsed {
                if !text.ends_with(b"\n") {
                    break;
                }
                return Err(HistoryError::Line {
                    path: path.to_owned(),
                    line,
                    source,
                });
            }
        }
        self.samples.sort_by_key(|sample| sample.time_unix_ms);
        self.shrinks.sort_by_key(|shrink| shrink.time_unix_ms);
        Ok(())
    }

    fn add(&mut self, line: &[u8]) -> Result<(), serde_json::Error> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let value: serde_json::Value = serde_json::from_slice(line)?;
        if value.get("time_unix_ms").is_some() {
            self.samples.push(serde_json::from_value(value)?);
        } else if value.get("event").is_some() {
            self.shrinks.extend(told(serde_json::from_value(value)?));
        } else {
            let line: ShrinkLine = serde_json::from_value(value)?;
            self.shrinks.push(Shrink {
                time_unix_ms: line.time.unix_ms()?,
                guest: line.guest,
                bytes: line.bytes,
            });
        }
        Ok(())
    }
}

/// Returns what a guest was told, if that is what the event is about.
fn told(event: EventLine) -> Option<Shrink> {
    match event {
        EventLine::Shrink {
            unix_ms,
            guest,
            to_bytes,
            delivery: Delivery::Done,
        } => Some(Shrink {
            time_unix_ms: unix_ms,
            guest,
            bytes: to_bytes,
        }),
        EventLine::Shrink { .. } | EventLine::Other => None,
    }
}

impl Time {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast of a float saturates"
    )]
    fn unix_ms(&self) -> Result<u64, serde_json::Error> {
        match self {
            Self::Seconds(seconds) => Ok((seconds * 1e3) as u64),
            Self::Text(text) => {
                let time = humantime::parse_rfc3339_weak(text).map_err(serde::de::Error::custom)?;
                let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
                Ok(since.as_millis().try_into().unwrap_or(u64::MAX))
            }
        }
    }
}

/// A file that samples are added to.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    file: File,
}

impl Recorder {
    /// Opens the file, behind what is in it.
    ///
    /// # Errors
    ///
    /// When it cannot be written to.
    pub fn open(path: &Path) -> Result<Self, HistoryError> {
        let file = File::options().create(true).append(true).open(path);
        Ok(Self {
            path: path.to_owned(),
            file: file.map_err(|source| HistoryError::Io {
                doing: "open",
                path: path.to_owned(),
                source,
            })?,
        })
    }

    /// Adds a sample.
    ///
    /// # Errors
    ///
    /// When the disk is full, for example.
    pub fn record(&mut self, sample: &Sample) -> Result<(), HistoryError> {
        let mut write = || {
            let mut line = serde_json::to_vec(sample)?;
            line.push(b'\n');
            self.append(&line)
        };
        write().map_err(|source| HistoryError::Io {
            doing: "write to",
            path: self.path.clone(),
            source,
        })
    }
}

impl Recorder {
    /// Adds a line in one call, so that several processes can write to one file. On a full disk only a
    /// part may be written, which the next line would go on from: it is taken back.
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let count = self.file.write(line)?;
        let start = self.file.stream_position()?.saturating_sub(count as u64);
        let rest = line.get(count..).unwrap_or_default();
        let written = self.file.write_all(rest);
        // Unless somebody else has written behind it.
        let end = self.file.stream_position()?;
        if written.is_err() && self.file.metadata()?.len() == end {
            self.file.set_len(start)?;
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::tests::sample;

    #[test]
    fn what_was_recorded_comes_back_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("h.jsonl");
        let mut recorder = Recorder::open(&path).unwrap();
        let mut late = sample(2);
        late.time_unix_ms += 1000;
        recorder.record(&late).unwrap();
        let mut recorder = Recorder::open(&path).unwrap();
        recorder.record(&sample(1)).unwrap();
        writeln!(
            recorder.file,
            "{{\"time\":7.25,\"guest\":\"b\",\"bytes\":9,\"by\":\"x\"}}"
        )
        .unwrap();
        let text = "1970-01-01T00:00:05Z";
        writeln!(
            recorder.file,
            "{{\"time\":\"{text}\",\"guest\":\"a\",\"bytes\":0}}\n"
        )
        .unwrap();
        for line in [
            "{\"event\":\"shrink\",\"unix_ms\":8000,\"guest\":\"c\",\"to_bytes\":7,\
             \"delivery\":{\"state\":\"sent\"},\"host\":{}}",
            "{\"event\":\"shrink\",\"unix_ms\":9000,\"guest\":\"c\",\"to_bytes\":8,\
             \"delivery\":{\"state\":\"failed\",\"error\":\"gone\"}}",
            "{\"event\":\"silent\",\"guest\":\"c\",\"error\":\"gone\"}",
            "{\"event\":\"reloaded\"}",
        ] {
            writeln!(recorder.file, "{line}").unwrap();
        }
        write!(recorder.file, "{{\"time\":").unwrap();
        let mut history = History::default();
        history.read(&path).unwrap();
        assert_eq!(history.samples, [sample(1), late]);
        let shrinks: Vec<_> = history
            .shrinks
            .iter()
            .map(|shrink| (shrink.time_unix_ms, shrink.guest.as_str(), shrink.bytes))
            .collect();
        assert_eq!(shrinks, [(5000, "a", 0), (7250, "b", 9), (8000, "c", 7)]);
    }

    #[test]
    fn a_line_that_is_something_else_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("h.jsonl");
        for line in [
            "x",
            "{\"time\":1,\"guest\":\"a\"}",
            "{\"time_unix_ms\":1}",
            "{\"event\":\"shrink\",\"unix_ms\":1}",
            "{\"event\":1}",
        ] {
            std::fs::write(&path, format!("\n{line}\n")).unwrap();
            let error = History::default().read(&path).unwrap_err().to_string();
            let expected = format!(
                "Line 2 of {} is neither a sample nor a SHRINK",
                path.display()
            );
            assert_eq!(error, expected, "{line}");
        }
    }
}
