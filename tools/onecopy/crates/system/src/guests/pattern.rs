// SPDX-License-Identifier: GPL-2.0

//! Names of guests, or patterns of names.

use std::fmt;
use std::str::FromStr;

/// The longest pattern, in characters: that of a name.
const MAX_LEN: usize = 64;

/// A name in which `*` stands for any characters, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

/// A text that fits no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a name or pattern of guests: 1 to {MAX_LEN} of a-z A-Z 0-9 . _ - *")]
pub struct PatternError(String);

impl Pattern {
    /// Fits every name.
    pub fn all() -> Self {
        Self("*".to_owned())
    }

    /// Whether a name fits.
    pub fn fits(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else {
            return false;
        };
        let Some(last) = parts.next_back() else {
            return rest.is_empty();
        };
        for part in parts {
            // The earliest place leaves most to the parts behind it.
            let Some((_, behind)) = rest.split_once(part) else {
                return false;
            };
            rest = behind;
        }
        rest.ends_with(last)
    }

    /// Returns the name, if it is one.
    pub fn name(&self) -> Option<&str> {
        (!self.0.contains('*')).then_some(&*self.0)
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"._-*".contains(&byte);
        if (1..=MAX_LEN).contains(&text.len()) && text.bytes().all(is_valid) {
            Ok(Self(text.to_owned()))
        } else {
            Err(PatternError(text.to_owned()))
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name, fits) in [
            ("web", "web", true),
            ("web", "web1", false),
            ("web", "aweb", false),
            ("*", "x", true),
            ("web*", "web", true),
            ("web*", "aweb", false),
            ("*web", "aweb", true),
            ("*web", "webb", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("**", "", true),
        ] {
            let parsed: Pattern = pattern.parse().unwrap();
            assert_eq!(parsed.fits(name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn a_name_has_no_star() {
        assert_eq!("web-1".parse::<Pattern>().unwrap().name(), Some("web-1"));
        assert_eq!("web*".parse::<Pattern>().unwrap().name(), None);
        for text in ["", "a b", "a/b", "a?", "ü", &"a".repeat(65)] {
            assert!(text.parse::<Pattern>().is_err(), "{text}");
        }
    }
}
