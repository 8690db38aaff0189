// SPDX-License-Identifier: GPL-2.0

//! The verbs: what was typed becomes what was done.

mod attach;
mod boot;
mod console;
mod defsys;
mod doctor;
mod ipl;
mod logoff;
mod metrics;
mod partition;
mod purge;
mod query;
mod report;
mod saveseg;
mod savesys;
mod smsg;
mod top;
mod vmrm;

use std::path::absolute;
use std::path::PathBuf;

use anyhow::Context;
use onecopy_observe::Collector;
use onecopy_observe::ANSWER_TIMEOUT;
use onecopy_partition::Partitions;
use onecopy_store::Store;
use onecopy_system::smsg::RulesError;
use onecopy_system::Guests;
use onecopy_system::Systems;
use onecopy_vmrm::config::ConfigError;

use crate::cli::Cli;
use crate::cli::Command;
use crate::cli::PurgeCommand;
use crate::cli::QueryCommand;
use crate::cli::VmrmCommand;
use crate::outcome::Outcome;
use crate::FAILURE;
use crate::NOT_UNDERSTOOD;

/// Where everything is.
#[derive(Debug)]
struct Places {
    store: Store,
    systems: Systems,
    partitions: Partitions,
    guests: Guests,
    run: PathBuf,
    /// Who may send which messages to whom.
    smsg_rules: PathBuf,
}

/// Carries out the command.
pub(crate) fn run(cli: &Cli) -> anyhow::Result<Outcome> {
    let places = Places::of(cli)?;
    let Places {
        store,
        systems,
        guests,
        run,
        ..
    } = &places;
    Ok(match &cli.command {
        Command::Saveseg(args) => Outcome::Saved(saveseg::run(args, store)?),
        Command::Defsys(args) => Outcome::Defined(Box::new(defsys::run(args, systems)?)),
        Command::Savesys(args) => {
            Outcome::SavedSystem(Box::new(savesys::run(args, systems, guests)?))
        }
        Command::Ipl(args) if cli.keeper => ipl::keep(args, &places)?,
        Command::Ipl(args) => ipl::run(args, &places)?,
        Command::Console(args) => Outcome::Left(console::run(args, guests)?),
        Command::Logoff(args) => Outcome::LoggedOff(logoff::run(args, guests)?),
        Command::Partition(command) => partition::run(command, &places)?,
        Command::Query(QueryCommand::Seg(args)) => {
            Outcome::Segments(query::segments::run(args, store)?)
        }
        Command::Query(QueryCommand::Nss(args)) => {
            Outcome::Systems(query::systems::run(args, systems, guests)?)
        }
        Command::Query(QueryCommand::Guests(args)) => {
            Outcome::Guests(query::guests::run(args, places.collector(), guests)?)
        }
        Command::Purge(PurgeCommand::Nss(args)) => Outcome::Purged(purge::run(args, systems)?),
        Command::Vmrm(VmrmCommand::Run(args)) => Outcome::Managed(vmrm::run(args, run)?),
        Command::Vmrm(VmrmCommand::Simulate(args)) => {
            vmrm::simulate(args)?;
            Outcome::Simulated
        }
        Command::Vmrm(VmrmCommand::Check(args)) => {
            Outcome::Checked(vmrm::check::run(args, guests)?)
        }
        Command::Smsg(args) => Outcome::Told(smsg::run(args, &places.smsg_rules, guests)?),
        Command::Boot(args) => Outcome::Booted(boot::run(args, store)?),
        Command::Top(args) => Outcome::Seen(top::run(args, places.collector())?),
        Command::Report(args) => Outcome::Reported(report::run(args, places.collector())?),
        Command::Doctor(args) => Outcome::Examined(doctor::run(args, &places, &cli.run_dir)),
        Command::Metrics(args) => Outcome::Measured(metrics::run(args, places.collector())?),
    })
}

/// Returns the exit status of a command that has failed. The verbs about partitions say what kind of
/// failure it is.
pub(crate) fn exit_status(cli: &Cli, error: &anyhow::Error) -> u8 {
    match &cli.command {
        Command::Partition(_) => partition::exit_status(error),
        Command::Ipl(args) if args.partition.is_some() => partition::exit_status(error),
        _ if error.is::<ConfigError>() || error.is::<RulesError>() => NOT_UNDERSTOOD,
        _ => FAILURE,
    }
}

impl Places {
    /// A guest outlives this command, and what is written about it is read elsewhere: the
    /// directories of saved systems and guests are therefore absolute.
    fn of(cli: &Cli) -> anyhow::Result<Self> {
        let root = absolute(&cli.root).context("Cannot find the store")?;
        let run = absolute(&cli.run_dir).context("Cannot find the directory of the guests")?;
        Ok(Self {
            store: Store::open(&cli.root),
            partitions: Partitions::open(&root),
            smsg_rules: root.join("smsg.toml"),
            systems: Systems::open(root),
            guests: Guests::open(&run),
            run,
        })
    }

    /// Returns what takes samples of all this.
    fn collector(&self) -> Collector {
        let (store, systems, guests) = (&self.store, &self.systems, &self.guests);
        Collector::new(
            store.clone(),
            systems.clone(),
            guests.clone(),
            ANSWER_TIMEOUT,
        )
    }
}
