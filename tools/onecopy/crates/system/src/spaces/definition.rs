// SPDX-License-Identifier: GPL-2.0

//! What somebody has decided about a segment space before it is saved: its skeleton.
//!
//! It is a file of TOML, which may be edited:
//!
//! ```text
//! format = 1
//! name = "TOOLS"
//! defined_unix_seconds = 1800000000
//! restricted = true
//! allow = ["web", "db"]
//!
//! [[members]]
//! name = "PY"
//! type = "SR"
//! size_bytes = 67108864
//! ```

use std::path::Path;
use std::path::PathBuf;

use onecopy_format::segment_space::Name;
use onecopy_format::segment_space::SegmentType;
use onecopy_format::segment_space::DAX_ALIGN_BYTES;
use onecopy_store::Store;
use serde::Deserialize;
use serde::Serialize;

use super::Rules;
use crate::definition;
use crate::definition::now;
use crate::definition::DefinitionError;
use crate::definition::FORMAT;
use crate::error::Error;
use crate::guests::GuestName;
use crate::restriction;
use crate::text;
use crate::Result;

/// A segment space that was defined and not saved yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpaceDefinition {
    format: u32,
    /// Name of the segment space.
    #[serde(with = "text")]
    pub name: Name,
    /// When it was defined, in seconds since 1970.
    pub defined_unix_seconds: u64,
    /// Whether only some guests may attach it. A file that is cut here is not one without.
    pub restricted: bool,
    /// Which these are.
    #[serde(default, with = "text::list", skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<GuestName>,
    /// The members, in the order in which they follow each other.
    pub members: Vec<DefinedMember>,
}

/// A member that was defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefinedMember {
    /// Its name.
    #[serde(with = "text")]
    pub name: Name,
    /// Its type.
    #[serde(rename = "type", with = "text::keyword")]
    pub kind: SegmentType,
    /// Its size in bytes, a multiple of 2 MiB; as much as its content needs if it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
}

impl SpaceDefinition {
    /// Defines a segment space; if there is a list of guests, only these may attach it.
    ///
    /// # Errors
    ///
    /// When there is no member, two have one name, or one has a type or a size that it cannot have.
    pub fn new(
        name: Name,
        members: Vec<DefinedMember>,
        allow: Option<Vec<GuestName>>,
    ) -> Result<Self> {
        let definition = Self {
            format: FORMAT,
            name,
            defined_unix_seconds: now(),
            restricted: allow.is_some(),
            allow: allow.unwrap_or_default(),
            members,
        };
        definition.check().map_err(|reason| Error::Undefinable {
            name,
            reason: reason.to_string(),
        })?;
        Ok(definition)
    }

    /// Makes it the skeleton of its name, in place of one that there is, and returns its path.
    ///
    /// # Errors
    ///
    /// When it cannot be written; the skeleton is then as it was.
    pub fn define(&self, store: &Store) -> Result<PathBuf> {
        let shelf = store.shelf(self.name);
        let text = self
            .to_text()
            .map_err(|source| damaged(&shelf.skeleton(), source))?;
        Ok(shelf.define(&text)?)
    }

    /// Reads the skeleton of a name, if there is one.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is not understood.
    pub fn of(store: &Store, name: Name) -> Result<Option<Self>> {
        Ok(Self::read(store, name)?.map(|(definition, _)| definition))
    }

    /// Reads the skeleton of a name to save it, and its text, by which
    /// [`SpaceBuilder::skeleton`](onecopy_store::SpaceBuilder::skeleton) knows it.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is not understood.
    pub fn take(store: &Store, name: Name) -> Result<Option<(Self, String)>> {
        let shelf = store.shelf(name);
        if shelf.look()?.is_none() {
            return Ok(None);
        }
        // A save that is running uses it up before.
        let _right = shelf.lock()?;
        Self::read(store, name)
    }

    /// Returns what is to be kept beside a generation: who may attach it.
    ///
    /// # Errors
    ///
    /// When it cannot be written as a text.
    pub fn attributes(&self) -> Result<Option<String>> {
        if !self.restricted {
            return Ok(None);
        }
        let rules = Rules::restricted(&self.allow).to_text();
        let invalid = |error: DefinitionError| Error::Undefinable {
            name: self.name,
            reason: error.to_string(),
        };
        rules.map(Some).map_err(invalid)
    }

    fn read(store: &Store, name: Name) -> Result<Option<(Self, String)>> {
        let shelf = store.shelf(name);
        let Some(text) = shelf.definition()? else {
            return Ok(None);
        };
        match Self::parse(&text, name) {
            Ok(definition) => Ok(Some((definition, text))),
            Err(source) => Err(damaged(&shelf.skeleton(), source)),
        }
    }

