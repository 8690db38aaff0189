// SPDX-License-Identifier: GPL-2.0

//! The list of segment spaces, as a table and as JSON.

use std::io;
use std::io::Write;
use std::path::PathBuf;

use onecopy_format::segment_space::Member;
use onecopy_format::segment_space::Name;
use onecopy_store::MemberCheck;
use onecopy_store::MemberState;
use onecopy_store::Space;
use schemars::JsonSchema;
use serde::Serialize;

use super::table;
use super::table::utc;
use super::table::write_table;
use crate::size;

/// Everything that `query seg` has found.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Segments {
    /// Segment spaces that can be used.
    #[serde(rename = "segment_spaces")]
    pub(crate) spaces: Vec<ListedSpace>,
    /// Those that cannot.
    pub(crate) invalid: Vec<InvalidSpace>,
}

/// A valid segment space.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ListedSpace {
    /// Name of the segment space.
    #[serde(serialize_with = "table::display")]
    #[schemars(with = "String")]
    name: Name,
    /// What new guests get.
    generation: u64,
    /// All that there are.
    generations: Vec<u64>,
    /// Size of the file.
    size_bytes: u64,
    /// The file.
    path: PathBuf,
    /// Its members, by offset.
    members: Vec<ListedMember>,
}

/// A member of a valid segment space.
#[derive(Debug, Serialize, JsonSchema)]
struct ListedMember {
    /// Name of the member.
    #[serde(serialize_with = "table::display")]
    #[schemars(with = "String")]
    name: Name,
    /// Type: SR, ER, SC, SW or EW, or one without saved content.
    #[serde(rename = "type")]
    kind: String,
    /// Where it begins in the file.
    offset_bytes: u64,
    /// Its size.
    size_bytes: u64,
    /// The generation of the segment space that it was saved with.
    generation: u64,
    /// When it was saved, in seconds since 1970.
    saved_unix_seconds: u64,
    /// Its digest when it was saved; nothing for types without saved content.
    sha256: Option<String>,
    /// Whether a guest can map it in place, in pages of 2 MiB.
    dax: bool,
    /// With --verify: what was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<Check>,
}

/// What the check of a member has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Check {
    Intact,
    Changed,
    Corrupt,
    None,
}

/// A segment space that cannot be used.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct InvalidSpace {
    /// Name of the segment space.
    #[serde(serialize_with = "table::display")]
    #[schemars(with = "String")]
    pub(crate) name: Name,
    /// Why it cannot be used.
    pub(crate) error: String,
}

impl Segments {
    /// Whether nothing is invalid and no check failed.
    pub(super) fn is_sound(&self) -> bool {
        self.invalid.is_empty() && self.corrupt().next().is_none()
    }

    pub(super) fn render(&self, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
        write_table(out, &self.rows())?;
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
        let mut rows = vec![title.into_iter().map(str::to_owned).collect()];
        for space in &self.spaces {
            rows.extend(space.members.iter().map(|member| member.row(space.name)));
        }
        rows
    }
}

impl ListedSpace {
    pub(crate) fn new(
        space: &Space,
        generations: Vec<u64>,
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
