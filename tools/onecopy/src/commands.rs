// SPDX-License-Identifier: GPL-2.0

//! The verbs: what was typed becomes what was done.

mod boot;
mod query;
mod saveseg;

use onecopy_store::Store;

use crate::cli::Cli;
use crate::cli::Command;
use crate::cli::QueryCommand;
use crate::outcome::Outcome;

/// Carries out the command.
pub(crate) fn run(cli: &Cli) -> anyhow::Result<Outcome> {
    let store = Store::open(&cli.root);
    Ok(match &cli.command {
        Command::Saveseg(args) => Outcome::Saved(saveseg::run(args, &store)?),
        Command::Query(QueryCommand::Seg(args)) => Outcome::Segments(query::run(args, &store)?),
        Command::Boot(args) => Outcome::Booted(boot::run(args, &store)?),
    })
}
