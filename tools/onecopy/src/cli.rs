// SPDX-License-Identifier: GPL-2.0

//! The command line: what was typed.

mod boot;
mod defseg;
mod defsys;
mod disk;
mod doctor;
mod generate;
mod partition;
mod resources;
mod saveseg;
mod see;
mod segment;
mod smsg;
mod system;
mod vmrm;

use std::path::PathBuf;

use clap::Parser;
use clap::Subcommand;
use onecopy_machine::options::Sandbox;

pub(crate) use self::boot::BootArgs;
pub(crate) use self::defseg::DefsegArgs;
pub(crate) use self::defseg::MemberArg;
pub(crate) use self::defsys::DefsysArgs;
pub(crate) use self::doctor::DoctorArgs;
pub(crate) use self::generate::CompletionsArgs;
pub(crate) use self::generate::ManArgs;
pub(crate) use self::generate::SchemaArgs;
pub(crate) use self::partition::DefineArgs;
pub(crate) use self::partition::PartitionCommand;
use self::partition::QueryPartitionsArgs;
pub(crate) use self::partition::ReiplArgs;
pub(crate) use self::partition::RemoveArgs;
pub(crate) use self::partition::RollbackArgs;
pub(crate) use self::partition::ShowArgs;
pub(crate) use self::partition::UpgradeArgs;
pub(crate) use self::saveseg::SavesegArgs;
pub(crate) use self::see::MetricsArgs;
use self::see::QueryMemoryArgs;
pub(crate) use self::see::ReportArgs;
pub(crate) use self::see::TopArgs;
pub(crate) use self::segment::AttachArgs;
pub(crate) use self::segment::DetachArgs;
pub(crate) use self::segment::QuerySegArgs;
pub(crate) use self::smsg::SmsgArgs;
pub(crate) use self::system::ConsoleArgs;
pub(crate) use self::system::IplArgs;
pub(crate) use self::system::LogoffArgs;
pub(crate) use self::system::PurgeCommand;
use self::system::QueryGuestsArgs;
pub(crate) use self::system::QueryNssArgs;
pub(crate) use self::system::SavesysArgs;
pub(crate) use self::vmrm::VmrmCheckArgs;
pub(crate) use self::vmrm::VmrmCommand;
pub(crate) use self::vmrm::VmrmRunArgs;
pub(crate) use self::vmrm::VmrmSimulateArgs;
use crate::status;

/// Where segment spaces and saved systems are kept unless something else is said.
const DEFAULT_ROOT: &str = "/var/lib/onecopy";

/// Where running guests have their directories unless something else is said.
const DEFAULT_RUN: &str = "/run/onecopy";

/// Share one copy of kernels and programs among the Linux guests of this host.
#[derive(Debug, Parser)]
#[command(
    name = "onecopy",
    version,
    subcommand_help_heading = "Verbs",
    subcommand_value_name = "VERB",
    after_help = status::help() + "

Examples:
  onecopy saveseg USR --from-dir /srv/trees/usr
  onecopy query seg --verify
  onecopy boot --kernel bzImage --root-segment USR
  onecopy savesys LX73 --kernel bzImage --initrd initrd.img
  onecopy ipl LX73 --segment USR
  onecopy attach lx731 PY
  onecopy partition define web --kernel LX73 --memory 1G"
)]
pub(crate) struct Cli {
    /// Directory of the store
    #[arg(long, global = true, env = "ONECOPY_ROOT", default_value = DEFAULT_ROOT)]
    pub(crate) root: PathBuf,

    /// Directory of the running guests
    #[arg(long, global = true, env = "ONECOPY_RUN", default_value = DEFAULT_RUN)]
    pub(crate) run_dir: PathBuf,

