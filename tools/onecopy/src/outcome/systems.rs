// SPDX-License-Identifier: GPL-2.0

//! Saved systems: one that was saved or purged, and the list of all.

use std::io;
use std::io::Write;
use std::path::PathBuf;

use onecopy_format::segment_space::Name;
use onecopy_store::Group;
use onecopy_system::manifest::Machine;
use onecopy_system::ranges::notation;
use onecopy_system::ranges::Range;
use onecopy_system::Class;
use onecopy_system::FileCheck;
use onecopy_system::Generation;
use onecopy_system::Purged;
use schemars::JsonSchema;
use serde::Serialize;

use super::row::Row;
use super::skeletons::ListedSkeleton;
use super::table;
use super::table::write_table;
use crate::size;
use crate::status::Status;

/// A system that was saved.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SavedSystem {
    /// The generation that was saved.
    #[serde(rename = "saved_system")]
    system: ListedSystem,
    #[serde(skip)]
    ranges: String,
}

/// A system that was purged.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PurgedName {
    /// Name of the segment space or saved system.
    #[serde(serialize_with = "table::display")]
    #[schemars(with = "String")]
    name: Name,
    /// The generations that were removed.
    removed: Vec<u64>,
    /// Those that stay until their last user has gone: class P.
    pending: Vec<u64>,
    /// Whether a definition was removed that was not saved yet.
    skeleton: bool,
}

/// Everything that `query nss` has found.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct SystemList {
    /// Generations that can be used.
    #[serde(rename = "saved_systems")]
    pub(crate) systems: Vec<ListedSystem>,
    /// Systems that were defined and not saved yet.
    pub(crate) skeletons: Vec<ListedSkeleton>,
    /// What cannot be used.
    pub(crate) invalid: Vec<InvalidSystem>,
}

/// A generation with a valid manifest.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ListedSystem {
    /// Name of the saved system.
    #[serde(serialize_with = "table::display")]
    #[schemars(with = "String")]
    name: Name,
    /// Its trust group.
    #[serde(serialize_with = "table::display")]
    #[schemars(with = "String")]
    group: Group,
    /// Number of the generation.
    generation: u64,
    /// A: what new guests get; R: what those on its list get; P: kept until its last guest has ended.
    class: char,
    /// The guests that were started from it and run.
    users: Vec<String>,
    /// Its directory.
    path: PathBuf,
    /// When it was saved, in seconds since 1970.
    saved_unix_seconds: u64,
    /// Whether only some guests may start from it.
    restricted: bool,
    /// Which these are.
    allow: Vec<String>,
    /// What identifies the build of the kernel.
    build_id: Option<String>,
    /// Command line of the kernel.
    command_line: String,
    /// What the machine of a guest must be like.
    machine: Machine,
    /// How memory is divided.
    ranges: Vec<ListedRange>,
    /// The files that hold it.
    files: Vec<ListedFile>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ListedRange {
    /// Pages in hexadecimal and type, for example `1000-17FF SR`.
    pages: String,
    #[serde(flatten)]
    range: Range,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ListedFile {
    /// Name of the file.
    name: String,
    /// Its size.
    size_bytes: u64,
    /// Its digest when it was saved.
    sha256: String,
    /// With --verify: `intact`, or what is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<&'static str>,
}

/// What of a saved system cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The directory with all of it.
    Whole,
    /// What was defined.
    Skeleton,
    /// A generation.
    Generation(u64),
}

/// A generation that cannot be used; or a skeleton or a whole directory, which have no number.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct InvalidSystem {
    /// Name of the system.
    #[serde(serialize_with = "table::display")]
    #[schemars(with = "String")]
    name: Name,
    /// Number of the generation; nothing for a definition, or for all that there is of the name.
    generation: Option<u64>,
    /// Why it cannot be used.
    error: String,
    #[serde(skip)]
    part: Part,
    #[serde(skip)]
    status: Status,
}

impl InvalidSystem {
    pub(crate) fn new(name: Name, part: Part, error: &anyhow::Error) -> Self {
        let generation = match part {
            Part::Generation(generation) => Some(generation),
            Part::Whole | Part::Skeleton => None,
        };
        Self {
            name,
            generation,
            error: format!("{error:#}"),
            part,
            status: Status::of(error),
        }
    }
}

impl SavedSystem {
    pub(crate) fn new(generation: &Generation, class: Class) -> Self {
        Self {
            system: ListedSystem::new(generation, class, Vec::new(), None),
            ranges: notation::show(&generation.manifest().ranges),
        }
    }

    pub(super) fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        let system = &self.system;
        let class = if system.restricted { ", class R" } else { "" };
        let group = match &system.group {
            group if group.is_default() => String::new(),
            group => format!(", trust group {group}"),
        };
        writeln!(
            out,
            "{} generation {}{class}{group}: {}, {}, {}",
            system.name,
            system.generation,
            size::show(system.machine.memory_bytes),
            self.ranges,
            system.path.display()
        )
    }
}

impl PurgedName {
    pub(crate) fn new(name: Name, purged: Purged) -> Self {
        Self {
            name,
            removed: purged.removed,
            pending: purged.pending,
            skeleton: purged.skeleton,
        }
    }

    pub(super) fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        for generation in &self.removed {
            writeln!(out, "{} generation {generation}: removed", self.name)?;
        }
        for generation in &self.pending {
            writeln!(
                out,
                "{} generation {generation}: class P, removed when its last guest has ended",
                self.name
            )?;
        }
        if self.skeleton {
            writeln!(out, "{} skeleton: removed", self.name)?;
        }
        Ok(())
    }
}

impl SystemList {
    /// Returns the status: that nothing is invalid and no check failed, or what is not so.
    pub(super) fn status(&self) -> Status {
        let wrong = self.wrong().map(|_| Status::Damaged);
        Status::of_list(self.invalid.iter().map(|one| one.status).chain(wrong))
    }

    pub(super) fn render(&self, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
        write_table(out, &self.rows())?;
        for invalid in &self.invalid {
            let InvalidSystem { name, error, .. } = invalid;
            match invalid.part {
                // The error names it.
                Part::Whole => writeln!(err, "onecopy: {error}")?,
                Part::Skeleton => writeln!(err, "onecopy: {name} skeleton: {error}")?,
                Part::Generation(number) => {
                    writeln!(err, "onecopy: {name} generation {number}: {error}")?;
                }
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
            group: manifest.group.clone(),
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
            group: (!self.group.is_default()).then(|| self.group.to_string()),
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