    fn to_text(&self) -> std::result::Result<String, DefinitionError> {
        Ok(toml::to_string(self)?)
    }

    fn parse(text: &str, name: Name) -> std::result::Result<Self, DefinitionError> {
        let parsed: Self = definition::parse(text)?;
        if parsed.name != name {
            let found = parsed.name;
            return Err(DefinitionError::Name { found });
        }
        parsed.check()?;
        Ok(parsed)
    }

    fn check(&self) -> std::result::Result<(), DefinitionError> {
        restriction::check(self.restricted, &self.allow).map_err(DefinitionError::Content)?;
        if self.members.is_empty() {
            return Err(DefinitionError::Content("it has no member"));
        }
        for (index, member) in self.members.iter().enumerate() {
            let reason = member.problem().or_else(|| {
                let before = self.members.iter().take(index);
                let is_twice = before.into_iter().any(|other| other.name == member.name);
                is_twice.then_some("there are two of this name")
            });
            if let Some(reason) = reason {
                let name = member.name;
                return Err(DefinitionError::Member { name, reason });
            }
        }
        Ok(())
    }
}

impl DefinedMember {
    fn problem(&self) -> Option<&'static str> {
        let is_whole = |bytes: u64| bytes > 0 && bytes % DAX_ALIGN_BYTES == 0;
        match (self.kind, self.size_bytes) {
            (SegmentType::Sn, _) => Some(
                "type SN is shared memory that is zero in the beginning, which a file cannot give",
            ),
            (SegmentType::En, None) => Some("type EN has no content, so it needs a size"),
            (_, Some(bytes)) if !is_whole(bytes) => Some("its size is no multiple of 2 MiB"),
            _ => None,
        }
    }
}

fn damaged(path: &Path, source: DefinitionError) -> Error {
    Error::Definition {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn member(name: &str, kind: &str, size_mib: Option<u64>) -> DefinedMember {
        DefinedMember {
            name: name.parse().unwrap(),
            kind: SegmentType::from_keyword(kind).unwrap(),
            size_bytes: size_mib.map(|mib| mib << 20),
        }
    }

    pub(crate) fn definition(members: &[DefinedMember]) -> Result<SpaceDefinition> {
        let allow = Some(vec!["web".parse().unwrap()]);
        let mut definition =
            SpaceDefinition::new("TOOLS".parse().unwrap(), members.to_vec(), allow)?;
        definition.defined_unix_seconds = 1_800_000_000;
        Ok(definition)
    }

    #[test]
    fn what_is_written_is_read() {
        let members = [member("PY", "SR", Some(64)), member("HEAP", "EW", None)];
        let definition = definition(&members).unwrap();
        let text = definition.to_text().unwrap();
        assert_eq!(
            text,
            "format = 1\n\
             name = \"TOOLS\"\n\
             defined_unix_seconds = 1800000000\n\
             restricted = true\n\
             allow = [\"web\"]\n\n\
             [[members]]\n\
             name = \"PY\"\n\
             type = \"SR\"\n\
             size_bytes = 67108864\n\n\
             [[members]]\n\
             name = \"HEAP\"\n\
             type = \"EW\"\n"
        );
        let parsed = SpaceDefinition::parse(&text, definition.name).unwrap();
        assert_eq!(parsed, definition);
        for (old, new, expected) in [
            (
                "\"SR\"",
                "\"SX\"",
                "line 9, column 8: \"SX\" is not a type of a segment",
            ),
            (
                "67108864",
                "67108865",
                "member PY: its size is no multiple of 2 MiB",
            ),
            ("HEAP", "PY", "member PY: there are two of this name"),
            ("TOOLS", "OTHER", "it defines OTHER"),
            ("= true", "= false", "it is not restricted, and has a list"),
            ("= 1\n", "= 2\n", "it has format 2, not 1"),
        ] {
            let error = SpaceDefinition::parse(&text.replace(old, new), definition.name);
            let error = error.unwrap_err().to_string();
            assert!(error.starts_with(expected), "{new}: {error}");
        }
    }

    #[test]
    fn members_have_types_and_sizes_that_a_file_can_give() {
        for (members, expected) in [
            (vec![], "it has no member"),
            (
                vec![member("A", "EN", None)],
                "member A: type EN has no content, so it needs a size",
            ),
            (
                vec![member("A", "SN", Some(2))],
                "member A: type SN is shared memory",
            ),
            (
                vec![member("A", "SR", Some(0))],
                "member A: its size is no multiple of 2 MiB",
            ),
        ] {
            let error = definition(&members).unwrap_err().to_string();
            let start = format!("TOOLS cannot be defined: {expected}");
            assert!(error.starts_with(&start), "{error}");
        }
        assert!(definition(&[member("A", "EN", Some(2))]).is_ok());
    }
}
