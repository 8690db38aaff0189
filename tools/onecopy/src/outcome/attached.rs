// SPDX-License-Identifier: GPL-2.0

//! Segments that were attached to a guest.

use std::io;
use std::io::Write;

use onecopy_system::Attachment;
use schemars::JsonSchema;
use serde::Serialize;

/// What was attached, and what is left to do in the guest.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AttachedSegments {
    /// Name of the guest.
    pub(crate) guest: String,
    /// What it has got.
    pub(crate) attached: Vec<AttachedSpace>,
    /// What to write to `/sys/kernel/config/dcss/add` in the guest.
    pub(crate) entries: Vec<String>,
}

/// A segment space that was attached.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AttachedSpace {
    /// Name of the segment space.
    space: String,
    /// Its generation.
    generation: u64,
    /// The names of its members.
    members: Vec<String>,
    /// Whether it is a copy of the guest's own.
    non_shared: bool,
    /// Id of QEMU's device.
    device: String,
}

impl From<Attachment> for AttachedSpace {
    fn from(attachment: Attachment) -> Self {
        Self {
            space: attachment.space.to_string(),
            generation: attachment.generation,
            members: attachment.members.iter().map(ToString::to_string).collect(),
            non_shared: attachment.non_shared,
            device: attachment.device,
        }
    }
}

impl AttachedSegments {
    pub(super) fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        for attachment in &self.attached {
            let AttachedSpace {
                space, generation, ..
            } = attachment;
            let mode = if attachment.non_shared {
                ", a copy of its own"
            } else {
                ""
            };
            writeln!(
                out,
                "{space} generation {generation}: attached to {}{mode}",
                self.guest
            )?;
        }
        for entry in &self.entries {
            writeln!(
                out,
                "In the guest: echo {entry} > /sys/kernel/config/dcss/add"
            )?;
        }
        Ok(())
    }
}
