// SPDX-License-Identifier: GPL-2.0

//! The list of segment spaces, as a table and as JSON.

use std::io;
use std::io::Write;
use std::path::PathBuf;

use onecopy_format::segment_space::Member;
use onecopy_format::segment_space::Name;
use onecopy_store::Group;
use onecopy_store::MemberCheck;
use onecopy_store::MemberState;
use onecopy_store::Space;
use serde::Serialize;

use super::table;
use super::table::utc;
use super::table::write_list;
use crate::size;

/// Everything that `query seg` has found.
#[derive(Debug, Serialize)]
pub(crate) struct Segments {
    #[serde(rename = "segment_spaces")]
    pub(crate) spaces: Vec<ListedSpace>,
    pub(crate) invalid: Vec<InvalidSpace>,
    #[serde(skip)]
    json: bool,
}

/// A valid segment space.
#[derive(Debug, Serialize)]
pub(crate) struct ListedSpace {
    #[serde(serialize_with = "table::display")]
    name: Name,
    #[serde(serialize_with = "table::display")]
    group: Group,
    generation: u64,
    generations: Vec<u64>,
    size_bytes: u64,
    path: PathBuf,
    members: Vec<ListedMember>,
}

/// A member of a valid segment space.
#[derive(Debug, Serialize)]
struct ListedMember {
    #[serde(serialize_with = "table::display")]
    name: Name,
    #[serde(rename = "type")]
    kind: String,
    offset_bytes: u64,
    size_bytes: u64,
    generation: u64,
    saved_unix_seconds: u64,
    sha256: Option<String>,
    dax: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<Check>,
}

/// What the check of a member has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Check {
    Intact,
    Changed,
    Corrupt,
    None,
}

/// A segment space that cannot be used.
#[derive(Debug, Serialize)]
pub(crate) struct InvalidSpace {
    #[serde(serialize_with = "table::display")]
    pub(crate) name: Name,
    pub(crate) error: String,
}

impl Segments {
    pub(crate) fn new(json: bool) -> Self {
        Self {
            spaces: Vec::new(),
            invalid: Vec::new(),
            json,
        }
    }

    /// Whether nothing is invalid and no check failed.
    pub(super) fn is_sound(&self) -> bool {
        self.invalid.is_empty() && self.corrupt().next().is_none()
    }

    pub(super) fn render(&self, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
        write_list(out, self, self.json, &self.rows())?;
        for invalid in &self.invalid {
            writeln!(err, "onecopy: {}", invalid.error)?;
        }
        for (space, member) in self.corrupt() {
            writeln!(
                err,
                "onecopy: member {} of {} is corrupt",
                member.name,
                space.path.display()
            )?;
        }
        Ok(())
    }

    fn corrupt(&self) -> impl Iterator<Item = (&ListedSpace, &ListedMember)> {
        self.spaces
            .iter()
            .flat_map(|space| space.members.iter().map(move |member| (space, member)))
            .filter(|(_, member)| member.check == Some(Check::Corrupt))
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let checked = self
            .spaces
            .iter()
            .flat_map(|space| &space.members)
            .any(|m| m.check.is_some());
        let mut title = vec![
            "SPACE", "MEMBER", "TYPE", "GEN", "OFFSET", "SIZE", "DAX", "SAVED",
        ];
        if checked {
            title.push("CHECK");
        }
        let grouped = self.spaces.iter().any(|space| !space.group.is_default());
        if grouped {
            title.push("GROUP");
        }
        let mut rows = vec![title.into_iter().map(str::to_owned).collect()];
        for space in &self.spaces {
            rows.extend(space.members.iter().map(|member| {
                let mut row = member.row(space.name);
                row.extend(grouped.then(|| space.group.to_string()));
                row
            }));
        }
        rows
    }
}

impl ListedSpace {
    pub(crate) fn new(
        space: &Space,
        generations: Vec<u64>,
        group: Group,
        checks: Option<&[MemberCheck]>,
    ) -> Self {
        let state_of = |name| {
            checks?
                .iter()
                .find(|check| check.name == name)
                .map(|c| c.state)
        };
        Self {
            name: space.name(),
            group,
            generation: space.generation(),
            generations,
            size_bytes: space.size_bytes(),
            path: space.path().to_owned(),
            members: space
                .members()
                .iter()
                .map(|member| ListedMember::new(member, state_of(member.name)))
                .collect(),
        }
    }
}

impl ListedMember {
    fn new(member: &Member, state: Option<MemberState>) -> Self {
        Self {
            name: member.name,
            kind: member.kind.to_string(),
            offset_bytes: member.offset_bytes,
            size_bytes: member.size_bytes,
            generation: member.generation,
            saved_unix_seconds: member.saved_unix_seconds,
            sha256: member.kind.saved().then(|| hexadecimal(&member.sha256)),
            dax: member.dax_aligned(),
            check: state.map(|state| match state {
                MemberState::Intact => Check::Intact,
                MemberState::Changed => Check::Changed,
                MemberState::Corrupt { .. } => Check::Corrupt,
                MemberState::NoData => Check::None,
            }),
        }
    }

    fn row(&self, space: Name) -> Vec<String> {
        let mut row = vec![
            space.to_string(),
            self.name.to_string(),
            self.kind.clone(),
            self.generation.to_string(),
            size::show(self.offset_bytes),
            size::show(self.size_bytes),
            if self.dax { "yes" } else { "no" }.to_owned(),
            utc(self.saved_unix_seconds),
        ];
        row.extend(self.check.map(|check| match check {
            Check::Intact => "intact".to_owned(),
            Check::Changed => "changed".to_owned(),
            Check::Corrupt => "CORRUPT".to_owned(),
            Check::None => "no data".to_owned(),
        }));
        row
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
