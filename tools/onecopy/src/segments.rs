// SPDX-License-Identifier: GPL-2.0

//! From the segments that a guest wants to devices and kernel parameters.

mod access;
mod chosen;

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
    let holds = |candidate: &&Candidate| {
        wanted
            .names
            .iter()
            .all(|name| candidate.members.contains(name))
    };
    let found: Vec<&Candidate> = candidates.iter().filter(holds).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(name: &str, members: &[&str]) -> Candidate {
        Candidate {
            name: name.parse().unwrap(),
            group: Group::default(),
            members: members
                .iter()
                .map(|member| member.parse().unwrap())
                .collect(),
            path: PathBuf::from(format!("/{name}/1.seg")),
            size_bytes: 4 << 20,
            access: Ok(Access::ReadOnly),
        }
    }

    fn attach(wanted: &[&str], root: Option<&str>) -> Result<(Vec<String>, String), String> {
        let candidates = [
            candidate("ROOT", &["ROOT"]),
            candidate("TOOLS", &["PY", "GCC", "ROOT"]),
            candidate("OLD", &["PY"]),
        ];
        let wanted: Vec<Wanted> = wanted.iter().map(|text| text.parse().unwrap()).collect();
        let attachment = Attachment::new(
            &candidates,
            &wanted,
            root.map(|name| name.parse().unwrap()),
            &Group::default(),
        )
        .map_err(|error| error.to_string())?;
        let paths = attachment
            .devices
            .iter()
            .map(|device| device.path.display().to_string())
            .collect();
        Ok((paths, attachment.parameters.join(" ")))
    }

    #[test]
    fn a_segment_space_is_attached_with_all_its_members() {
        let (devices, parameters) = attach(&["tools"], None).unwrap();
        assert_eq!(devices, ["/TOOLS/1.seg"]);
        assert_eq!(parameters, "dcss.segments=PY,GCC,ROOT");
    }

    #[test]
    fn members_share_the_device_of_their_segment_space() {
        let (devices, parameters) = attach(&["GCC", "PY:GCC"], None).unwrap();
        assert_eq!(devices, ["/TOOLS/1.seg"]);
        assert_eq!(parameters, "dcss.segments=GCC,PY:GCC");
    }

    #[test]
    fn the_root_is_a_segment_too_and_listed_once() {
        let (devices, parameters) = attach(&["ROOT"], Some("ROOT")).unwrap();
        assert_eq!(devices, ["/ROOT/1.seg"]);
        assert_eq!(
            parameters,
            "dcss.segments=ROOT root=/dev/dcss/ROOT rootfstype=erofs rootflags=dax=always ro"
        );
    }

    #[test]
    fn nothing_wanted_is_nothing_attached() {
        assert_eq!(attach(&[], None).unwrap(), (vec![], String::new()));
    }

    #[test]
    fn a_missing_segment_is_reported_with_what_exists() {
        assert_eq!(
            attach(&["NOSUCH"], None).unwrap_err(),
            "There is no segment NOSUCH; there are: ROOT (ROOT), TOOLS (PY GCC ROOT), OLD (PY)"
        );
        assert!(attach(&["ROOT:PY:X"], None).is_err());
    }

    #[test]
    fn a_member_of_several_segment_spaces_is_ambiguous() {
        assert_eq!(
            attach(&["PY"], None).unwrap_err(),
            "Segment PY is in several segment spaces: TOOLS, OLD; name the segment space"
        );
    }

    #[test]
    fn a_name_that_the_guest_would_find_in_another_segment_space_is_refused() {
        for (wanted, root) in [
            (&["TOOLS"][..], Some("ROOT")),
            (&["GCC"], Some("ROOT")),
            (&["ROOT", "TOOLS"], None),
        ] {
            assert_eq!(
                attach(wanted, root).map_err(|error| error.replace("TOOLS, ROOT", "ROOT, TOOLS")),
                Err(
                    "Segment ROOT is in several of the segment spaces to attach: ROOT, TOOLS; \
                     the guest would take either"
                        .to_owned()
                ),
                "{wanted:?} {root:?}"
            );
        }
        assert!(attach(&["OLD", "GCC"], None)
            .unwrap_err()
            .contains("Segment PY is in"));
        attach(&["GCC"], Some("GCC")).unwrap();
    }

    #[test]
    fn a_list_that_the_driver_would_not_take_is_refused() {
        let names: Vec<String> = (0..45).map(|number| format!("MEMBER{number:02}")).collect();
        let members = |count| {
            names
                .iter()
                .take(count)
                .map(String::as_str)
                .collect::<Vec<_>>()
        };
        let attach = |count| {
            let candidates = [candidate("MANY", &members(count))];
            Attachment::new(
                &candidates,
                &["MANY".parse().unwrap()],
                None,
                &Group::default(),
            )
        };
        let list = attach(44).unwrap().parameters.join("");
        assert_eq!(list.len(), "dcss.segments=".len() + 44 * 9 - 1);
        assert_eq!(attach(45), Err(SegmentError::TooLong { found: 404 }));
    }

    #[test]
    fn only_segments_of_the_guests_own_trust_group_are_attached() {
        let group = |text: &str| text.parse::<Group>().unwrap();
        let mut candidates = [candidate("USR", &["USR"]), candidate("OPT", &["OPT"])];
        candidates[1].group = group("a");
        let attach = |wanted: &[&str], guest: &str| {
            let wanted: Vec<Wanted> = wanted.iter().map(|text| text.parse().unwrap()).collect();
            let attached = Attachment::new(&candidates, &wanted, None, &group(guest));
            attached.map_err(|error| error.to_string())
        };
        attach(&["USR"], "default").unwrap();
        attach(&["OPT"], "a").unwrap();
        for (wanted, guest, space, found) in [
            (&["OPT"][..], "default", "OPT", "a"),
            (&["USR"], "a", "USR", "default"),
            (&["OPT", "USR"], "a", "USR", "default"),
        ] {
            let expected = format!(
                "Segment space {space} is of trust group {found}, and the guest of {guest}: guests share pages \
                 with those of their own group only"
            );
            assert_eq!(attach(wanted, guest).unwrap_err(), expected);
        }
    }
}
