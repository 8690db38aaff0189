// SPDX-License-Identifier: GPL-2.0

//! From the segments that a guest wants to devices and kernel parameters.

mod access;
mod chosen;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::str::FromStr;

use onecopy_format::segment_space::Name;
use onecopy_format::segment_space::NameError;
use onecopy_format::segment_space::SegmentType;
use onecopy_machine::options::Access;
use onecopy_machine::SegmentDevice;
use onecopy_store::Group;
use onecopy_store::Space;

pub(crate) use self::access::of_members as access;
use self::access::AccessError;
use self::chosen::Chosen;
use self::chosen::PARAMETER_LEN;

/// What the user names: a segment space, a member, or contiguous members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    names: Vec<Name>,
}

impl FromStr for Wanted {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Ok(Self {
            names: text.split(':').map(str::parse).collect::<Result<_, _>>()?,
        })
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.names.iter().map(Name::as_str).collect();
        f.write_str(&names.join(":"))
    }
}

/// What is known about a segment space that could be attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    name: Name,
    group: Group,
    members: Vec<Name>,
    path: PathBuf,
    size_bytes: u64,
    access: Result<Access, AccessError>,
}

impl Candidate {
    /// Returns what is known of a segment space of this trust group.
    pub(crate) fn new(space: &Space, group: Group) -> Self {
        let members: Vec<(Name, SegmentType)> = space
            .members()
            .iter()
            .map(|member| (member.name, member.kind))
            .collect();
        Self {
            name: space.name(),
            group,
            access: access::of_members(&members),
            members: members.into_iter().map(|(name, _)| name).collect(),
            path: space.path().to_owned(),
            size_bytes: space.size_bytes(),
        }
    }

    /// Returns the name of the segment space.
    pub(crate) fn name(&self) -> Name {
        self.name
    }

    fn holds(&self, wanted: &Wanted) -> bool {
        let mut names = wanted.names.iter();
        names.all(|name| self.members.contains(name))
    }
}

/// Why segments cannot be attached.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SegmentError {
    #[error("There is no segment {wanted}; {existing}")]
    NotFound { wanted: String, existing: String },
    #[error("Segment {wanted} is in several segment spaces: {spaces}; name the segment space")]
    Ambiguous { wanted: String, spaces: String },
    #[error("Segment {member} is in several of the segment spaces to attach: {spaces}; the guest would take either")]
    Shadowed { member: Name, spaces: String },
    #[error("Somebody saves {spaces} again and again; try again when that has ended")]
    Changing { spaces: String },
    #[error("Segment space {space} is of trust group {found}, and the guest of {wanted}: guests share pages with those of their own group only")]
    Group {
        space: Name,
        found: Group,
        wanted: Group,
    },
    #[error("Segment space {space} cannot be attached")]
    Access { space: Name, source: AccessError },
    #[error("The names of the segments have {found} characters as a kernel parameter, of which the guest takes {PARAMETER_LEN}; attach fewer, or the others in the guest")]
    TooLong { found: usize },
}

/// What a guest gets.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Attachment {
    /// The segment spaces, each once.
    pub(crate) devices: Vec<SegmentDevice>,
    /// Their names, in the same order.
    pub(crate) names: Vec<Name>,
    /// What the guest is to attach, each once, as its driver takes it.
    pub(crate) entries: Vec<String>,
    /// The kernel parameters that attach the segments and mount the root.
    pub(crate) parameters: Vec<String>,
}

impl Attachment {
    /// Finds everything that is wanted among the candidates, for a guest of this trust group.
    pub(crate) fn new(
        candidates: &[Candidate],
        wanted: &[Wanted],
        root: Option<Name>,
        group: &Group,
    ) -> Result<Self, SegmentError> {
        let mut chosen = Chosen::default();
        for wanted in wanted {
            let (space, entries) = find(candidates, wanted)?;
            chosen.add(space, entries);
        }
        if let Some(root) = root {
            let wanted = Wanted { names: vec![root] };
            chosen.add(find_member(candidates, &wanted)?, vec![wanted]);
        }
        chosen.check_group(group)?;
        chosen.check_names()?;
        Ok(Self {
            devices: chosen.devices()?,
            names: chosen.names(),
            entries: chosen.entries(),
            parameters: chosen.parameters(root)?,
        })
    }
}

/// Returns the names that may be those of the segment spaces with what is wanted.
pub(crate) fn first_names(wanted: &[Wanted], root: Option<Name>) -> Vec<Name> {
    let names = wanted.iter().filter_map(|wanted| wanted.names.first());
    names.copied().chain(root).collect()
}

/// Whether everything is wanted by the name of a segment space that has it. Then it does not matter what else
/// there is in the store.
pub(crate) fn are_named(candidates: &[Candidate], wanted: &[Wanted], root: Option<Name>) -> bool {
    let is_named = |wanted: &Wanted| {
        let mut named = candidates.iter();
        let named = named.find(|space| wanted.names.first() == Some(&space.name));
        // A single name is that of the segment space itself.
        named.is_some_and(|space| wanted.names.len() == 1 || space.holds(wanted))
    };
    let is_root = |root| {
        let mut named = candidates.iter();
        named.any(|space| space.name == root && space.members.contains(&root))
    };
    wanted.iter().all(is_named) && root.is_none_or(is_root)
}

/// Finds the segment space, and what the guest is to attach of it.
fn find<'a>(
    candidates: &'a [Candidate],
    wanted: &Wanted,
) -> Result<(&'a Candidate, Vec<Wanted>), SegmentError> {
    if let [name] = wanted.names.as_slice() {
        if let Some(space) = candidates.iter().find(|candidate| candidate.name == *name) {
            let alone = |&member| Wanted {
                names: vec![member],
            };
            return Ok((space, space.members.iter().map(alone).collect()));
        }
    }
    find_member(candidates, wanted).map(|space| (space, vec![wanted.clone()]))
}

/// Finds the one segment space with these members; one that has the first name is preferred.
fn find_member<'a>(
    candidates: &'a [Candidate],
    wanted: &Wanted,
) -> Result<&'a Candidate, SegmentError> {
    let holds = candidates.iter().filter(|space| space.holds(wanted));
    let found: Vec<&Candidate> = holds.collect();
    let preferred = found
        .iter()
        .find(|candidate| wanted.names.first() == Some(&candidate.name));
    match (preferred, found.as_slice()) {
        (Some(candidate), _) | (None, [candidate]) => Ok(candidate),
        (None, []) => Err(SegmentError::NotFound {
            wanted: wanted.to_string(),
            existing: listed(candidates),
        }),
        (None, several) => Err(SegmentError::Ambiguous {
            wanted: wanted.to_string(),
            spaces: names_of(several),
        }),
    }
}

fn names_of(spaces: &[&Candidate]) -> String {
    let names: Vec<&str> = spaces.iter().map(|space| space.name.as_str()).collect();
    names.join(", ")
}

fn listed(candidates: &[Candidate]) -> String {
    let spaces = candidates.iter().map(|candidate| {
        let members: Vec<&str> = candidate.members.iter().map(Name::as_str).collect();
        format!("{} ({})", candidate.name, members.join(" "))
    });
    onecopy_store::listed(&spaces.collect::<Vec<_>>(), "nothing has been saved")
}
