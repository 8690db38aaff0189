// SPDX-License-Identifier: GPL-2.0

//! Systems that were defined and not saved yet.

use std::io;
use std::io::Write;
use std::path::PathBuf;

use onecopy_format::segment_space::Name;
use onecopy_system::ranges::notation;
use onecopy_system::Class;
use onecopy_system::Definition;
use serde::Serialize;

use super::row::Row;
use super::systems::ListedRange;
use super::table;

/// A system that was defined.
#[derive(Debug)]
pub(crate) struct Defined {
    pub(crate) definition: Definition,
}

/// A skeleton in the store.
#[derive(Debug, Serialize)]
pub(crate) struct ListedSkeleton {
    #[serde(serialize_with = "table::display")]
    name: Name,
    class: char,
    path: PathBuf,
    defined_unix_seconds: u64,
    kernel: Option<PathBuf>,
    memory_bytes: u64,
    ranges: Vec<ListedRange>,
    group: Option<String>,
    restricted: bool,
    allow: Vec<String>,
}

impl Defined {
    pub(super) fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        let definition = &self.definition;
        let ranges = notation::show(&definition.ranges);
        let memory = definition.memory_bytes() >> 20;
        let rstd = if definition.restricted { " RSTD" } else { "" };
        let group = definition.group.as_ref();
        let group = group.map_or_else(String::new, |group| format!(", trust group {group}"));
        writeln!(
            out,
            "DEFSYS {} {ranges} MINSIZE={memory}M{rstd}{group}",
            definition.name
        )
    }
}

impl ListedSkeleton {
    pub(crate) fn new(definition: Definition, path: PathBuf) -> Self {
        Self {
            name: definition.name,
            class: Class::Skeleton.letter(),
            path,
            defined_unix_seconds: definition.defined_unix_seconds,
            memory_bytes: definition.memory_bytes(),
            ranges: definition.ranges.iter().map(ListedRange::new).collect(),
            group: definition.group.as_ref().map(ToString::to_string),
            restricted: definition.restricted,
            allow: definition.allow.iter().map(ToString::to_string).collect(),
            kernel: definition.kernel,
        }
    }

    /// Returns the row, with what no skeleton has left open.
    pub(super) fn row(&self) -> Row {
        Row {
            name: self.name,
            generation: None,
            class: self.class,
            users: 0,
            memory_bytes: self.memory_bytes,
            saved_unix_seconds: None,
            pages: ListedRange::show(&self.ranges),
            allow: self.allow.join(","),
            group: self.group.clone(),
            check: None,
        }
    }
}
