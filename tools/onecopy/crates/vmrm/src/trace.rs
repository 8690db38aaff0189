// SPDX-License-Identifier: GPL-2.0

//! Recorded samples: a line of JSON for the format, then one for each round.

use std::fs::File;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Seek;
use std::io::Write;
use std::path::Path;

use serde::Deserialize;
use serde::Serialize;

use crate::sample::Sample;

/// The version of the format.
const FORMAT: u32 = 1;

/// The longest line, in bytes: some thousands of guests.
const MAX_LINE_BYTES: u64 = 8 << 20;

/// The largest memory of a host or a guest, in bytes: what no machine has. Sums stay below 2^64.
const MAX_MEMORY_BYTES: u64 = 1 << 50;

/// The largest number of guests in a round.
const MAX_GUESTS: usize = 10_000;

/// What is wrong with a trace.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// It cannot be read.
    #[error("line {line} cannot be read")]
    Read {
        /// The line, from 1.
        line: usize,
        /// Why not.
        source: io::Error,
    },
    /// A line is not what is expected.
    #[error("line {line}, column {column}: {message}")]
    Form {
        /// The line, from 1.
        line: usize,
        /// The byte in it, from 1.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// It was written by another version.
    #[error("line 1: it has format {found}, not {FORMAT}: another version of onecopy recorded it")]
    Format {
        /// The version that was found.
        found: u32,
    },
    /// There is nothing in it.
    #[error("line 1: it does not begin as a trace does")]
    Empty,
    /// What a line says cannot be.
    #[error("line {line}: {reason}")]
    Content {
        /// The line, from 1.
        line: usize,
        /// Why not.
        reason: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    onecopy_vmrm_trace: u32,
}

/// Writes a trace.
#[derive(Debug)]
pub struct Recorder<W> {
    file: W,
}

impl Recorder<File> {
    /// Begins a trace in a file, or goes on with the one that is there.
    ///
    /// # Errors
    ///
    /// When there is something else in the file, or it cannot be written to.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = File::options();
        let mut file = options.create(true).read(true).append(true).open(path)?;
        let size_bytes = file.seek(io::SeekFrom::End(0))?;
        if size_bytes == 0 {
            return Self::new(file);
        }
        file.rewind()?;
        Trace::open(BufReader::new(&file)).map_err(io::Error::other)?;
        file.seek(io::SeekFrom::End(-1))?;
        let mut last = [0];
        io::Read::read_exact(&mut file, &mut last)?;
        if last != [b'\n'] {
            return Err(io::Error::other("its last line is not complete"));
        }
        Ok(Self { file })
    }
}

impl<W: Write> Recorder<W> {
    /// Begins a trace.
    ///
    /// # Errors
    ///
    /// When that cannot be written.
    pub fn new(file: W) -> io::Result<Self> {
        let mut recorder = Self { file };
        recorder.line(&Header {
            onecopy_vmrm_trace: FORMAT,
        })?;
        Ok(recorder)
    }

    /// Adds a round.
    ///
    /// # Errors
    ///
    /// When that cannot be written.
    pub fn record(&mut self, sample: &Sample) -> io::Result<()> {
        self.line(sample)
    }

    fn line(&mut self, value: &impl Serialize) -> io::Result<()> {
        // At once, so that a trace ends with a whole line also when the recorder is killed.
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.flush()
    }
}

/// Reads a trace, round by round.
#[derive(Debug)]
pub struct Trace<R> {
    file: R,
    line: usize,
}

impl<R: BufRead> Trace<R> {
    /// Checks the beginning of a trace.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn open(file: R) -> Result<Self, TraceError> {
        let mut trace = Self { file, line: 0 };
        let line = trace.next_line()?.ok_or(TraceError::Empty)?;
        let header: Header = serde_json::from_str(&line).map_err(|_| TraceError::Empty)?;
        if header.onecopy_vmrm_trace != FORMAT {
            let found = header.onecopy_vmrm_trace;
            return Err(TraceError::Format { found });
        }
        Ok(trace)
    }

    fn next_line(&mut self) -> Result<Option<String>, TraceError> {
        self.line += 1;
        let mut text = String::new();
        let mut file = io::Read::take(&mut self.file, MAX_LINE_BYTES);
        let read = file.read_line(&mut text);
        let line = self.line;
        match read.map_err(|source| TraceError::Read { line, source })? {
            0 => Ok(None),
            _ if text.len() as u64 == MAX_LINE_BYTES => Err(TraceError::Content {
                line,
                reason: format!("it has more than {} MiB", MAX_LINE_BYTES >> 20),
            }),
            _ => Ok(Some(text)),
        }
    }

    fn parse(&self, text: &str) -> Result<Sample, TraceError> {
        let line = self.line;
        let sample: Sample = serde_json::from_str(text).map_err(|error| TraceError::Form {
            line,
            column: error.column(),
            message: without_place(&error.to_string()),
        })?;
        check(&sample).map_err(|reason| TraceError::Content { line, reason })?;
        Ok(sample)
    }
}

