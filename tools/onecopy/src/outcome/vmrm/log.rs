// SPDX-License-Identifier: GPL-2.0

//! The log of a manager that runs.

use std::io;
use std::io::Write;

use onecopy_vmrm::event::Event;

use crate::json;

/// Standard output, line by line.
#[derive(Debug)]
pub(crate) struct Log {
    is_json: bool,
}

impl Log {
    /// Says everything as JSON, or in words.
    pub(crate) fn new(is_json: bool) -> Self {
        Self { is_json }
    }

    /// Writes a line at once: somebody may be waiting for it.
    pub(crate) fn write(&self, event: &Event) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.is_json {
            json::write_line(&mut out, event)?;
        } else {
            writeln!(out, "{event}")?;
        }
        out.flush()
    }
}
