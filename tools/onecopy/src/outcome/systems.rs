// SPDX-License-Identifier: GPL-2.0

//! Saved systems: one that was saved or purged, and the list of all.

use std::io;
use std::io::Write;
use std::path::PathBuf;

use onecopy_format::segment_space::Name;
use onecopy_system::manifest::Machine;
use onecopy_system::manifest::Manifest;
use onecopy_system::ranges::notation;
use onecopy_system::ranges::Range;
use onecopy_system::Class;
use onecopy_system::FileCheck;
use onecopy_system::Generation;
use onecopy_system::Purged;
use serde::Serialize;

use super::row::Row;
use super::skeletons::ListedSkeleton;
use super::table;
use super::table::write_list;
use crate::size;

/// A system that was saved.
#[derive(Debug)]
pub(crate) struct SavedSystem {
    pub(crate) manifest: Manifest,
    pub(crate) path: PathBuf,
}

/// A system that was purged.
#[derive(Debug)]
pub(crate) struct PurgedName {
    pub(crate) name: Name,
    pub(crate) purged: Purged,
}

/// Everything that `query nss` has found.
#[derive(Debug, Serialize)]
pub(crate) struct SystemList {
    #[serde(rename = "saved_systems")]
    pub(crate) systems: Vec<ListedSystem>,
    pub(crate) skeletons: Vec<ListedSkeleton>,
    pub(crate) invalid: Vec<InvalidSystem>,
    #[serde(skip)]
    json: bool,
}

/// A generation with a valid manifest.
#[derive(Debug, Serialize)]
pub(crate) struct ListedSystem {
    #[serde(serialize_with = "table::display")]
    name: Name,
    generation: u64,
    class: char,
    users: Vec<String>,
    path: PathBuf,
    saved_unix_seconds: u64,
    restricted: bool,
    allow: Vec<String>,
    build_id: Option<String>,
    command_line: String,
    machine: Machine,
    ranges: Vec<ListedRange>,
    files: Vec<ListedFile>,
}

#[derive(Debug, Serialize)]
pub(super) struct ListedRange {
    pages: String,
    #[serde(flatten)]
    range: Range,
}

#[derive(Debug, Serialize)]
struct ListedFile {
    name: String,
    size_bytes: u64,
    sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<&'static str>,
}

/// A generation that cannot be used, or a skeleton, which has no number.
#[derive(Debug, Serialize)]
pub(crate) struct InvalidSystem {
    #[serde(serialize_with = "table::display")]
    pub(crate) name: Name,
    pub(crate) generation: Option<u64>,
    pub(crate) error: String,
}

impl SavedSystem {
    pub(super) fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        let manifest = &self.manifest;
        let class = if manifest.restricted { ", class R" } else { "" };
        writeln!(
            out,
            "{} generation {}{class}: {}, {}, {}",
            manifest.name,
            manifest.generation,
            size::show(manifest.machine.memory_bytes),
            notation::show(&manifest.ranges),
            self.path.display()
        )
    }
}

impl PurgedName {
    pub(super) fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        for generation in &self.purged.removed {
            writeln!(out, "{} generation {generation}: removed", self.name)?;
        }
        for generation in &self.purged.pending {
            writeln!(
                out,
                "{} generation {generation}: class P, removed when its last guest has ended",
                self.name
            )?;
        }
        if self.purged.skeleton {
            writeln!(out, "{} skeleton: removed", self.name)?;
        }
        Ok(())
    }
}

impl SystemList {
    pub(crate) fn new(json: bool) -> Self {
        Self {
            systems: Vec::new(),
            skeletons: Vec::new(),
            invalid: Vec::new(),
            json,
        }
    }

    /// Whether nothing is invalid and no check failed.
    pub(super) fn is_sound(&self) -> bool {
        self.invalid.is_empty() && self.wrong().next().is_none()
    }

    pub(super) fn render(&self, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
        write_list(out, self, self.json, &self.rows())?;
        for invalid in &self.invalid {
            let InvalidSystem {
                name,
                generation,
                error,
            } = invalid;
            match generation {
                Some(generation) => {
                    writeln!(err, "onecopy: {name} generation {generation}: {error}")?;
                }
                None => writeln!(err, "onecopy: {name} skeleton: {error}")?,
            }
        }
        for (system, file, problem) in self.wrong() {
            let path = system.path.join(&file.name);
            let path = path.display();
            writeln!(err, "onecopy: {path} is not what was saved: {problem}")?;
        }
        Ok(())
    }

    fn wrong(&self) -> impl Iterator<Item = (&ListedSystem, &ListedFile, &'static str)> {
        let pairs = self
            .systems
            .iter()
            .flat_map(|system| system.files.iter().map(move |file| (system, file)));
        pairs.filter_map(|(system, file)| {
            let problem = file.check.filter(|check| *check != INTACT)?;
            Some((system, file, problem))
        })
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let skeletons = self.skeletons.iter().map(ListedSkeleton::row);
        let mut rows: Vec<Row> = skeletons.collect();
        rows.extend(self.systems.iter().map(ListedSystem::row));
        // What is coming stands before what there is.
        rows.sort_by_key(|row| (row.name, row.generation));
        Row::table(&rows)
    }
}

/// What a file is that is what was saved.
const INTACT: &str = "intact";

impl ListedSystem {
    pub(crate) fn new(
        generation: &Generation,
        class: Class,
        users: Vec<String>,
        checks: Option<&[FileCheck]>,
    ) -> Self {
        let manifest = generation.manifest();
        let check_of = |name: &str| {
            let check = checks?.iter().find(|check| check.name == name)?;
            Some(check.problem.unwrap_or(INTACT))
        };
        let files = manifest.files.iter().map(|file| ListedFile {
            name: file.name.clone(),
            size_bytes: file.size_bytes,
            sha256: file.sha256.clone(),
            check: check_of(&file.name),
        });
        let ranges = manifest.ranges.iter().map(ListedRange::new);
        Self {
            name: manifest.name,
            generation: manifest.generation,
            class: class.letter(),
            users,
            path: generation.path().to_owned(),
            saved_unix_seconds: manifest.saved_unix_seconds,
            restricted: manifest.restricted,
            allow: manifest.allow.iter().map(ToString::to_string).collect(),
            build_id: manifest.kernel.build_id.clone(),
            command_line: manifest.kernel.command_line.clone(),
            machine: manifest.machine.clone(),
            ranges: ranges.collect(),
            files: files.collect(),
        }
    }

    fn check(&self) -> Option<&'static str> {
        let mut checks = self.files.iter().filter_map(|file| file.check).peekable();
        checks.peek()?;
        let intact = checks.all(|check| check == INTACT);
        Some(if intact { INTACT } else { "CORRUPT" })
    }

    fn row(&self) -> Row {
        Row {
            name: self.name,
            generation: Some(self.generation),
            class: self.class,
            users: self.users.len(),
            memory_bytes: self.machine.memory_bytes,
            saved_unix_seconds: Some(self.saved_unix_seconds),
            pages: ListedRange::show(&self.ranges),
            allow: self.allow.join(","),
            check: self.check(),
        }
    }
}

impl ListedRange {
    pub(super) fn new(range: &Range) -> Self {
        Self {
            pages: range.to_string(),
            range: range.clone(),
        }
    }

    pub(super) fn show(ranges: &[Self]) -> String {
        let pages: Vec<&str> = ranges.iter().map(|range| range.pages.as_str()).collect();
        pages.join(" ")
    }
}