impl<R: BufRead> Iterator for Trace<R> {
    type Item = Result<Sample, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.next_line() {
            Ok(None) => None,
            Ok(Some(text)) => Some(self.parse(&text)),
            Err(error) => Some(Err(error)),
        }
    }
}

/// Removes the place that the parser adds: there each line is the first one.
fn without_place(message: &str) -> String {
    let end = message.rfind(" at line ").unwrap_or(message.len());
    message.get(..end).unwrap_or(message).to_owned()
}

fn check(sample: &Sample) -> Result<(), String> {
    if sample.guests.len() > MAX_GUESTS {
        return Err(format!("there are more than {MAX_GUESTS} guests"));
    }
    if sample.host.total_bytes > MAX_MEMORY_BYTES {
        return Err("the host has more memory than can be".to_owned());
    }
    let mut names: Vec<&str> = sample.guests.iter().map(|guest| &*guest.name).collect();
    names.sort_unstable();
    let mut pairs = names.iter().zip(names.iter().skip(1));
    if let Some((name, _)) = pairs.find(|(one, other)| one == other) {
        return Err(format!("there are two guests {name}"));
    }
    for guest in &sample.guests {
        if guest.memory_bytes > MAX_MEMORY_BYTES {
            return Err(format!("guest {} has more memory than can be", guest.name));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Guest;

    fn sample() -> Sample {
        Sample {
            unix_ms: 5,
            guests: vec![Guest {
                name: "web".to_owned(),
                memory_bytes: 1 << 30,
                available_bytes: Some(1 << 20),
                ..Guest::default()
            }],
            ..Sample::default()
        }
    }

    fn read(text: &str) -> Result<Vec<Sample>, String> {
        let trace = Trace::open(text.as_bytes()).map_err(|error| error.to_string())?;
        let samples: Result<_, _> = trace.collect();
        samples.map_err(|error| error.to_string())
    }

    fn written(samples: &[Sample]) -> String {
        let mut text = Vec::new();
        let mut recorder = Recorder::new(&mut text).unwrap();
        for sample in samples {
            recorder.record(sample).unwrap();
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn what_is_recorded_is_replayed() {
        let text = written(&[sample(), Sample::default()]);
        assert_eq!(text.lines().count(), 3);
        assert_eq!(read(&text), Ok(vec![sample(), Sample::default()]));
    }

    #[test]
    fn a_recorder_goes_on_where_another_one_ended_and_spoils_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trace");
        for _ in 0..2 {
            Recorder::open(&path).unwrap().record(&sample()).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(read(&text), Ok(vec![sample(); 2]));
        for (other, expected) in [
            ("important\n", "line 1: it does not begin as a trace does"),
            (text.trim_end(), "its last line is not complete"),
        ] {
            std::fs::write(&path, other).unwrap();
            assert_eq!(Recorder::open(&path).unwrap_err().to_string(), expected);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), other);
        }
    }

    #[test]
    fn damage_is_found_with_its_place() {
        let text = written(&[sample()]);
        let cut = text.get(..text.len() - 9).unwrap();
        for (damaged, expected) in [
            (String::new(), "line 1: it does not begin as a trace does"),
            (
                "{}\n".to_owned(),
                "line 1: it does not begin as a trace does",
            ),
            (
                text.replace("trace\":1", "trace\":2"),
                "line 1: it has format 2, not 1: another",
            ),
            (cut.to_owned(), "line 2, column "),
            (text.replace("\"web\"", "web"), "line 2, column "),
            (text.replace("name", "nome"), "line 2, column "),
            (
                text.replace("1073741824", "1073741824000000000"),
                "line 2: guest web has more memory",
            ),
        ] {
            let found = read(&damaged).unwrap_err();
            assert!(found.starts_with(expected), "{found}");
            assert!(!found.contains("at line"), "{found}");
        }
        let mut twice = sample();
        twice.guests.push(twice.guests[0].clone());
        assert_eq!(
            read(&written(&[twice])).unwrap_err(),
            "line 2: there are two guests web"
        );
    }
}
