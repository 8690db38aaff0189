// SPDX-License-Identifier: GPL-2.0

//! Systems that were defined and not saved yet.

use std::io;
use std::io::Write;
use std::path::PathBuf;

use onecopy_format::segment_space::Name;
use onecopy_system::ranges::notation;
use onecopy_system::Class;
use onecopy_system::Definition;
use schemars::JsonSchema;
use serde::Serialize;

use super::row::Row;
use super::systems::ListedRange;
use super::table;

/// A system that was defined.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Defined {
    /// Whether it is in the store now; not so with --dry-run.
    defined: bool,
    /// The definition in z/VM's words.
    statement: String,
    /// The definition.
    skeleton: ListedSkeleton,
}

/// A skeleton in the store.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ListedSkeleton {
    /// Name of the system.
    #[serde(serialize_with = "table::display")]
    #[schemars(with = "String")]
    name: Name,
    /// S: defined and not saved yet.
    class: char,
    /// The file of the definition.
    path: PathBuf,
    /// When it was defined, in seconds since 1970.
    defined_unix_seconds: u64,
    /// The kernel that is to be saved, if it was named.
    kernel: Option<PathBuf>,
    /// Memory of a guest.
    memory_bytes: u64,
    /// How that is divided.
    ranges: Vec<ListedRange>,
    /// Its trust group, if one was given.
    group: Option<String>,
    /// Whether only some guests may start from it.
    restricted: bool,
    /// Which these are.
    allow: Vec<String>,
}

impl Defined {
    pub(crate) fn new(definition: Definition, path: PathBuf, defined: bool) -> Self {
        let ranges = notation::show(&definition.ranges);
        let memory = definition.memory_bytes() >> 20;
        let rstd = if definition.restricted { " RSTD" } else { "" };
        let name = definition.name;
        let group = definition.group.as_ref();
        let group = group.map_or_else(String::new, |group| format!(", trust group {group}"));
        Self {
            defined,
            statement: format!("DEFSYS {name} {ranges} MINSIZE={memory}M{rstd}{group}"),
            skeleton: ListedSkeleton::new(definition, path),
        }
    }

    pub(super) fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.statement)
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
