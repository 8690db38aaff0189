// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Names of segments and segment spaces.

use super::error::{
    EINVAL,
    ENAMETOOLONG, //
};
use core::{
    fmt,
    str::{
        self,
        FromStr, //
    },
};

/// The longest name, and the size of the field that holds one, in bytes.
pub const NAME_BYTES: usize = 8;

/// The name of a segment or of a segment space.
///
/// A name becomes the name of a device node, so it cannot be `..` or hold a slash. Names sort in
/// the order of their characters.
///
/// # Invariants
///
/// One to eight of the characters `A-Z`, `0-9`, `_` and `-`, of which the first is not `-`, padded
/// with NUL.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name([u8; NAME_BYTES]);

impl Name {
    /// Makes a name of what a user wrote, in either case.
    pub fn new(input: &[u8]) -> Result<Self, NameError> {
        let mut padded = [0; NAME_BYTES];

        check_length(input)?;
        for (position, (to, from)) in padded.iter_mut().zip(input).enumerate() {
            *to = from.to_ascii_uppercase();
            check_character(position, *to)?;
        }
        // INVARIANT: The length and every character were checked; the rest is NUL.
        Ok(Self(padded))
    }

    /// Makes a name of a field of a segment space, where lower case is an error.
    pub(super) fn from_field(field: [u8; NAME_BYTES]) -> Result<Self, NameError> {
        let used = field
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last.saturating_add(1));

        check_length(field.get(..used).unwrap_or_default())?;
        for (position, byte) in field.iter().take(used).enumerate() {
            check_character(position, *byte)?;
        }
        // INVARIANT: The characters up to the last one that is not NUL were checked.
        Ok(Self(field))
    }

    /// Returns the field that holds the name in a segment space.
    pub(super) const fn to_field(self) -> [u8; NAME_BYTES] {
        self.0
    }

    /// Returns the characters, without padding.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// Returns the name as a string.
    pub fn as_str(&self) -> &str {
        // Never the default: by the invariant, all characters are ASCII.
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

fn check_length(name: &[u8]) -> Result<(), NameError> {
    match name.len() {
        0 => Err(NameError::Empty),
        1..=NAME_BYTES => Ok(()),
        found_bytes => Err(NameError::TooLong { found_bytes }),
    }
}

fn check_character(position: usize, byte: u8) -> Result<(), NameError> {
    match byte {
        b'-' if position == 0 => Err(NameError::LeadingHyphen),
        b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => Ok(()),
        _ => Err(NameError::BadCharacter { position, byte }),
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(input: &str) -> Result<Self, NameError> {
        Self::new(input.as_bytes())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Name").field(&self.as_str()).finish()
    }
}

/// Why something is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// There is no character.
    Empty,
    /// There are more than eight characters.
    TooLong {
        /// The length that was found.
        found_bytes: usize,
    },
    /// The first character is `-`, which would make the name look like an option.
    LeadingHyphen,
    /// A character is not one of `A-Z`, `0-9`, `_` and `-`.
    BadCharacter {
        /// The position of the first such character, from 0.
        position: usize,
        /// The character.
        byte: u8,
    },
}

impl NameError {
    /// Returns the positive errno: `ENAMETOOLONG` for a bad length, as in dcssblk, else `EINVAL`.
    pub const fn errno(&self) -> i32 {
        match self {
            Self::Empty | Self::TooLong { .. } => ENAMETOOLONG,
            Self::LeadingHyphen | Self::BadCharacter { .. } => EINVAL,
        }
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Empty => write!(f, "name is empty"),
            Self::TooLong { found_bytes } => {
                write!(
                    f,
                    "name has {found_bytes} characters, at most {NAME_BYTES} fit"
                )
            }
            Self::LeadingHyphen => write!(f, "name begins with '-'"),
            Self::BadCharacter { position, byte } => write!(
                f,
                "name has '{}' at position {position}, not one of A-Z 0-9 _ -",
                byte.escape_ascii()
            ),
        }
    }
}

impl core::error::Error for NameError {}
