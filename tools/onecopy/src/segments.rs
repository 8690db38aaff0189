// SPDX-License-Identifier: GPL-2.0

//! From the segments that a guest wants to devices and kernel parameters.

use std::path::PathBuf;
use std::str::FromStr;

use onecopy_format::segment_space::Name;
use onecopy_format::segment_space::NameError;
use onecopy_machine::SegmentDevice;
use onecopy_store::Space;

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
    members: Vec<Name>,
    path: PathBuf,
    size_bytes: u64,
}

impl From<&Space> for Candidate {
    fn from(space: &Space) -> Self {
        Self {
            name: space.name(),
            members: space.members().iter().map(|member| member.name).collect(),
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
}

/// What a guest gets.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Attachment {
    /// The segment spaces, each once.
    pub(crate) devices: Vec<SegmentDevice>,
    /// The kernel parameters that attach the segments and mount the root.
    pub(crate) parameters: Vec<String>,
}

impl Attachment {
    /// Finds everything that is wanted among the candidates.
    pub(crate) fn new(
        candidates: &[Candidate],
        wanted: &[Wanted],
        root: Option<Name>,
    ) -> Result<Self, SegmentError> {
        let mut attachment = Self::default();
        let mut list: Vec<String> = Vec::new();
        for wanted in wanted {
            let (candidate, entries) = find(candidates, wanted)?;
            attachment.add_device(candidate);
            list.extend(entries);
        }
        if let Some(root) = root {
            attachment.add_device(find_member(candidates, &Wanted { names: vec![root] })?);
            list.push(root.to_string());
        }
        let mut seen = std::collections::HashSet::new();
        list.retain(|entry| seen.insert(entry.clone()));
        if !list.is_empty() {
            attachment
                .parameters
                .push(format!("dcss.segments={}", list.join(",")));
        }
        if let Some(root) = root {
            attachment.parameters.push(format!(
                "root=/dev/dcss/{root} rootfstype=erofs rootflags=dax=always ro"
            ));
        }
        Ok(attachment)
    }

    fn add_device(&mut self, candidate: &Candidate) {
        let device = SegmentDevice {
            path: candidate.path.clone(),
            size_bytes: candidate.size_bytes,
        };
        if !self.devices.contains(&device) {
            self.devices.push(device);
        }
    }
}

/// Finds the segment space, and what the guest is to attach of it.
fn find<'a>(
    candidates: &'a [Candidate],
    wanted: &Wanted,
) -> Result<(&'a Candidate, Vec<String>), SegmentError> {
    if let [name] = wanted.names.as_slice() {
        if let Some(space) = candidates.iter().find(|candidate| candidate.name == *name) {
            return Ok((space, space.members.iter().map(Name::to_string).collect()));
        }
    }
    find_member(candidates, wanted).map(|space| (space, vec![wanted.to_string()]))
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
            spaces: several
                .iter()
                .map(|space| space.name.to_string())
                .collect::<Vec<_>>()
                .join(", "),
        }),
    }
}

fn listed(candidates: &[Candidate]) -> String {
    if candidates.is_empty() {
        return "nothing has been saved".to_owned();
    }
    let spaces = candidates.iter().map(|candidate| {
        let members: Vec<&str> = candidate.members.iter().map(Name::as_str).collect();
        format!("{} ({})", candidate.name, members.join(" "))
    });
    format!("there are: {}", spaces.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(name: &str, members: &[&str]) -> Candidate {
        Candidate {
            name: name.parse().unwrap(),
            members: members
                .iter()
                .map(|member| member.parse().unwrap())
                .collect(),
            path: PathBuf::from(format!("/{name}/1.seg")),
            size_bytes: 4 << 20,
        }
    }

    fn attach(wanted: &[&str], root: Option<&str>) -> Result<(Vec<String>, String), String> {
        let candidates = [
            candidate("ROOT", &["ROOT"]),
            candidate("TOOLS", &["PY", "GCC", "ROOT"]),
            candidate("OLD", &["PY"]),
        ];
        let wanted: Vec<Wanted> = wanted.iter().map(|text| text.parse().unwrap()).collect();
        let attachment =
            Attachment::new(&candidates, &wanted, root.map(|name| name.parse().unwrap()))
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
}
