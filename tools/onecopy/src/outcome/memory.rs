// SPDX-License-Identifier: GPL-2.0

//! Where memory is: the host, the files that are shared, and the guests.

use std::io;
use std::io::Write;

use onecopy_observe::size::rounded;
use onecopy_observe::FileMemory;
use onecopy_observe::GuestMemory;
use onecopy_observe::Memory;
use schemars::JsonSchema;
use serde::Serialize;

use super::table::write_facts;
use super::table::write_table;

/// What stands where nothing is known.
const NOTHING: &str = "-";

/// The memory of the host and of its guests.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct MemoryUse(pub(crate) Memory);

impl MemoryUse {
    pub(super) fn render(&self, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
        let Self(memory) = self;
        write_facts(out, &self.summary())?;
        if !memory.saved_systems.is_empty() || !memory.segment_spaces.is_empty() {
            writeln!(out)?;
            write_table(out, &self.files())?;
        }
        if !memory.guests.is_empty() {
            writeln!(out)?;
            write_table(out, &self.guests())?;
        }
        for guest in &memory.guests {
            if let Some(error) = &guest.error {
                writeln!(err, "onecopy: {}: {error}", guest.name)?;
            }
        }
        Ok(())
    }

    fn summary(&self) -> Vec<Vec<String>> {
        let (host, total) = (&self.0.host, &self.0.total);
        let used = host.swap_total_bytes.saturating_sub(host.swap_free_bytes);
        let plural = if total.guests == 1 { "" } else { "s" };
        let line =
            |label: &str, bytes: u64, what: String| vec![label.to_owned(), rounded(bytes), what];
        vec![
            line(
                "Host",
                host.total_bytes,
                format!("{} available", rounded(host.available_bytes)),
            ),
            line(
                "Swap",
                host.swap_total_bytes,
                format!("{} used", rounded(used)),
            ),
            line(
                "Guests",
                total.memory_bytes,
                format!(
                    "as {} guest{plural} see it, {} given back",
                    total.guests,
                    rounded(total.given_bytes)
                ),
            ),
            line(
                "Shared",
                total.shared_bytes,
                format!(
                    "instead of {}: {} saved",
                    rounded(total.mapped_bytes),
                    rounded(total.saved_bytes())
                ),
            ),
            line(
                "Private",
                total.private_bytes,
                format!(
                    "of which {} are no longer shared",
                    rounded(total.unshared_bytes)
                ),
            ),
            line(
                "QEMU",
                total.overhead_bytes,
                "beside guest memory".to_owned(),
            ),
        ]
    }

    fn files(&self) -> Vec<Vec<String>> {
        let title = [
            "KIND", "NAME", "GEN", "USERS", "SIZE", "RESIDENT", "MAPPED", "PRIVATE", "UNSHARED",
        ];
        let row = |kind: &str, file: &FileMemory| {
            vec![
                kind.to_owned(),
                file.name.clone(),
                file.generation.to_string(),
                file.users.to_string(),
                rounded(file.size_bytes),
                rounded(file.resident_bytes),
                rounded(file.mapped_bytes),
                rounded(file.private_bytes),
                rounded(file.unshared_bytes),
            ]
        };
        let Self(memory) = self;
        let mut rows = vec![title.map(str::to_owned).to_vec()];
        rows.extend(memory.saved_systems.iter().map(|file| row("system", file)));
        rows.extend(
            memory
                .segment_spaces
                .iter()
                .map(|file| row("segment", file)),
        );
        rows
    }

    fn guests(&self) -> Vec<Vec<String>> {
        let title = [
            "GUEST", "SYSTEM", "STATE", "MEMORY", "GIVEN", "SHARED", "PRIVATE", "UNSHARED", "QEMU",
        ];
        let maybe = |bytes: Option<u64>| bytes.map_or_else(|| NOTHING.to_owned(), rounded);
        let row = |guest: &GuestMemory| {
            vec![
                guest.name.clone(),
                format!("{} {}", guest.system, guest.generation),
                guest.state.clone(),
                rounded(guest.memory_bytes),
                maybe(guest.given_bytes),
                rounded(guest.shared_bytes),
                maybe(guest.private_bytes),
                rounded(guest.unshared_bytes),
                maybe(guest.overhead_bytes),
            ]
        };
        let mut rows = vec![title.map(str::to_owned).to_vec()];
        rows.extend(self.0.guests.iter().map(row));
        rows
    }
}
