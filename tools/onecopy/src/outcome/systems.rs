// SPDX-License-Identifier: GPL-2.0

//! Saved systems: one that was defined, saved or purged, and the list of all.

use std::io;
use std::io::Write;
use std::path::PathBuf;

use onecopy_format::segment_space::Name;
use onecopy_system::manifest::Machine;
use onecopy_system::manifest::Manifest;
use onecopy_system::ranges::Range;
use onecopy_system::Class;
use onecopy_system::FileCheck;
use onecopy_system::Generation;
use onecopy_system::Purged;
use serde::Serialize;

use super::table;
use super::table::utc;
use super::table::write_list;
use crate::size;

/// How memory would be divided.
#[derive(Debug)]
pub(crate) struct Defined {
    pub(crate) name: Name,
    pub(crate) ranges: Vec<Range>,
    pub(crate) memory_bytes: u64,
}

/// A system that was saved.
#[derive(Debug)]
pub(crate) struct SavedSystem {
    pub(crate) manifest: Manifest,
    pub(crate) path: PathBuf,
}

/// A system that was purged.
#[derive(Debug)]
pub(crate) struct PurgedSystem {
    pub(crate) name: Name,
    pub(crate) purged: Purged,
}

/// Everything that `query nss` has found.
#[derive(Debug, Serialize)]
pub(crate) struct SystemList {
    #[serde(rename = "saved_systems")]
    pub(crate) systems: Vec<ListedSystem>,
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
struct ListedRange {
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

/// A generation that cannot be used.
#[derive(Debug, Serialize)]
pub(crate) struct InvalidSystem {
    #[serde(serialize_with = "table::display")]
    pub(crate) name: Name,
    pub(crate) generation: u64,
    pub(crate) error: String,
}

impl Defined {
    pub(super) fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        let ranges = shown(&self.ranges);
        let memory = self.memory_bytes >> 20;
        writeln!(out, "DEFSYS {} {ranges} MINSIZE={memory}M", self.name)
    }
}

impl SavedSystem {
    pub(super) fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        let manifest = &self.manifest;
        writeln!(
            out,
            "{} generation {}: {}, {}, {}",
            manifest.name,
            manifest.generation,
            size::show(manifest.machine.memory_bytes),
            shown(&manifest.ranges),
            self.path.display()
        )
    }
}

impl PurgedSystem {
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
        Ok(())
    }
}

impl SystemList {
    pub(crate) fn new(json: bool) -> Self {
        Self {
            systems: Vec::new(),
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
            writeln!(err, "onecopy: {name} generation {generation}: {error}")?;
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
        let title = [
            "NAME", "GEN", "CLASS", "USERS", "MEMORY", "SAVED", "RANGES", "CHECK",
        ];
        let checked = self.systems.iter().any(|system| system.check().is_some());
        let columns = title.len() - usize::from(!checked);
        let title = title.into_iter().take(columns).map(str::to_owned);
        let mut rows = vec![title.collect()];
        rows.extend(self.systems.iter().map(ListedSystem::row));
        rows
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
        let ranges = manifest.ranges.iter().map(|range| ListedRange {
            pages: range.to_string(),
            range: range.clone(),
        });
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

    fn row(&self) -> Vec<String> {
        let pages: Vec<&str> = self
            .ranges
            .iter()
            .map(|range| range.pages.as_str())
            .collect();
        let mut row = vec![
            self.name.to_string(),
            self.generation.to_string(),
            self.class.to_string(),
            self.users.len().to_string(),
            size::show(self.machine.memory_bytes),
            utc(self.saved_unix_seconds),
            pages.join(" "),
        ];
        row.extend(self.check().map(str::to_owned));
        row
    }
}

fn shown(ranges: &[Range]) -> String {
    let ranges: Vec<String> = ranges.iter().map(Range::to_string).collect();
    ranges.join(" ")
}
