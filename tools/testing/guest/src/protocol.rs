// SPDX-License-Identifier: GPL-2.0

//! The protocol between the host and the first process of a guest.
//!
//! Both sides send lines. The host sends `ID COMMAND ARGUMENT...`; the guest answers with any number
//! of `@oc ID | TEXT` and one last line, `@oc ID OK TEXT` or `@oc ID ERR ERRNO NAME TEXT`. Lines
//! without the prefix, such as messages of the kernel, mean nothing.
//!
//! Bytes that are not printable ASCII, and `%`, travel as `%` and two hexadecimal digits; in the
//! arguments blanks do too, and an empty argument is a single `%`.

use crate::Failure;

/// What each line of the guest begins with.
pub const PREFIX: &str = "@oc ";

/// What the guest says when it is ready for the first command, after [`PREFIX`].
pub const READY: &str = "ready";

/// A request of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The number by which the answer is known.
    pub id: u64,
    /// The command.
    pub command: String,
    /// Its arguments.
    pub arguments: Vec<Vec<u8>>,
}

impl Request {
    /// Returns the line that stands for the request, without its end.
    pub fn encode(&self) -> String {
        let mut line = format!("{} {}", self.id, self.command);
        for argument in &self.arguments {
            line.push(' ');
            if argument.is_empty() {
                line.push('%');
            }
            escape(argument, false, &mut line);
        }
        line
    }

    /// Reads a line; `None` if it is no request.
    pub fn decode(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let id = words.next()?.parse().ok()?;
        let command = words.next()?.to_owned();
        let arguments = words.map(unescape).collect::<Option<_>>()?;
        Some(Self {
            id,
            command,
            arguments,
        })
    }
}

/// One line of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A line of output.
    Output(Vec<u8>),
    /// The command has succeeded.
    Done(String),
    /// The command has failed.
    Failed(Failure),
}

impl Reply {
    /// Returns the line that is this part of the answer to request `id`, without its end.
    pub fn encode(&self, id: u64) -> String {
        let mut line = format!("{PREFIX}{id} ");
        match self {
            Self::Output(bytes) => {
                line.push_str("| ");
                escape(bytes, true, &mut line);
            }
            Self::Done(text) => {
                line.push_str("OK ");
                escape(text.as_bytes(), true, &mut line);
            }
            Self::Failed(failure) => {
                line.push_str("ERR ");
                escape(failure.to_string().as_bytes(), true, &mut line);
            }
        }
        line
    }

    /// Reads a line; `None` if it is no part of an answer to request `id`.
    pub fn decode(line: &str, id: u64) -> Option<Self> {
        let rest = line.trim_end_matches(['\r', '\n']).strip_prefix(PREFIX)?;
        let rest = rest.strip_prefix(&format!("{id} "))?;
        let (kind, text) = rest.split_once(' ')?;
        let bytes = unescape(text)?;
        match kind {
            "|" => Some(Self::Output(bytes)),
            "OK" => Some(Self::Done(String::from_utf8(bytes).ok()?)),
            "ERR" => Some(Self::Failed(decode_failure(
                &String::from_utf8(bytes).ok()?,
            )?)),
            _ => None,
        }
    }
}

fn decode_failure(text: &str) -> Option<Failure> {
    let mut words = text.splitn(3, ' ');
    let errno = words.next()?.parse().ok()?;
    let name = words.next()?.to_owned();
    Some(Failure {
        errno,
        name,
        context: words.next().unwrap_or_default().to_owned(),
    })
}

fn escape(bytes: &[u8], blanks: bool, line: &mut String) {
    for &byte in bytes {
        let plain = byte.is_ascii_graphic() && byte != b'%' || blanks && byte == b' ';
        if plain {
            line.push(char::from(byte));
        } else {
            line.push_str(&format!("%{byte:02x}"));
        }
    }
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    if text == "%" {
        return Some(Vec::new());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'%' {
            bytes.push(byte);
            rest = after;
            continue;
        }
        let digits = std::str::from_utf8(after.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after.get(2..)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_survive_the_line() {
        let request = Request {
            id: 7,
            command: "write".to_owned(),
            arguments: vec![b"/a b".to_vec(), b"".to_vec(), b"100%\n\0\xff".to_vec()],
        };
        let line = request.encode();
        assert_eq!(line, "7 write /a%20b % 100%25%0a%00%ff");
        assert_eq!(Request::decode(&line), Some(request));
    }

    #[test]
    fn answers_survive_the_line() {
        for reply in [
            Reply::Output(b"two words\t%\0".to_vec()),
            Reply::Output(Vec::new()),
            Reply::Done(String::new()),
            Reply::Done("bytes=4096".to_owned()),
            Reply::Failed(Failure::from(rustix::io::Errno::NOENT).context("read /x y")),
        ] {
            let line = reply.encode(3);
            assert_eq!(
                Reply::decode(&format!("{line}\r\n"), 3),
                Some(reply),
                "{line}"
            );
        }
    }

    #[test]
    fn other_lines_are_no_answer() {
        for line in [
            "",
            "[    1.0] @oc 3 OK ",
            "@oc 4 OK ",
            "@oc 3 MAYBE ",
            "@oc 3 | %4",
        ] {
            assert_eq!(Reply::decode(line, 3), None, "{line}");
        }
    }

    #[test]
    fn other_lines_are_no_request() {
        for line in ["", "7", "x write", "7 write %x1", "7 write %4"] {
            assert_eq!(Request::decode(line), None, "{line}");
        }
    }
}
