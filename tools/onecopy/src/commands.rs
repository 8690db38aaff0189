// SPDX-License-Identifier: GPL-2.0

//! The verbs: what was typed becomes what was done.

mod attach;
mod boot;
mod console;
mod defseg;
mod defsys;
mod detach;
mod doctor;
mod generate;
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
use onecopy_machine::options::Sandbox;
use onecopy_machine::Confinement;
use onecopy_observe::Collector;
use onecopy_observe::ANSWER_TIMEOUT;
use onecopy_partition::Partitions;
use onecopy_store::Store;
use onecopy_system::Guests;
use onecopy_system::Systems;

use crate::cli::Cli;
use crate::cli::Command;
use crate::cli::QueryCommand;
use crate::cli::VmrmCommand;
use crate::emulator;
use crate::outcome::Ended;
use crate::outcome::Log;
use crate::outcome::Outcome;

/// Where everything is.
#[derive(Debug)]
struct Places {
    store: Store,
    systems: Systems,
    partitions: Partitions,
    guests: Guests,
    run: PathBuf,
    sandbox: Sandbox,
    qemu_user: Option<String>,
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
        Command::Defseg(args) => Outcome::DefinedSpace(defseg::run(args, store)?),
        Command::Saveseg(args) => Outcome::Saved(saveseg::run(args, &places)?),
        Command::Defsys(args) => Outcome::Defined(Box::new(defsys::run(args, systems)?)),
        Command::Savesys(args) => Outcome::SavedSystem(Box::new(savesys::run(args, &places)?)),
        Command::Ipl(args) if cli.keeper => ipl::keep(args, &places)?,
        Command::Ipl(args) => ipl::run(args, &places, cli.json)?,
        Command::Attach(args) => Outcome::Attached(attach::run(args, &places)?),
        Command::Detach(args) => Outcome::Detached(detach::run(args, &places)?),
        Command::Console(args) => Outcome::Left(console::run(args, guests)?),
        Command::Logoff(args) => Outcome::LoggedOff(logoff::run(args, guests)?),
        Command::Partition(command) => partition::run(command, &places)?,
        Command::Query(QueryCommand::Seg(args)) => {
            Outcome::Segments(query::segments::run(args, store, guests)?)
        }
        Command::Query(QueryCommand::Nss(args)) => {
            Outcome::Systems(query::systems::run(args, systems, guests)?)
        }
        Command::Query(QueryCommand::Guests(_)) => {
            Outcome::Guests(query::guests::run(places.collector(), guests)?)
        }
        Command::Query(QueryCommand::Memory(_)) => {
            Outcome::Memory(query::memory::run(places.collector())?)
        }
        Command::Query(QueryCommand::Partitions(_)) => {
            Outcome::Partitions(partition::list(&places)?)
        }
        Command::Purge(command) => Outcome::Purged(purge::run(command, &places)?),
        Command::Vmrm(VmrmCommand::Run(args)) => {
            let log = Log::new(cli.json);
            Outcome::Managed(vmrm::run::run(args, run, &mut |event| log.write(event))?)
        }
        Command::Vmrm(VmrmCommand::Simulate(args)) => {
            Outcome::Simulated(vmrm::simulate::run(args)?)
        }
        Command::Vmrm(VmrmCommand::Check(args)) => {
            Outcome::Checked(vmrm::check::run(args, guests)?)
        }
        Command::Smsg(args) => Outcome::Told(smsg::run(args, &places.smsg_rules, guests)?),
        Command::Boot(args) => Outcome::Booted(Ended::new(&boot::run(args, &places, cli.json)?)),
        Command::Top(args) => Outcome::Seen(top::run(args, places.collector(), cli.json)?),
        Command::Report(args) => Outcome::Reported(report::run(args, places.collector())?),
        Command::Doctor(args) => Outcome::Examined(doctor::run(args, &places, &cli.run_dir)?),
        Command::Schema(args) => Outcome::Text(generate::schema(args)?),
        Command::Completions(args) => Outcome::Text(generate::completions(args)?),
        Command::Man(args) => Outcome::Text(generate::man(args)?),
        Command::Metrics(args) => {
            Outcome::Measured(metrics::run(args, places.collector(), cli.json)?)
        }
    })
}

impl Places {
    /// A guest outlives this command, and what is written about it is read elsewhere: all directories
    /// are therefore absolute.
    fn of(cli: &Cli) -> anyhow::Result<Self> {
        let root = absolute(&cli.root).context("Cannot find the store")?;
        let run = absolute(&cli.run_dir).context("Cannot find the directory of the guests")?;
        Ok(Self {
            store: Store::open(&root),
            partitions: Partitions::open(&root),
            smsg_rules: root.join("smsg.toml"),
            systems: Systems::open(root),
            guests: Guests::open(&run),
            run,
            sandbox: cli.sandbox,
            qemu_user: cli.qemu_user.clone(),
        })
    }

    /// Returns what QEMU may do; verbs that start none do not ask.
    fn confinement(&self) -> anyhow::Result<Confinement> {
        emulator::confinement(self.sandbox, self.qemu_user.as_deref())
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
