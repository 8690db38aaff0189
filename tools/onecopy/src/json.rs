// SPDX-License-Identifier: GPL-2.0

//! JSON as `--json` prints it, and its schemas.
//!
//! A verb that has an outcome has a line in [`SCHEMAS`]; one that has none, in `WITHOUT`. The schemas are
//! derived from the types that are printed. What the comments on their fields say is in them.

use std::io;
use std::io::Write;

use onecopy_observe::Sample;
use onecopy_vmrm::event::Event;
use schemars::generate::SchemaSettings;
use schemars::json_schema;
use schemars::JsonSchema;
use schemars::Schema;
use serde::Serialize;

use crate::failure::Failure;
use crate::keeper::Started;
use crate::outcome::AttachedSegments;
use crate::outcome::Changed;
use crate::outcome::Checked;
use crate::outcome::Defined;
use crate::outcome::DefinedSpace;
use crate::outcome::DetachedSegments;
use crate::outcome::Ended;
use crate::outcome::Examined;
use crate::outcome::GuestList;
use crate::outcome::LoggedOff;
use crate::outcome::MemoryUse;
use crate::outcome::PartitionList;
use crate::outcome::PurgedName;
use crate::outcome::Removed;
use crate::outcome::Reported;
use crate::outcome::Saved;
use crate::outcome::SavedSystem;
use crate::outcome::Segments;
use crate::outcome::Shown;
use crate::outcome::SystemList;
use crate::outcome::Told;

/// A verb, and the schema of what it prints.
type Entry = (&'static str, fn() -> Schema);

/// What is said on standard error when a verb has failed.
pub(crate) const ERROR: &str = "error";

/// The verbs that print JSON, and what is printed when they fail.
pub(crate) const SCHEMAS: &[Entry] = &[
    (ERROR, of::<Failure>),
    ("saveseg", of::<Saved>),
    ("defseg", of::<DefinedSpace>),
    ("attach", of::<AttachedSegments>),
    ("detach", of::<DetachedSegments>),
    ("defsys", of::<Defined>),
    ("savesys", of::<SavedSystem>),
    ("ipl", either::<Started, Ended>),
    ("logoff", of::<LoggedOff>),
    ("partition define", of::<Changed>),
    ("partition show", of::<Shown>),
    ("partition list", of::<PartitionList>),
    ("partition upgrade", of::<Changed>),
    ("partition rollback", of::<Changed>),
    ("partition remove", of::<Removed>),
    ("query seg", of::<Segments>),
    ("query nss", of::<SystemList>),
    ("query guests", of::<GuestList>),
    ("query memory", of::<MemoryUse>),
    ("query partitions", of::<PartitionList>),
    ("purge nss", of::<PurgedName>),
    ("purge seg", of::<PurgedName>),
    ("smsg", of::<Told>),
    ("vmrm run", of::<Event>),
    ("vmrm simulate", of::<Event>),
    ("vmrm check", of::<Checked>),
    ("boot", of::<Ended>),
    ("top", of::<Sample>),
    ("report", of::<Reported>),
    ("metrics", of::<Sample>),
    ("doctor", of::<Examined>),
];

/// The verbs that print none: a console, and text that is for other programs.
#[cfg(test)]
pub(crate) const WITHOUT: &[&str] = &["console", "schema", "completions", "man"];

/// Writes an object of JSON, with an end of its last line.
pub(crate) fn write(out: &mut dyn Write, object: &(impl Serialize + JsonSchema)) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, object)?;
    writeln!(out)
}

/// Writes an object of JSON in one line.
pub(crate) fn write_line(
    out: &mut dyn Write,
    object: &(impl Serialize + JsonSchema),
) -> io::Result<()> {
    serde_json::to_writer(&mut *out, object)?;
    writeln!(out)
}

/// Writes objects of JSON, each in its line.
pub(crate) fn write_lines(
    out: &mut dyn Write,
    objects: &[impl Serialize + JsonSchema],
) -> io::Result<()> {
    objects
        .iter()
        .try_for_each(|object| write_line(out, object))
}

/// Returns the schema of a verb.
pub(crate) fn find(verb: &str) -> Option<Schema> {
    let entry = SCHEMAS.iter().find(|(name, _)| *name == verb);
    entry.map(|(_, schema)| schema())
}

/// Each schema stands for itself: readers need not follow references.
fn of<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let settings = settings.with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<T>()
}

fn either<A: JsonSchema, B: JsonSchema>() -> Schema {
    // The dialect is said once.
    let mut parts = [of::<A>(), of::<B>()];
    let dialects = parts.each_mut().map(|part| part.remove("$schema"));
    json_schema!({ "$schema": dialects[0], "anyOf": parts })
}

#[cfg(test)]
mod tests {
    use clap::Command;
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    /// Returns the verbs that have no verbs below them, as they are typed.
    fn leaves(command: &Command, above: &str) -> Vec<String> {
        let verbs = command.get_subcommands();
        let leaves = verbs
            .filter(|verb| verb.get_name() != "help")
            .flat_map(|verb| {
                let name = format!("{above}{}", verb.get_name());
                if verb.has_subcommands() {
                    leaves(verb, &format!("{name} "))
                } else {
                    vec![name]
                }
            });
        leaves.collect()
    }

    #[test]
    fn it_is_known_of_each_verb_what_it_prints() {
        let mut known: Vec<&str> = SCHEMAS.iter().map(|(name, _)| *name).collect();
        known.retain(|name| *name != ERROR);
        known.extend(WITHOUT);
        known.sort_unstable();
        let mut verbs = leaves(&Cli::command(), "");
        verbs.sort_unstable();
        assert_eq!(known, verbs);
    }
}
