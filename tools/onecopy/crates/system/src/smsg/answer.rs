// SPDX-License-Identifier: GPL-2.0

//! What a guest answers.

use std::fmt;
use std::io;

/// A message that the guest has refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The number of the error in the guest.
    pub errno: i32,
    /// What it was in this case, in the guest's words; it may be empty.
    pub reason: String,
}

/// An answer to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It was carried out.
    Done,
    /// It was not.
    Refused(Refused),
}

impl Answer {
    /// Understands a line, if it is the answer to the request with this identifier. Anything else is
    /// the answer to somebody who has not waited, or garbage.
    pub(super) fn parse(line: &[u8], id: &str) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?;
        match line.strip_prefix(id)?.strip_prefix(' ')?.split_once(' ') {
            None if line.ends_with(" OK") => Some(Self::Done),
            Some(("ERR", rest)) => {
                let (errno, reason) = rest.split_once(' ').unwrap_or((rest, ""));
                let errno = errno.parse().ok().filter(|errno| *errno > 0)?;
                let reason = reason.replace(|character: char| character.is_control(), "?");
                Some(Self::Refused(Refused { errno, reason }))
            }
            _ => None,
        }
    }
}

impl Refused {
    /// Returns the error in words, whatever the case.
    pub fn error(&self) -> String {
        let text = io::Error::from_raw_os_error(self.errno).to_string();
        let words = text.split(" (os error").next();
        words.unwrap_or_default().to_owned()
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.reason.is_empty() {
            write!(f, "{}: ", self.reason)?;
        }
        write!(f, "{} (errno {})", self.error(), self.errno)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(errno: i32, reason: &str) -> Option<Answer> {
        let reason = reason.to_owned();
        Some(Answer::Refused(Refused { errno, reason }))
    }

    #[test]
    fn answers_are_understood() {
        for (line, expected) in [
            (&b"7f OK"[..], Some(Answer::Done)),
            (b"7f ERR 16 it is mounted", refused(16, "it is mounted")),
            (b"7f ERR 19", refused(19, "")),
            (b"7f ERR 22 a\x1b[31m", refused(22, "a?[31m")),
        ] {
            assert_eq!(Answer::parse(line, "7f"), expected);
        }
    }

    #[test]
    fn what_is_not_our_answer_is_ignored() {
        for line in [
            &b""[..],
            b"OK",
            b"7e OK",
            b"7f",
            b"7fOK",
            b"7f OK ",
            b"7f OK so",
            b"7f ERR",
            b"7f ERR x",
            b"7f ERR 0 y",
            b"7f ERR -5",
            b"\xff",
        ] {
            assert_eq!(Answer::parse(line, "7f"), None, "{line:?}");
        }
    }

    #[test]
    fn a_refusal_says_the_error_in_words() {
        for (errno, reason, expected) in [
            (
                16,
                "it is mounted",
                "it is mounted: Device or resource busy (errno 16)",
            ),
            (2, "", "No such file or directory (errno 2)"),
        ] {
            let reason = reason.to_owned();
            assert_eq!(Refused { errno, reason }.to_string(), expected);
        }
    }
}
