// SPDX-License-Identifier: GPL-2.0

//! Where in a text that people edit something is wrong.

/// A mistake in a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct Misplaced {
    /// The line, from 1.
    pub line: usize,
    /// The character in it, from 1.
    pub column: usize,
    /// What is wrong there.
    pub message: String,
}

impl Misplaced {
    /// Says that something is wrong at a byte of a text.
    pub fn at(byte: usize, text: &str, message: impl Into<String>) -> Self {
        let before = text.get(..byte).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        Self {
            line: before.matches('\n').count() + 1,
            column: line.chars().count() + 1,
            message: message.into(),
        }
    }

    /// Says where a text is not the TOML that was expected, in one line.
    pub fn of(error: &toml::de::Error, text: &str) -> Self {
        let byte = error.span().map_or(0, |span| span.start);
        Self::at(byte, text, error.message().replace('\n', ", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_characters_are_counted_from_one() {
        for (byte, expected) in [(0, (1, 1)), (2, (1, 2)), (4, (2, 1)), (99, (2, 2))] {
            let found = Misplaced::at(byte, "äb\nc", "no");
            assert_eq!((found.line, found.column), expected, "{byte}");
        }
        let said = Misplaced::at(4, "äb\nc", "no").to_string();
        assert_eq!(said, "line 2, column 1: no");
    }

    #[test]
    fn what_toml_says_is_one_line() {
        let text = "a = 1\nb = \"x\" y\n";
        let error = toml::from_str::<toml::Table>(text).unwrap_err();
        let said = Misplaced::of(&error, text).to_string();
        assert!(said.starts_with("line 2, column 9: "), "{said}");
        assert!(!said.contains('\n'), "{said}");
    }
}
