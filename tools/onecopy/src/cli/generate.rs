// SPDX-License-Identifier: GPL-2.0

//! The verbs that print what is generated from the program itself.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

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

/// Print a script that completes command lines in a shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy completions bash > /etc/bash_completion.d/onecopy
  onecopy completions zsh > /usr/local/share/zsh/site-functions/_onecopy
  onecopy completions fish > /etc/fish/completions/onecopy.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: Shell,
}

/// Write the manual pages, one for each verb.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy man /usr/local/share/man/man1")]
pub(crate) struct ManArgs {
    /// The directory to write them to; it is made if it does not exist
    pub(crate) directory: PathBuf,
}
