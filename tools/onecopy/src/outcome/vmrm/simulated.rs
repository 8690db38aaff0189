// SPDX-License-Identifier: GPL-2.0

//! What would have become of a recorded host.

use std::io;
use std::io::Write;

use onecopy_vmrm::event::Event;

use super::decisions::orders;
use super::decisions::rounds;
use crate::json;
use crate::outcome::table::write_table;

/// A trace that was replayed.
#[derive(Debug)]
pub(crate) struct Simulated {
    /// What would have been decided, and at last what that came to.
    pub(crate) events: Vec<Event>,
}

impl Simulated {
    /// Writes an object in each line, as the log of a manager has it.
    pub(in crate::outcome) fn render_json(&self, out: &mut dyn Write) -> io::Result<()> {
        json::write_lines(out, &self.events)
    }

    /// Writes a table of rounds, one of orders, and what they came to.
    pub(in crate::outcome) fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        for table in [
            rounds(&self.events),
            orders(&self.events, Some("TIME"), None),
        ] {
            if table.len() > 1 {
                write_table(out, &table)?;
                writeln!(out)?;
            }
        }
        for event in &self.events {
            if let Event::Summary(summary) = event {
                writeln!(out, "{summary}")?;
            }
        }
        Ok(())
    }
}
