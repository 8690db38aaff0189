// SPDX-License-Identifier: GPL-2.0

//! Segment spaces that were defined and not saved yet.

use std::io;
use std::io::Write;
use std::path::PathBuf;

use onecopy_format::segment_space::Name;
use onecopy_system::Class;
use onecopy_system::SpaceDefinition;
use schemars::JsonSchema;
use serde::Serialize;

use super::table;
use crate::size;

/// A segment space that was defined.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DefinedSpace {
    /// Name of the segment space.
    #[serde(serialize_with = "table::display")]
    #[schemars(with = "String")]
    name: Name,
    /// The skeleton; nothing after a dry run.
    path: Option<PathBuf>,
    /// Whether only certain guests may have it.
    restricted: bool,
    /// Which.
    allow: Vec<String>,
    /// What it is to have.
    members: Vec<SkeletonMember>,
}

/// A skeleton in the store.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SpaceSkeleton {
    /// Name of the segment space.
    #[serde(serialize_with = "table::display")]
    #[schemars(with = "String")]
    pub(super) name: Name,
    /// S.
    class: char,
    /// The skeleton.
    path: PathBuf,
    /// When it was defined, in seconds since 1970.
    defined_unix_seconds: u64,
    /// Whether only certain guests may have it.
    restricted: bool,
    /// Which.
    pub(super) allow: Vec<String>,
    /// What it is to have.
    members: Vec<SkeletonMember>,
}

/// A member that was defined.
#[derive(Debug, Serialize, JsonSchema)]
struct SkeletonMember {
    /// Name of the member.
    #[serde(serialize_with = "table::display")]
    #[schemars(with = "String")]
    name: Name,
    /// Type: SR, ER, SC, SW or EW.
    #[serde(rename = "type")]
    kind: String,
    /// Its size, if that was said.
    size_bytes: Option<u64>,
}

impl SkeletonMember {
    fn all(definition: &SpaceDefinition) -> Vec<Self> {
        let member = |member: &onecopy_system::DefinedMember| Self {
            name: member.name,
            kind: member.kind.to_string(),
            size_bytes: member.size_bytes,
        };
        definition.members.iter().map(member).collect()
    }
}

impl DefinedSpace {
    pub(crate) fn new(definition: &SpaceDefinition, path: Option<PathBuf>) -> Self {
        Self {
            name: definition.name,
            path,
            restricted: definition.restricted,
            allow: definition.allow.iter().map(ToString::to_string).collect(),
            members: SkeletonMember::all(definition),
        }
    }

    pub(super) fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        let member = |member: &SkeletonMember| {
            let size = member.size_bytes.map(size::show);
            let size = size.map_or(String::new(), |size| format!(" {size}"));
            format!("{} {}{size}", member.name, member.kind)
        };
        let members: Vec<String> = self.members.iter().map(member).collect();
        let rstd = if self.restricted { " RSTD" } else { "" };
        writeln!(out, "DEFSEG {} {}{rstd}", self.name, members.join(", "))
    }
}

impl SpaceSkeleton {
    pub(crate) fn new(definition: &SpaceDefinition, path: PathBuf) -> Self {
        Self {
            name: definition.name,
            class: Class::Skeleton.letter(),
            path,
            defined_unix_seconds: definition.defined_unix_seconds,
            restricted: definition.restricted,
            allow: definition.allow.iter().map(ToString::to_string).collect(),
            members: SkeletonMember::all(definition),
        }
    }

    /// Returns the rows of the members, with what no skeleton has left open.
    pub(super) fn rows(&self, nothing: &str) -> Vec<Vec<String>> {
        let row = |member: &SkeletonMember| {
            let size = member.size_bytes.map(size::show);
            [
                self.name.to_string(),
                member.name.to_string(),
                member.kind.clone(),
                nothing.to_owned(),
                self.class.to_string(),
                "0".to_owned(),
                nothing.to_owned(),
                size.unwrap_or_else(|| nothing.to_owned()),
                nothing.to_owned(),
                nothing.to_owned(),
            ]
            .to_vec()
        };
        self.members.iter().map(row).collect()
    }
}
