// SPDX-License-Identifier: GPL-2.0

//! Segment spaces that were defined and not saved yet.

use std::io;
use std::io::Write;
use std::path::PathBuf;

use onecopy_format::segment_space::Name;
use onecopy_system::Class;
use onecopy_system::SpaceDefinition;
use serde::Serialize;

use super::table;
use crate::size;

/// A segment space that was defined.
#[derive(Debug)]
pub(crate) struct DefinedSpace {
    pub(crate) definition: SpaceDefinition,
}

/// A skeleton in the store.
#[derive(Debug, Serialize)]
pub(crate) struct SpaceSkeleton {
    #[serde(serialize_with = "table::display")]
    pub(super) name: Name,
    class: char,
    path: PathBuf,
    defined_unix_seconds: u64,
    restricted: bool,
    pub(super) allow: Vec<String>,
    members: Vec<SkeletonMember>,
}

#[derive(Debug, Serialize)]
struct SkeletonMember {
    #[serde(serialize_with = "table::display")]
    name: Name,
    #[serde(rename = "type")]
    kind: String,
    size_bytes: Option<u64>,
}

impl DefinedSpace {
    pub(super) fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        let definition = &self.definition;
        let member = |member: &onecopy_system::DefinedMember| {
            let size = member.size_bytes.map(size::show);
            let size = size.map_or(String::new(), |size| format!(" {size}"));
            format!("{} {}{size}", member.name, member.kind)
        };
        let members: Vec<String> = definition.members.iter().map(member).collect();
        let rstd = if definition.restricted { " RSTD" } else { "" };
        let name = definition.name;
        writeln!(out, "DEFSEG {name} {}{rstd}", members.join(", "))
    }
}

impl SpaceSkeleton {
    pub(crate) fn new(definition: &SpaceDefinition, path: PathBuf) -> Self {
        let member = |member: &onecopy_system::DefinedMember| SkeletonMember {
            name: member.name,
            kind: member.kind.to_string(),
            size_bytes: member.size_bytes,
        };
        Self {
            name: definition.name,
            class: Class::Skeleton.letter(),
            path,
            defined_unix_seconds: definition.defined_unix_seconds,
            restricted: definition.restricted,
            allow: definition.allow.iter().map(ToString::to_string).collect(),
            members: definition.members.iter().map(member).collect(),
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
