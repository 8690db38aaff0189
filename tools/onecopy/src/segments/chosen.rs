// SPDX-License-Identifier: GPL-2.0

//! What a guest is to attach, collected and checked.

use onecopy_format::segment_space::Name;
use onecopy_machine::SegmentDevice;
use onecopy_store::Group;

use super::names_of;
use super::Candidate;
use super::SegmentError;
use super::Wanted;

/// How many characters the driver takes in `dcss.segments=`, see `drivers/block/dcss/dcss.rs`.
pub(super) const PARAMETER_LEN: usize = 400;

/// The segment spaces that become devices, and what the guest is to attach of them, each once.
#[derive(Debug, Default)]
pub(super) struct Chosen<'a> {
    spaces: Vec<&'a Candidate>,
    entries: Vec<Wanted>,
}

impl<'a> Chosen<'a> {
    pub(super) fn add(&mut self, space: &'a Candidate, entries: Vec<Wanted>) {
        if !self.spaces.contains(&space) {
            self.spaces.push(space);
        }
        for entry in entries {
            if !self.entries.contains(&entry) {
                self.entries.push(entry);
            }
        }
    }

    /// Makes sure that all segment spaces are of the guest's trust group.
    pub(super) fn check_group(&self, wanted: &Group) -> Result<(), SegmentError> {
        match self.spaces.iter().find(|space| space.group != *wanted) {
            None => Ok(()),
            Some(space) => Err(SegmentError::Group {
                space: space.name,
                found: space.group.clone(),
                wanted: wanted.clone(),
            }),
        }
    }

    /// Makes sure that the guest, which knows names of members only, takes what we have found.
    pub(super) fn check_names(&self) -> Result<(), SegmentError> {
        for &member in self.entries.iter().flat_map(|entry| &entry.names) {
            let holders = self.spaces.iter().copied();
            let holders: Vec<_> = holders.filter(|s| s.members.contains(&member)).collect();
            if holders.len() > 1 {
                let spaces = names_of(&holders);
                return Err(SegmentError::Shadowed { member, spaces });
            }
        }
        Ok(())
    }

    pub(super) fn devices(&self) -> Result<Vec<SegmentDevice>, SegmentError> {
        let device = |space: &&Candidate| {
            let access = space.access.clone();
            Ok(SegmentDevice {
                path: space.path.clone(),
                size_bytes: space.size_bytes,
                access: access.map_err(|source| SegmentError::Access {
                    space: space.name,
                    source,
                })?,
            })
        };
        self.spaces.iter().map(device).collect()
    }

    pub(super) fn names(&self) -> Vec<Name> {
        self.spaces.iter().map(|space| space.name).collect()
    }

    pub(super) fn entries(&self) -> Vec<String> {
        self.entries.iter().map(Wanted::to_string).collect()
    }

    pub(super) fn parameters(&self, root: Option<Name>) -> Result<Vec<String>, SegmentError> {
        let list = self.entries().join(",");
        if list.len() > PARAMETER_LEN {
            return Err(SegmentError::TooLong { found: list.len() });
        }
        let mut parameters = Vec::new();
        if !list.is_empty() {
            parameters.push(format!("dcss.segments={list}"));
        }
        if let Some(root) = root {
            parameters.push(format!(
                "root=/dev/dcss/{root} rootfstype=erofs rootflags=dax=always ro"
            ));
        }
        Ok(parameters)
    }
}
