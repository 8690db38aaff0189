// SPDX-License-Identifier: GPL-2.0

//! A segment space that a guest has, as its record says it.

use onecopy_format::segment_space::Name;
use onecopy_store::Space;
use serde::Deserialize;
use serde::Serialize;

use crate::text;

/// A generation of a segment space that is mapped into a guest, which lasts until the guest ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The segment space.
    #[serde(with = "text")]
    pub space: Name,
    /// Its generation.
    pub generation: u64,
    /// The names of its members, by which the guest knows it.
    #[serde(with = "text::list")]
    pub members: Vec<Name>,
    /// Whether it is a private copy, in which the guest may write to all members.
    pub non_shared: bool,
    /// Whether the guest has let go of it. It stays mapped all the same.
    #[serde(default)]
    pub detached: bool,
    /// The id of its device in QEMU.
    pub device: String,
}

impl Attachment {
    /// Makes the record of a segment space that becomes a device.
    pub(crate) fn new(space: &Space, device: String, non_shared: bool) -> Self {
        Self {
            space: space.name(),
            generation: space.generation(),
            members: space.members().iter().map(|member| member.name).collect(),
            non_shared,
            detached: false,
            device,
        }
    }
}
