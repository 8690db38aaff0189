// SPDX-License-Identifier: GPL-2.0

//! Files that people edit: TOML with the version of its format, and complaints with their place.

use onecopy_directory::Misplaced;
use serde::de::DeserializeOwned;
use serde::Deserialize;
use serde::Serialize;

/// The version of the formats that is read and written.
pub(crate) const FORMAT: u32 = 1;

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum FormError {
    /// It is not TOML, or a value is not what is expected.
    #[error(transparent)]
    Form(Misplaced),
    /// It is of another version.
    #[error("it has format {found}, not {FORMAT}: it was written for another version of onecopy")]
    Format {
        /// The version that was found.
        found: u32,
    },
    /// It cannot be written.
    #[error("it cannot be written")]
    Write(#[from] toml::ser::Error),
}

/// What every version of a format has.
#[derive(Debug, Deserialize)]
struct Version {
    format: u32,
}

/// Reads a text.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, FormError> {
    let form = |error| FormError::Form(Misplaced::of(&error, text));
    let version: Version = toml::from_str(text).map_err(form)?;
    if version.format != FORMAT {
        let found = version.format;
        return Err(FormError::Format { found });
    }
    toml::from_str(text).map_err(form)
}

/// Writes a text.
pub(crate) fn show(value: &impl Serialize) -> Result<String, FormError> {
    Ok(toml::to_string(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read is of interest")]
    struct Small {
        format: u32,
        word: String,
    }

    #[test]
    fn complaints_name_the_place() {
        for (text, expected) in [
            ("format = 1\nword = a", "line 2, column 8: "),
            ("format = 1\nword = \"ä\" b", "line 2, column 12: "),
            (
                "format = 1\nword = \"a\"\nwrod = 1\n",
                "line 3, column 1: unknown field `wrod`",
            ),
            ("format = 1\n", "line 1, column 1: missing field `word`"),
            ("word = \"a\"\n", "line 1, column 1: missing field `format`"),
            ("format = 2\nother = 1\n", "it has format 2, not 1"),
            ("", "line 1, column 1: missing field `format`"),
        ] {
            let error = parse::<Small>(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text:?}: {error}");
        }
    }
}
