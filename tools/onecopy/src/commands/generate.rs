// SPDX-License-Identifier: GPL-2.0

//! `onecopy completions`, `man` and `schema`: what is generated from the program itself.

use std::fs;

use anyhow::Context;
use clap::CommandFactory;
use onecopy_directory::replace;
use onecopy_directory::Manner;

use crate::cli::Cli;
use crate::cli::CompletionsArgs;
use crate::cli::ManArgs;
use crate::cli::SchemaArgs;
use crate::json;
use crate::json::SCHEMAS;
use crate::manual;
use crate::outcome::NoSchema;

/// Returns a script for a shell.
pub(super) fn completions(args: &CompletionsArgs) -> anyhow::Result<String> {
    let mut script = Vec::new();
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    Ok(String::from_utf8(script)?)
}

/// Writes the manual pages, and returns what they are.
pub(super) fn man(args: &ManArgs) -> anyhow::Result<String> {
    let directory = &args.directory;
    let place = || format!("Cannot write manual pages to {}", directory.display());
    fs::create_dir_all(directory).with_context(place)?;
    let mut written = String::new();
    for (name, text) in manual::pages(Cli::command())? {
        replace(&directory.join(&name), &text, Manner::PUBLIC).with_context(place)?;
        written.push_str(&name);
        written.push('\n');
    }
    Ok(written)
}

/// Returns the schema of a verb, or the names of all.
pub(super) fn schema(args: &SchemaArgs) -> anyhow::Result<String> {
    if args.verb.is_empty() {
        let names = SCHEMAS.iter().map(|(name, _)| format!("{name}\n"));
        return Ok(names.collect());
    }
    let verb = args.verb.join(" ");
    let schema = json::find(&verb).ok_or(NoSchema(verb))?;
    Ok(format!("{}\n", serde_json::to_string_pretty(&schema)?))
}