    /// Print the outcome as JSON, and a failure too; the verb schema says what is in it
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// QEMU's filter of system calls: on; spawn, which lets it start helpers of network cards; or off
    #[arg(
        long,
        global = true,
        value_name = "MODE",
        env = "ONECOPY_SANDBOX",
        default_value = "on"
    )]
    pub(crate) sandbox: Sandbox,

    /// User that QEMU runs as, when root starts it; by default onecopy if there is that user, or else root
    #[arg(long, global = true, value_name = "NAME", env = "ONECOPY_QEMU_USER")]
    pub(crate) qemu_user: Option<String>,

    /// Keep the guest that is started, for another process of this program
    #[arg(long, hide = true)]
    pub(crate) keeper: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Defseg(DefsegArgs),
    Saveseg(SavesegArgs),
    Defsys(DefsysArgs),
    Savesys(SavesysArgs),
    Ipl(IplArgs),
    Attach(AttachArgs),
    Detach(DetachArgs),
    Console(ConsoleArgs),
    Logoff(LogoffArgs),
    /// Define partitions, and say which saved kernel serves which
    ///
    /// A partition is a machine that exists also while no guest runs in it: the identifier of the
    /// kernel that serves it, and its resources. The verb ipl with --partition starts its guest.
    #[command(subcommand)]
    Partition(PartitionCommand),
    /// Show what is in the store, and which guests run
    #[command(subcommand)]
    Query(QueryCommand),
    /// Remove what is in the store
    #[command(subcommand)]
    Purge(PurgeCommand),
    /// Let guests give memory back that the host needs more
    #[command(subcommand)]
    Vmrm(VmrmCommand),
    Smsg(SmsgArgs),
    Boot(BootArgs),
    Top(TopArgs),
    Report(ReportArgs),
    Metrics(MetricsArgs),
    Doctor(DoctorArgs),
    Schema(SchemaArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

/// What can be shown.
#[derive(Debug, Subcommand)]
pub(crate) enum QueryCommand {
    Seg(QuerySegArgs),
    Nss(QueryNssArgs),
    Guests(QueryGuestsArgs),
    Memory(QueryMemoryArgs),
    Partitions(QueryPartitionsArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::manual::EXAMPLES;

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// Calls `check` for each verb that has no verbs below it, and each that has.
    fn walk(command: &clap::Command, check: &mut impl FnMut(&clap::Command)) {
        check(command);
        for verb in command.get_subcommands() {
            if verb.get_name() != "help" {
                walk(verb, check);
            }
        }
    }

    #[test]
    fn every_verb_and_every_argument_has_help() {
        let mut command = Cli::command();
        command.build();
        let mut verbs = 0;
        walk(&command, &mut |verb| {
            verbs += 1;
            let name = verb.get_display_name().unwrap_or_default();
            assert!(verb.get_about().is_some(), "{name}");
            for argument in verb.get_arguments() {
                assert!(argument.get_help().is_some(), "{name} {argument}");
            }
        });
        assert!(verbs > 25, "only {verbs} were found");
    }

    /// Divides a line as a shell does, if it is as simple as those in the examples.
    fn words(line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut is_quoted = false;
        for character in line.chars() {
            match (character, words.last_mut()) {
                ('\'', _) => is_quoted = !is_quoted,
                (' ', _) if !is_quoted => words.push(String::new()),
                (_, Some(word)) => word.push(character),
                (_, None) => {}
            }
        }
        words
    }

    #[test]
    fn examples_of_every_verb_are_understood_and_are_of_that_verb() {
        let mut command = Cli::command();
        command.build();
        walk(&command, &mut |verb| {
            let name = verb.get_bin_name().unwrap_or_default();
            let help = verb.get_after_help().map(ToString::to_string);
            let help = help.unwrap_or_default();
            let examples = help.split_once(EXAMPLES).map(|(_, examples)| examples);
            let is_group = verb.has_subcommands() && name != "onecopy";
            let mut count = 0;
            for line in examples.unwrap_or_default().lines() {
                let Some(at) = line.find("onecopy ") else {
                    continue;
                };
                let line = line[at..].split(['|', '>']).next().unwrap();
                assert!(is_group || line.starts_with(name), "{name}: {line}");
                let parsed = Cli::try_parse_from(words(line.trim()));
                assert!(parsed.is_ok(), "{name}: {line}: {}", parsed.unwrap_err());
                count += 1;
            }
            assert!(count > 0 || is_group, "{name} has no examples");
        });
    }
}
