// SPDX-License-Identifier: GPL-2.0

//! Segments that were attached to a guest.

use std::io;
use std::io::Write;

use onecopy_system::Attachment;

/// What was attached, and what is left to do in the guest.
#[derive(Debug)]
pub(crate) struct AttachedSegments {
    pub(crate) guest: String,
    pub(crate) attached: Vec<Attachment>,
    pub(crate) entries: Vec<String>,
}

impl AttachedSegments {
    pub(super) fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        for attachment in &self.attached {
            let Attachment {
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
