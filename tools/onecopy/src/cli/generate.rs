// SPDX-License-Identifier: GPL-2.0

//! The verbs that print what is generated from the program itself.

use clap::Args;

/// Print what the JSON of a verb consists of.
///
/// That is a JSON Schema (draft 2020-12) of what the verb prints with --json. The schema "error" is that
/// of what is printed on standard error when a verb has failed. Without a verb all names are listed.
/// Later versions may add fields, and take none away.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy schema
  onecopy schema query guests
  onecopy schema error")]
pub(crate) struct SchemaArgs {
    /// The verb, as it is typed
    pub(crate) verb: Vec<String>,
}
