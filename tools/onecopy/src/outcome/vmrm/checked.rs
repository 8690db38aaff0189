// SPDX-License-Identifier: GPL-2.0

//! What a configuration means.

use std::io;
use std::io::Write;
use std::path::PathBuf;

use onecopy_vmrm::policy::GuestRules;
use onecopy_vmrm::sample::Host;
use schemars::JsonSchema;
use serde::Serialize;

use crate::outcome::table::write_table;
use crate::size;

/// A configuration that is valid.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Checked {
    /// The file; nothing if the defaults hold.
    pub(crate) config: Option<PathBuf>,
    /// The memory that counts.
    pub(crate) host: Host,
    /// The guests that run.
    pub(crate) guests: Vec<CheckedGuest>,
    /// Guests that are named and do not run.
    pub(crate) missing: Vec<String>,
}

/// What a configuration means for a guest.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CheckedGuest {
    /// Name of the guest.
    name: String,
    /// Its memory.
    memory_bytes: u64,
    /// Whether it is managed.
    managed: bool,
    /// It keeps this much, whatever happens.
    floor_bytes: Option<u64>,
    /// It keeps this much beside what it uses.
    headroom_bytes: Option<u64>,
    /// How much it gives in proportion to others.
    weight: Option<u32>,
}

impl CheckedGuest {
    pub(crate) fn new(name: &str, memory_bytes: u64, rules: Option<GuestRules>) -> Self {
        Self {
            name: name.to_owned(),
            memory_bytes,
            managed: rules.is_some(),
            floor_bytes: rules.map(|rules| rules.floor.of(memory_bytes)),
            headroom_bytes: rules.map(|rules| rules.headroom.of(memory_bytes)),
            weight: rules.map(|rules| rules.weight),
        }
    }

    fn row(&self) -> Vec<String> {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        vec![
            self.name.clone(),
            size::show(self.memory_bytes),
            if self.managed { "yes" } else { "no" }.to_owned(),
            or_dash(self.floor_bytes.map(size::show)),
            or_dash(self.headroom_bytes.map(size::show)),
            or_dash(self.weight.map(|weight| weight.to_string())),
        ]
    }
}

impl Checked {
    pub(in crate::outcome) fn render(
        &self,
        out: &mut dyn Write,
        err: &mut dyn Write,
    ) -> io::Result<()> {
        for name in &self.missing {
            writeln!(err, "onecopy: Guest {name} is named, and does not run")?;
        }
        match &self.config {
            Some(path) => writeln!(out, "{} is valid; {}", path.display(), self.host)?,
            None => writeln!(out, "There is no configuration; {}", self.host)?,
        }
        let title = ["GUEST", "MEMORY", "MANAGED", "FLOOR", "HEADROOM", "WEIGHT"];
        let mut rows = vec![title.map(str::to_owned).to_vec()];
        rows.extend(self.guests.iter().map(CheckedGuest::row));
        write_table(out, &rows)
    }
}
