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
    /// What the guest's driver was told to attach, and has.
    pub(crate) told: Vec<String>,
    /// What is left to be written to `/sys/kernel/config/dcss/add` in the guest.
    pub(crate) entries: Vec<String>,
    /// Those of them that the guest's driver was told to attach, and has not.
    pub(crate) refused: Vec<RefusedEntry>,
}

/// What a guest has not attached although it was told to.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RefusedEntry {
    /// What was to be attached.
    pub(crate) entry: String,
    /// Why it was not.
    pub(crate) reason: String,
}

/// What a guest has let go of.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DetachedSegments {
    /// Name of the guest.
    pub(crate) guest: String,
    /// Name of the segment space.
    pub(crate) space: String,
    /// Its generation.
    pub(crate) generation: u64,
    /// The members that the guest had attached.
    pub(crate) members: Vec<String>,
    /// Whether the guest has let go of the whole segment space.
    pub(crate) released: bool,
}

impl DetachedSegments {
    pub(super) fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self {
            space, generation, ..
        } = self;
        let what = if self.released {
            String::new()
        } else {
            format!(" {},", self.members.join(" "))
        };
        writeln!(
            out,
            "{space} generation {generation}:{what} detached from {}; mapped until it ends",
            self.guest
        )
    }
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
    pub(super) fn render(&self, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
        for RefusedEntry { entry, reason } in &self.refused {
            let guest = &self.guest;
            writeln!(
                err,
                "onecopy: Guest {guest} has not attached {entry}: {reason}"
            )?;
        }
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
        for entry in &self.told {
            writeln!(out, "In the guest: /dev/dcss/{}", device(entry))?;
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

/// Returns the name of the device of an entry: contiguous members have that of the first.
fn device(entry: &str) -> &str {
    entry.split(':').next().unwrap_or(entry)
}
