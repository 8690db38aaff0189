// SPDX-License-Identifier: GPL-2.0

//! The file of a definition. People edit it, so it has no seal, and complaints name the place.

use onecopy_directory::Misplaced;
use onecopy_format::segment_space::Name;
use serde::de::DeserializeOwned;
use serde::Deserialize;

use super::Definition;
use super::FORMAT;

/// What is wrong with the file of a definition.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// It is not TOML, or a value is not what is expected.
    #[error(transparent)]
    Form(Misplaced),
    /// It is of another version.
    #[error("it has format {found}, not {FORMAT}: it was written by another version of onecopy")]
    Format {
        /// The version that was found.
        found: u32,
    },
    /// It is that of another name.
    #[error("it defines {found}")]
    Name {
        /// The name that it defines.
        found: Name,
    },
    /// A member is not one that there can be.
    #[error("member {name}: {reason}")]
    Member {
        /// The member.
        name: Name,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The values do not fit together.
    #[error("{0}")]
    Content(&'static str),
    /// It cannot be written.
    #[error("it cannot be written")]
    Write(#[from] toml::ser::Error),
}

impl Definition {
    /// Returns the text.
    pub(crate) fn to_text(&self) -> Result<String, DefinitionError> {
        Ok(toml::to_string(self)?)
    }

    /// Reads the text that is to define a system, and checks it.
    pub(crate) fn parse(text: &str, name: Name) -> Result<Self, DefinitionError> {
        let definition: Self = parse(text)?;
        if definition.name != name {
            let found = definition.name;
            return Err(DefinitionError::Name { found });
        }
        definition.check()?;
        Ok(definition)
    }
}

/// Reads a text of our version.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, DefinitionError> {
    let form = |error| DefinitionError::Form(Misplaced::of(&error, text));
    let version: Version = toml::from_str(text).map_err(form)?;
    if version.format != FORMAT {
        let found = version.format;
        return Err(DefinitionError::Format { found });
    }
    toml::from_str(text).map_err(form)
}

/// What every version of the format has.
#[derive(Debug, Deserialize)]
struct Version {
    format: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::tests::definition;

    fn refusal(text: &str) -> String {
        let error = Definition::parse(text, "LX73".parse().unwrap()).unwrap_err();
        error.to_string()
    }

    #[test]
    fn what_is_written_is_read() {
        let mut definition = definition();
        let text = definition.to_text().unwrap();
        assert_eq!(
            text,
            "format = 1\n\
             name = \"LX73\"\n\
             defined_unix_seconds = 1800000000\n\
             kernel = \"/boot/vmlinux\"\n\
             ranges = \"0-FFF EW 1000-17FF SR 1800-5FFF EW 6000-1FDFF EN 1FE00-1FFFF EW\"\n\
             restricted = true\n\
             allow = [\"web\", \"db\"]\n"
        );
        assert_eq!(
            Definition::parse(&text, definition.name).unwrap(),
            definition
        );
        definition.kernel = None;
        definition.restricted = false;
        definition.allow.clear();
        let text = definition.to_text().unwrap();
        assert_eq!(
            Definition::parse(&text, definition.name).unwrap(),
            definition
        );
    }

    #[test]
    fn damage_is_found_where_it_is() {
        let text = definition().to_text().unwrap();
        for (old, new, expected) in [
            ("\"web\", ", "\"web\" ", "line 7, column 16: "),
            ("= true", "= yes", "line 6, column 14: "),
            (
                "1000-",
                "1200-",
                "line 5, column 10: Pages 1000-11FF are in no range",
            ),
            (
                "\"db\"",
                "\"/\"",
                "line 7, column 9: \"/\" is not a name of a guest",
            ),
            ("allow", "alow", "line 7, column 1: unknown field `alow`"),
            (
                "name = \"LX73\"\n",
                "",
                "line 1, column 1: missing field `name`",
            ),
            ("= 1\n", "= 2\n", "it has format 2, not 1: "),
            ("LX73", "LX74", "it defines LX74"),
            (
                "= true",
                "= false",
                "it is not restricted, and has a list of guests",
            ),
            (
                "[\"web\", \"db\"]",
                "[]",
                "it is restricted, and has no list of guests",
            ),
        ] {
            let said = refusal(&text.replacen(old, new, 1));
            assert!(said.starts_with(expected), "{new}: {said}");
            assert!(!said.contains('\n'), "{said}");
        }
        // A file of which only the end of its last line is missing is whole.
        for len in 0..text.len() - 1 {
            assert!(!refusal(text.get(..len).unwrap()).is_empty(), "{len}");
        }
    }
}
