// SPDX-License-Identifier: GPL-2.0

//! The command line: what was typed.

mod defseg;
mod defsys;
mod disk;
mod doctor;
mod generate;
mod partition;
mod resources;
mod see;
mod segment;
mod smsg;
mod system;
mod vmrm;

use std::path::PathBuf;

use clap::Args;
use clap::Parser;
use clap::Subcommand;
use onecopy_format::segment_space::Name;
use onecopy_format::segment_space::SegmentType;
use onecopy_machine::accel::Choice;
use onecopy_machine::options::Sandbox;
use onecopy_store::Group;
use onecopy_system::GuestName;

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
pub(crate) use self::see::MetricsArgs;
use self::see::QueryMemoryArgs;
pub(crate) use self::see::ReportArgs;
pub(crate) use self::see::TopArgs;
pub(crate) use self::segment::AttachArgs;
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
use crate::segments::Wanted;
use crate::size;
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

/// Save a segment space as a new generation.
///
/// The segment space gets the given name. With --from-dir or --from-image it has one member of
/// that name; --member may be given several times for several members. Guests that are running
/// keep the generation that they have; guests that are started later get the new one. A segment space
/// that was defined with the verb defseg is saved as it was defined; options that say something else are
/// refused.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy saveseg USR --from-dir /srv/trees/usr
  onecopy saveseg DATA --from-image data.img --type SW
  onecopy saveseg TOOLS --member PY=/srv/python --member GCC=/srv/gcc
  onecopy saveseg USR --from-guest test")]
pub(crate) struct SavesegArgs {
    /// Name of the segment space: 1 to 8 of A-Z 0-9 _ -
    pub(crate) name: Name,

    /// Make an EROFS image of this directory
    #[arg(long, value_name = "DIR", conflicts_with_all = ["from_image", "members"])]
    pub(crate) from_dir: Option<PathBuf>,

    /// Copy this image
    #[arg(long, value_name = "FILE", conflicts_with = "members")]
    pub(crate) from_image: Option<PathBuf>,

    /// Add a member from a directory or an image
    #[arg(long = "member", value_name = "NAME=PATH", value_parser = parse_member)]
    pub(crate) members: Vec<NamedPath>,

    /// Type of the members: SR, ER, SC (read-only), SW (guests write to the file itself) or EW
    /// (each guest writes to a copy of its own); SR by default, unless a definition says it
    #[arg(long = "type", value_name = "TYPE", value_parser = parse_type)]
    pub(crate) kind: Option<SegmentType>,

    /// Trust group of the segment space: only guests of this group can attach it, and share its pages.
    /// It is decided by the first save; default if nothing is said
    #[arg(long, value_name = "GROUP", conflicts_with = "from_guest")]
    pub(crate) group: Option<Group>,

    /// Give all files in images of directories to root
    #[arg(long)]
    pub(crate) all_root: bool,

    /// Save what this guest has written into its private copy, which attach --non-shared gave it, of the
    /// segment space or member NAME. It should have synced that; it is paused meanwhile, and goes on
    #[arg(long, value_name = "GUEST",
          conflicts_with_all = ["from_dir", "from_image", "members", "kind", "all_root"])]
    pub(crate) from_guest: Option<GuestName>,
}

/// A name and where its content is.
#[derive(Debug, Clone)]
pub(crate) struct NamedPath {
    pub(crate) name: Name,
    pub(crate) path: PathBuf,
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

/// Start a guest in the foreground.
///
/// The guest's serial console is connected to standard input and output. The exit status is 0
/// when the guest switches itself off, and 1 when it resets, panics, runs into the time limit or
/// is interrupted. Ctrl-C ends the guest at once.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy boot --kernel bzImage --initrd initrd.img --memory 1G
  onecopy boot --kernel bzImage --root-segment ROOT --segment TOOLS
  onecopy boot --kernel bzImage --root-segment ROOT --append init=/bin/sh")]
pub(crate) struct BootArgs {
    /// Kernel to boot: a bzImage or an ELF file with a PVH entry
    #[arg(long, value_name = "FILE")]
    pub(crate) kernel: PathBuf,

    /// Initial RAM file system
    #[arg(long, value_name = "FILE")]
    pub(crate) initrd: Option<PathBuf>,

    /// Guest memory, with a unit: K, M, G or T (powers of 1024)
    #[arg(long, value_name = "SIZE", default_value = "512M", value_parser = size::parse)]
    pub(crate) memory: u64,

    /// Virtual processors
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) cpus: u32,

    /// Attach a segment: a segment space with all its members, a member, or contiguous members
    /// as A:B:C. What the guest writes to members of type SW changes the file, what it writes to
    /// those of type EW is gone with the guest
    #[arg(long = "segment", value_name = "NAME")]
    pub(crate) segments: Vec<Wanted>,

    /// Mount this segment as the root file system
    #[arg(long, value_name = "NAME")]
    pub(crate) root_segment: Option<Name>,

    /// Trust group of the guest, which must be that of all segments
    #[arg(long, value_name = "GROUP", default_value_t)]
    pub(crate) group: Group,

    /// Attach a disk: qcow2 if the name ends so, else raw
    #[arg(long = "disk", value_name = "FILE")]
    pub(crate) disks: Vec<PathBuf>,

    /// More of the kernel command line
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) append: Option<String>,

    /// Accelerator: auto, kvm or tcg
    #[arg(long, value_name = "ACCEL", default_value = "auto")]
    pub(crate) accel: Choice,

    /// Name of the guest
    #[arg(long, value_name = "NAME", default_value = "onecopy")]
    pub(crate) name: String,

    /// End the guest after this many seconds
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: Option<u64>,

    /// Keep the console's output in this file as well
    #[arg(long, value_name = "FILE")]
    pub(crate) console_log: Option<PathBuf>,

    /// The emulator
    #[arg(long, value_name = "FILE", env = "ONECOPY_QEMU")]
    pub(crate) qemu: Option<PathBuf>,
}

fn parse_member(text: &str) -> Result<NamedPath, String> {
    let (name, path) = text.split_once('=').ok_or("NAME=PATH is expected")?;
    if path.is_empty() {
        return Err("the path is empty".to_owned());
    }
    let name = name.parse().map_err(|error| format!("{error}"))?;
    Ok(NamedPath {
        name,
        path: PathBuf::from(path),
    })
}

fn parse_type(word: &str) -> Result<SegmentType, String> {
    let kind = SegmentType::from_keyword(&word.to_ascii_uppercase())
        .ok_or("SR, ER, SC, SW or EW is expected")?;
    if !kind.saved() {
        return Err(format!(
            "{kind} has no saved content; SR, ER, SC, SW or EW is expected"
        ));
    }
    Ok(kind)
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

    #[test]
    fn types_without_saved_content_are_refused() {
        assert_eq!(parse_type("sw"), Ok(SegmentType::Sw));
        assert!(parse_type("SN")
            .unwrap_err()
            .starts_with("SN has no saved content"));
        assert!(parse_type("XX").is_err());
    }

    #[test]
    fn a_member_needs_a_name_and_a_path() {
        let member = parse_member("py=/srv/a=b").unwrap();
        assert_eq!(
            (member.name.as_str(), member.path),
            ("PY", PathBuf::from("/srv/a=b"))
        );
        for text in ["PY", "PY=", "=x", "TOOLONGNAME=x"] {
            assert!(parse_member(text).is_err(), "{text}");
        }
    }
}
