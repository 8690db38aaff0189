// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What a guest gets at IPL: the text that the host hands over through fw_cfg.
//!
//! The first line is [`MAGIC`]; each further one is `KEY=VALUE`. A key has 1 to 32 of the
//! characters `a-z`, `0-9`, `_`, `-` and `.`, and appears once. A value has at most 1024 bytes,
//! none of them NUL or an end of line. The last line ends with a newline too, so that a text that
//! was cut is noticed.

use core::fmt;

/// The name of the text in fw_cfg.
pub const FW_CFG_FILE: &str = "opt/org.onecopy/ipl";

/// The first line, which says the version.
pub const MAGIC: &str = "onecopy-ipl 1";

/// The name of the guest on the host.
pub const GUEST: &str = "guest";
/// The number of the generation that the guest was started from.
pub const GENERATION: &str = "generation";
/// Random bytes for this guest alone, as [`SEED_BYTES`] pairs of hexadecimal digits.
pub const SEED: &str = "seed";
/// The host's time when it wrote the text, in nanoseconds since 1970, UTC.
pub const TIME_NS: &str = "time_ns";
/// The machine-id, 32 hexadecimal digits in lower case, not all of them zero (machine-id(5)).
pub const MACHINE_ID: &str = "machine_id";
/// The host name; the guest's name where it is missing.
pub const HOSTNAME: &str = "hostname";
/// What is added to the command line; behind `=`, what replaces it.
pub const PARM: &str = "parm";

/// How many random bytes a guest gets.
pub const SEED_BYTES: usize = 64;

/// How long a text, a key and a value may be, in bytes.
pub const MAX_BYTES: usize = 64 << 10;
const MAX_KEY_BYTES: usize = 32;
const MAX_VALUE_BYTES: usize = 1024;

/// What is wrong with a text. Lines count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceError {
    /// The first line is another one.
    Magic,
    /// The last line has no end, or the text is longer than [`MAX_BYTES`].
    Length,
    /// A line is not `KEY=VALUE`, or one of both has a wrong character or length.
    Line(usize),
    /// A key appears again.
    Duplicate(usize),
    /// A key that must be there is missing, or its value makes no sense.
    Missing(&'static str),
}

impl fmt::Display for ResourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => write!(f, "the first line is not \"{MAGIC}\""),
            Self::Length => f.write_str("the text is cut off or too long"),
            Self::Line(line) => write!(f, "line {line} is not KEY=VALUE"),
            Self::Duplicate(line) => write!(f, "line {line} has a key that was there before"),
            Self::Missing(key) => write!(f, "there is no valid {key}"),
        }
    }
}

/// The resources of a guest, checked.
#[derive(Clone, Copy, Debug)]
pub struct Resources<'a> {
    lines: &'a str,
}

impl<'a> Resources<'a> {
    /// Checks a text.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ResourceError> {
        let text = core::str::from_utf8(bytes).map_err(|_| ResourceError::Line(0))?;
        let rest = text.strip_prefix(MAGIC).ok_or(ResourceError::Magic)?;
        let lines = rest.strip_prefix('\n').ok_or(ResourceError::Magic)?;
        if bytes.len() > MAX_BYTES || !text.ends_with('\n') {
            return Err(ResourceError::Length);
        }
        let resources = Self { lines };

        for (index, line) in lines.lines().enumerate() {
            let number = index.saturating_add(2);
            let (key, _) = pair(line).ok_or(ResourceError::Line(number))?;
            let mut before = resources.iter().take(index);
            if before.any(|(other, _)| other == key) {
                return Err(ResourceError::Duplicate(number));
            }
        }
        Ok(resources)
    }

    /// Returns all keys with their values, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.lines.lines().filter_map(pair)
    }

    /// Returns the value of a key.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.iter()
            .find_map(|(other, value)| (other == key).then_some(value))
    }

    /// Returns a value that must be there.
    pub fn require(&self, key: &'static str) -> Result<&'a str, ResourceError> {
        self.get(key)
            .filter(|value| !value.is_empty())
            .ok_or(ResourceError::Missing(key))
    }

    /// Returns the random bytes.
    pub fn seed(&self) -> Result<[u8; SEED_BYTES], ResourceError> {
        let missing = ResourceError::Missing(SEED);
        let digits = self.require(SEED)?.as_bytes();
        let mut seed = [0; SEED_BYTES];
        if digits.len() != SEED_BYTES.saturating_mul(2) {
            return Err(missing);
        }

        for (byte, pair) in seed.iter_mut().zip(digits.chunks(2)) {
            let text = core::str::from_utf8(pair).map_err(|_| missing)?;
            *byte = u8::from_str_radix(text, 16).map_err(|_| missing)?;
        }
        Ok(seed)
    }

    /// Returns the host's time, in nanoseconds since 1970.
    pub fn time_ns(&self) -> Result<u64, ResourceError> {
        let digits = self.require(TIME_NS)?;

        digits.parse().map_err(|_| ResourceError::Missing(TIME_NS))
    }

    /// Returns the machine-id.
    pub fn machine_id(&self) -> Result<&'a str, ResourceError> {
        let id = self.require(MACHINE_ID)?;
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');

        if id.len() == 32 && id.bytes().all(is_digit) && id.bytes().any(|byte| byte != b'0') {
            Ok(id)
        } else {
            Err(ResourceError::Missing(MACHINE_ID))
        }
    }
}

/// Splits a line; [`None`] if it is no valid pair.
fn pair(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once('=')?;

    (is_key(key) && is_value(value)).then_some((key, value))
}

/// Returns whether a text can be a key.
pub fn is_key(text: &str) -> bool {
    let is_valid = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.');

    (1..=MAX_KEY_BYTES).contains(&text.len())
        && text.bytes().all(is_valid)
        && !text.starts_with('.')
}

/// Returns whether a text can be a value.
pub fn is_value(text: &str) -> bool {
    text.len() <= MAX_VALUE_BYTES && !text.contains(['\0', '\n', '\r'])
}
