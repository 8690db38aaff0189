// SPDX-License-Identifier: GPL-2.0

//! Names of guests.

use std::fmt;
use std::str::FromStr;

use onecopy_format::segment_space::Name;

/// The longest name, in characters: that of a host name as the kernel keeps it.
const MAX_LEN: usize = 64;

/// The name of a guest: 1 to 64 of `a-z A-Z 0-9 . _ -`, and the first is a letter or a digit.
///
/// It becomes the name of a directory and the host name of the guest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GuestName(String);

/// A text that cannot be the name of a guest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a name of a guest: 1 to {MAX_LEN} of a-z A-Z 0-9 . _ -, and the first is a letter or a digit")]
pub struct GuestNameError(String);

impl GuestName {
    /// Returns the name as a string.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Makes a name of that of a saved system.
    pub(crate) fn numbered(system: Name, number: u64) -> Self {
        let system = system.as_str().to_ascii_lowercase();
        // Names of saved systems may begin with what those of guests may not.
        Self(format!("{}{number}", system.trim_start_matches(['_', '-'])))
    }
}

impl FromStr for GuestName {
    type Err = GuestNameError;

    fn from_str(text: &str) -> Result<Self, GuestNameError> {
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let begins = text.starts_with(|first: char| first.is_ascii_alphanumeric());
        if begins && text.len() <= MAX_LEN && text.bytes().all(is_valid) {
            Ok(Self(text.to_owned()))
        } else {
            Err(GuestNameError(text.to_owned()))
        }
    }
}

impl fmt::Display for GuestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_lead_out_of_its_directory() {
        for text in ["web", "Lx-7", "a.b_c", "1"] {
            assert_eq!(text.parse::<GuestName>().unwrap().as_str(), text);
        }
        for text in ["", ".", "..", "a/b", "-a", ".a", "_a", "a b", "ü"] {
            assert!(text.parse::<GuestName>().is_err(), "{text}");
        }
        assert!("a".repeat(65).parse::<GuestName>().is_err());
    }

    #[test]
    fn numbered_names_are_names() {
        for system in ["LX73", "_A", "_-"] {
            let name = GuestName::numbered(system.parse().unwrap(), 7);
            assert_eq!(name.as_str().parse().as_ref(), Ok(&name));
        }
    }
}
