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
use onecopy_system::Attachment;
use onecopy_system::Class;
use onecopy_system::GuestName;
use onecopy_system::Rules;
use schemars::JsonSchema;
use serde::Serialize;

use super::segment_skeletons::SpaceSkeleton;
use super::table;
use super::table::utc;
use super::table::write_table;
use crate::size;
use crate::status::Status;

/// What stands where there is nothing to say.
const NOTHING: &str = "-";

/// The columns that there always are.
const TITLE: [&str; 10] = [
    "SPACE", "MEMBER", "TYPE", "GEN", "CLASS", "USERS", "OFFSET", "SIZE", "DAX", "SAVED",
];

/// Everything that `query seg` has found.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Segments {
    /// Segment spaces that can be used.
    #[serde(rename = "segment_spaces")]
    pub(crate) spaces: Vec<ListedSpace>,
    /// Those that were defined and not saved yet.
    pub(crate) skeletons: Vec<SpaceSkeleton>,
    /// Those that cannot.
    pub(crate) invalid: Vec<InvalidSpace>,
    #[serde(skip)]
    view: View,
}

/// What of it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum View {
    /// A table of members.
    #[default]
    Members,
    /// A table of users.
    Users,
}

/// A valid segment space.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ListedSpace {
    /// Name of the segment space.
    #[serde(serialize_with = "table::display")]
    #[schemars(with = "String")]
    name: Name,
    /// Its trust group.
    #[serde(serialize_with = "table::display")]
    #[schemars(with = "String")]
    group: Group,
    /// What new guests get.
    generation: u64,
    /// A, R or P; see query nss.
    class: char,
    /// Who uses it.
    users: Vec<ListedUser>,
    /// All that there are.
    generations: Vec<u64>,
    /// Whether only certain guests may have it.
    restricted: bool,
    /// Which.
    allow: Vec<String>,
    /// Size of the file.
    size_bytes: u64,
    /// The file.
    path: PathBuf,
    /// Its members, by offset.
    members: Vec<ListedMember>,
}

/// Who uses a generation: a guest, or a process that is known only by what it holds.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ListedUser {
    /// The guest, if it is known.
    guest: Option<String>,
    /// The process, if no guest is known.
    pid: Option<u32>,
    /// Whether it has a copy of its own.
    non_shared: bool,
    /// Whether the guest does not use it any more.
    detached: bool,
    /// Id of QEMU's device.
    device: Option<String>,
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
    error: String,
    #[serde(skip)]
    status: Status,
}

impl InvalidSpace {
    pub(crate) fn new(name: Name, error: &anyhow::Error) -> Self {
        Self {
            name,
            error: format!("{error:#}"),
            status: Status::of(error),
        }
    }
}

impl Segments {
    pub(crate) fn new(view: View) -> Self {
        Self {
            spaces: Vec::new(),
            skeletons: Vec::new(),
            invalid: Vec::new(),
            view,
        }
    }

    /// Returns the status: that nothing is invalid and no check failed, or what is not so.
    pub(super) fn status(&self) -> Status {
        let corrupt = self.corrupt().map(|_| Status::Damaged);
        Status::of_list(self.invalid.iter().map(|one| one.status).chain(corrupt))
    }

