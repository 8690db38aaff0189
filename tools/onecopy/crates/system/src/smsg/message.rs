// SPDX-License-Identifier: GPL-2.0

//! What is sent, and in whose name.

use std::fmt;
use std::str::FromStr;

/// The longest name of a sender.
const MAX_SENDER_CHARS: usize = 8;

/// The longest message.
const MAX_TEXT_CHARS: usize = 400;

/// In whose name guests get messages unless something else is said: whom their drivers obey.
const DEFAULT_SENDER: &str = "VMRMSVM";

/// The name of a sender: 1 to 8 of `A-Z 0-9 _ -`, in upper case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender(String);

/// A message: 1 to 400 printable characters of ASCII, and tabs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message(String);

/// Why a text is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// It is no sender.
    #[error("{0:?} is not the name of a sender: 1 to {MAX_SENDER_CHARS} of A-Z 0-9 _ -")]
    Sender(String),
    /// It is no message.
    #[error(
        "a message has 1 to {MAX_TEXT_CHARS} characters of printable ASCII or tabs, and a word"
    )]
    Text,
}

impl Sender {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Sender {
    fn default() -> Self {
        Self(DEFAULT_SENDER.to_owned())
    }
}

impl FromStr for Sender {
    type Err = MessageError;

    fn from_str(text: &str) -> Result<Self, MessageError> {
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if (1..=MAX_SENDER_CHARS).contains(&text.len()) && text.bytes().all(is_valid) {
            Ok(Self(text.to_ascii_uppercase()))
        } else {
            Err(MessageError::Sender(text.to_owned()))
        }
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Message {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the first word, which says whom in the guest it is for.
    pub fn prefix(&self) -> &str {
        self.words().next().unwrap_or_default()
    }

    /// Returns the target that the message sets, if it does: `CMM SHRINK pages`.
    pub(crate) fn shrink_pages(&self) -> Option<u64> {
        let mut words = self.words();
        let is = |word: Option<&str>, expected| {
            word.is_some_and(|word| word.eq_ignore_ascii_case(expected))
        };
        if !is(words.next(), "CMM") || !is(words.next(), "SHRINK") {
            return None;
        }
        let pages = number(words.next()?)?;
        words.next().is_none().then_some(pages)
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        self.0.split([' ', '\t']).filter(|word| !word.is_empty())
    }
}

impl FromStr for Message {
    type Err = MessageError;

    fn from_str(text: &str) -> Result<Self, MessageError> {
        let is_valid = |byte: u8| byte == b'\t' || (b' '..=b'~').contains(&byte);
        let has_word = !text.trim_matches([' ', '\t']).is_empty();
        if has_word && text.len() <= MAX_TEXT_CHARS && text.bytes().all(is_valid) {
            Ok(Self(text.to_owned()))
        } else {
            Err(MessageError::Text)
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Reads a number as the guest does: decimal, hexadecimal with `0x`, octal with `0`.
fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    if digits.starts_with('+') {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(text: &str) -> Option<u64> {
        text.parse::<Message>().unwrap().shrink_pages()
    }

    #[test]
    fn senders_are_short_words_in_upper_case() {
        for (text, name) in [("vmrmsvm", "VMRMSVM"), ("A", "A"), ("op_1-x", "OP_1-X")] {
            assert_eq!(text.parse::<Sender>().unwrap().as_str(), name);
        }
        for text in ["", "NINELONGX", "A B", "\u{c4}", "A\n", "A*"] {
            assert!(text.parse::<Sender>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_message_is_one_line_of_text() {
        for text in ["CMM SHRINK 1", "A", " \tx", &"x".repeat(400)] {
            assert_eq!(text.parse::<Message>().unwrap().as_str(), text);
        }
        for text in [
            "",
            " ",
            "\t",
            "A\nB",
            "A\r",
            "\u{e4}",
            "\0",
            &"x".repeat(401),
        ] {
            assert!(text.parse::<Message>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_target_is_read_as_the_guest_reads_it() {
        for (text, expected) in [
            ("CMM SHRINK 1000", Some(1000)),
            (" cmm\tshrink  0x10 ", Some(16)),
            ("CMM SHRINK 010", Some(8)),
            ("CMM SHRINK 0", Some(0)),
            ("CMM SHRINK +1", None),
            ("CMM SHRINK 0x+1", None),
            ("CMM SHRINK 1 2", None),
            ("CMM SHRINK", None),
            ("CMM RELEASE 1", None),
            ("DCSS SHRINK 1", None),
        ] {
            assert_eq!(pages(text), expected, "{text}");
        }
    }
}
