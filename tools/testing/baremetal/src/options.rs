// SPDX-License-Identifier: GPL-2.0

//! The guest's command line: words of the form `key=value`.

use core::fmt;

use crate::size::parse_bytes;
use crate::PAGE_BYTES;

/// The longest that a guest may run, in seconds: a day.
const MAX_LIMIT_S: u64 = 86_400;

/// What the guest does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Gives memory back as the host asks for it (`mode=serve`).
    Serve,
    /// Checks what the device does against its contract (`mode=check`).
    Check,
}

/// The queue that memory is given back through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// The reporting queue where the device has one, else the inflate queue (`queue=auto`).
    Auto,
    /// The inflate queue (`queue=inflate`).
    Inflate,
}

/// Which pages are given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// All, in the order of their addresses (`order=linear`).
    Linear,
    /// Every second 4 KiB page (`order=fragmented`).
    Fragmented,
}

/// The command line, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// What the guest does.
    pub mode: Mode,
    /// Memory that it writes to before anything else, in bytes.
    pub touch_bytes: u64,
    /// The largest range that one descriptor gives back, in bytes; a power of two.
    pub piece_bytes: u64,
    /// The queue that memory is given back through.
    pub queue: Queue,
    /// Which pages are given back.
    pub order: Order,
    /// Whether memory that the guest takes back is written to again, as its user would.
    pub retouch: bool,
    /// Whether the host answers the requests of `mode=check`.
    pub host: bool,
    /// When the guest ends by itself, in seconds after its start.
    pub limit_s: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: Mode::Serve,
            touch_bytes: 0,
            piece_bytes: 4 << 20,
            queue: Queue::Auto,
            order: Order::Linear,
            retouch: false,
            host: false,
            limit_s: 600,
        }
    }
}

/// A word of the command line that means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadWord<'a>(pub &'a str);

impl fmt::Display for BadWord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the command line has the word {:?}", self.0)
    }
}

impl Options {
    /// Reads a command line.
    ///
    /// # Errors
    ///
    /// The first word with an unknown key or a value that the key cannot have.
    pub fn parse(line: &str) -> Result<Self, BadWord<'_>> {
        let mut options = Self::default();
        for word in line.split_ascii_whitespace() {
            options.set(word).ok_or(BadWord(word))?;
        }
        Ok(options)
    }

    fn set(&mut self, word: &str) -> Option<()> {
        let (key, value) = word.split_once('=')?;
        match key {
            "mode" => self.mode = choose(value, [("serve", Mode::Serve), ("check", Mode::Check)])?,
            "touch" => self.touch_bytes = parse_bytes(value)?,
            "piece" => self.piece_bytes = parse_bytes(value).filter(|bytes| is_piece(*bytes))?,
            "queue" => {
                self.queue = choose(value, [("auto", Queue::Auto), ("inflate", Queue::Inflate)])?;
            }
            "order" => {
                let orders = [("linear", Order::Linear), ("fragmented", Order::Fragmented)];
                self.order = choose(value, orders)?;
            }
            "retouch" => self.retouch = choose(value, [("on", true), ("off", false)])?,
            "host" => self.host = choose(value, [("on", true), ("off", false)])?,
            "limit" => self.limit_s = value.parse().ok().filter(|limit| *limit <= MAX_LIMIT_S)?,
            _ => return None,
        }
        Some(())
    }
}

/// Returns whether a descriptor can have this length, which is a 32-bit number of whole pages.
fn is_piece(bytes: u64) -> bool {
    bytes.is_power_of_two() && (PAGE_BYTES..=1 << 30).contains(&bytes)
}

fn choose<T: Copy>(value: &str, choices: [(&str, T); 2]) -> Option<T> {
    let choice = choices.iter().find(|(name, _)| *name == value)?;
    Some(choice.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_line_serves_in_pieces_of_4_mib() {
        assert_eq!(Options::parse(" "), Ok(Options::default()));
        assert_eq!(Options::default().piece_bytes, 4_194_304);
    }

    #[test]
    fn every_key_sets_its_own_field() {
        let line = "mode=check touch=768M piece=64K queue=inflate order=fragmented retouch=on \
                    host=on limit=90";
        assert_eq!(
            Options::parse(line),
            Ok(Options {
                mode: Mode::Check,
                touch_bytes: 768 << 20,
                piece_bytes: 64 << 10,
                queue: Queue::Inflate,
                order: Order::Fragmented,
                retouch: true,
                host: true,
                limit_s: 90,
            })
        );
    }

    #[test]
    fn the_bad_word_is_named() {
        for word in [
            "touch",
            "touch=",
            "touch=-1",
            "mode=fly",
            "piece=3M",
            "piece=2K",
            "piece=2G",
            "order=random",
            "retouch=1",
            "limit=86401",
            "colour=red",
        ] {
            let line = std::format!("mode=serve {word} limit=5");
            assert_eq!(Options::parse(&line), Err(BadWord(word)));
        }
    }
}