    pub(super) fn render(&self, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
        let rows = match self.view {
            View::Users => self.user_rows(),
            View::Members => self.rows(),
        };
        write_table(out, &rows)?;
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
        let members = || self.spaces.iter().flat_map(|space| &space.members);
        let is_checked = members().any(|member| member.check.is_some());
        let lists = self.spaces.iter().map(|space| &space.allow);
        let mut lists = lists.chain(self.skeletons.iter().map(|skeleton| &skeleton.allow));
        let is_restricted = lists.any(|allow| !allow.is_empty());
        let is_grouped = self.spaces.iter().any(|space| !space.group.is_default());
        let line = |mut row: Vec<String>, group: &str, allow: &[String], check: &str| {
            row.extend(is_grouped.then(|| group.to_owned()));
            row.extend(is_restricted.then(|| shown(allow)));
            row.extend(is_checked.then(|| check.to_owned()));
            row
        };
        let mut rows = Vec::new();
        for skeleton in &self.skeletons {
            let cells = skeleton.rows(NOTHING).into_iter();
            let lines = cells.map(|row| line(row, NOTHING, &skeleton.allow, NOTHING));
            rows.extend(lines.map(|row| (skeleton.name, None, row)));
        }
        for space in &self.spaces {
            for member in &space.members {
                let check = member.check.map_or(NOTHING, Check::shown);
                let row = line(member.row(space), space.group.as_str(), &space.allow, check);
                rows.push((space.name, Some(space.generation), row));
            }
        }
        // What is coming stands before what there is; members keep their order.
        rows.sort_by_key(|(name, generation, _)| (*name, *generation));
        let title = TITLE.map(str::to_owned).to_vec();
        let title = line(title, "GROUP", &["ALLOW".to_owned()], "CHECK");
        [title]
            .into_iter()
            .chain(rows.into_iter().map(|(_, _, row)| row))
            .collect()
    }

    fn user_rows(&self) -> Vec<Vec<String>> {
        let title = ["SPACE", "GEN", "CLASS", "USER", "ACCESS", "STATE", "DEVICE"];
        let mut rows = vec![title.map(str::to_owned).to_vec()];
        for space in &self.spaces {
            rows.extend(space.users.iter().map(|user| user.row(space)));
        }
        rows
    }
}

impl ListedSpace {
    pub(crate) fn new(
        space: &Space,
        group: Group,
        rules: &Rules,
        class: Class,
        users: Vec<ListedUser>,
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
            class: class.letter(),
            users,
            generations: Vec::new(),
            restricted: rules.is_restricted(),
            allow: rules.allow().iter().map(ToString::to_string).collect(),
            size_bytes: space.size_bytes(),
            path: space.path().to_owned(),
            members: space
                .members()
                .iter()
                .map(|member| ListedMember::new(member, state_of(member.name)))
                .collect(),
        }
    }

    /// Adds which generations there are.
    pub(crate) fn among(self, generations: &[u64]) -> Self {
        Self {
            generations: generations.to_vec(),
            ..self
        }
    }
}

impl ListedUser {
    /// A guest, as its record says.
    pub(crate) fn guest(guest: &GuestName, attachment: &Attachment) -> Self {
        Self {
            guest: Some(guest.to_string()),
            pid: None,
            non_shared: attachment.non_shared,
            detached: attachment.detached,
            device: Some(attachment.device.clone()),
        }
    }

    /// A process, such as that of a guest in the foreground.
    pub(crate) fn process(pid: u32) -> Self {
        Self {
            guest: None,
            pid: Some(pid),
            non_shared: false,
            detached: false,
            device: None,
        }
    }

    fn row(&self, space: &ListedSpace) -> Vec<String> {
        let process = self.pid.map(|pid| format!("process {pid}"));
        let user = self.guest.clone().or(process);
        let word = |flag, yes: &str, no: &str| if flag { yes } else { no }.to_owned();
        vec![
            space.name.to_string(),
            space.generation.to_string(),
            space.class.to_string(),
            user.unwrap_or_default(),
            word(self.non_shared, "non-shared", "shared"),
            word(self.detached, "detached", "attached"),
            self.device.clone().unwrap_or_else(|| NOTHING.to_owned()),
        ]
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

    fn row(&self, space: &ListedSpace) -> Vec<String> {
        vec![
            space.name.to_string(),
            self.name.to_string(),
            self.kind.clone(),
            self.generation.to_string(),
            space.class.to_string(),
            space.users.len().to_string(),
            size::show(self.offset_bytes),
            size::show(self.size_bytes),
            if self.dax { "yes" } else { "no" }.to_owned(),
            utc(self.saved_unix_seconds),
        ]
    }
}

impl Check {
    fn shown(self) -> &'static str {
        match self {
            Self::Intact => "intact",
            Self::Changed => "changed",
            Self::Corrupt => "CORRUPT",
            Self::None => "no data",
        }
    }
}

/// Shows a list of guests.
fn shown(allow: &[String]) -> String {
    if allow.is_empty() {
        return NOTHING.to_owned();
    }
    allow.join(",")
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
