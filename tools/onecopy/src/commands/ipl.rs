// SPDX-License-Identifier: GPL-2.0

//! `onecopy ipl`

use std::path::absolute;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::bail;
use onecopy_format::segment_space::Name;
use onecopy_machine::accel::Choice;
use onecopy_machine::Interrupt;
use onecopy_machine::SegmentDevice;
use onecopy_machine::Tee;
use onecopy_store::Group;
use onecopy_store::Space;
use onecopy_system::ipl;
use onecopy_system::Guest;
use onecopy_system::GuestName;
use onecopy_system::IplOptions;
use onecopy_system::ResourceOptions;
use rustix::thread::disable_transparent_huge_pages;

use super::attach;
use super::attach::Attached;
use super::partition;
use super::Places;
use crate::boot;
use crate::boot::End;
use crate::cli::IplArgs;
use crate::keeper;
use crate::outcome::Ended;
use crate::outcome::Outcome;
use crate::segments::Wanted;
use crate::terminal;
use crate::terminal::CtrlC;
use crate::terminal::Keyboard;

/// What is started, and on which pages of the host.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) options: IplOptions,
    pub(super) small_pages: bool,
}

/// Starts a guest, and lets another process keep it unless it is to be in the foreground.
pub(super) fn run(args: &IplArgs, places: &Places, json: bool) -> anyhow::Result<Outcome> {
    let interrupt = boot::watch_signals()?;
    if let Some(partition) = &args.partition {
        // What is wrong is known before there is another process.
        partition::guest::check_start(partition, args.guest.as_ref(), places, &interrupt)?;
    }
    if args.foreground {
        return Ok(Outcome::Booted(Ended::new(&foreground(
            args, places, &interrupt, json,
        )?)));
    }
    Ok(Outcome::Started(keeper::start(args.timeout, &interrupt)?))
}

/// Starts a guest and keeps it, for the process that waits for it.
pub(super) fn keep(args: &IplArgs, places: &Places) -> anyhow::Result<Outcome> {
    keeper::keep(&places.guests, |interrupt| {
        start(args, places, None, interrupt)
    })?;
    Ok(Outcome::Kept)
}

fn foreground(
    args: &IplArgs,
    places: &Places,
    interrupt: &Interrupt,
    json: bool,
) -> anyhow::Result<End> {
    let tee = terminal::console_output(json);
    let mut guest = start(args, places, Some(tee), interrupt)?;
    let _keyboard = Keyboard::take(CtrlC::Ours)?;
    terminal::forward_input(guest.machine().console().clone())?;
    let end = boot::attend(guest.machine(), interrupt, None)?;
    guest.clean()?;
    Ok(end)
}

fn start(
    args: &IplArgs,
    places: &Places,
    tee: Option<Tee>,
    interrupt: &Interrupt,
) -> anyhow::Result<Guest> {
    let plan = plan(args, places, interrupt)?;
    if plan.small_pages {
        // QEMU inherits that from us.
        disable_transparent_huge_pages(true)?;
    }
    let guest = ipl(&plan.options, &places.systems, &places.guests, tee)?;
    if let Some(partition) = &args.partition {
        partition::guest::check_still_there(partition, &places.partitions)?;
    }
    Ok(guest)
}

fn plan(args: &IplArgs, places: &Places, interrupt: &Interrupt) -> anyhow::Result<Plan> {
    let Plan {
        options,
        small_pages,
    } = match (&args.partition, args.name) {
        (Some(partition), _) => {
            let partition = places.partitions.find(partition)?;
            partition::guest::plan(&partition, args.guest.as_ref(), places)?
        }
        (None, Some(name)) => of_arguments(name, args, places)?,
        (None, None) => bail!("Nothing says what to start"),
    };
    Ok(Plan {
        options: IplOptions {
            guest: args.guest.clone().or(options.guest),
            qemu: args.qemu.as_deref().map(program).transpose()?,
            accel: match args.accel {
                Choice::Auto => None,
                Choice::Fixed(accel) => Some(accel),
            },
            timeout: args.timeout,
            interrupt: interrupt.clone(),
            confinement: places.confinement.clone(),
            ..options
        },
        small_pages,
    })
}

fn of_arguments(name: Name, args: &IplArgs, places: &Places) -> anyhow::Result<Plan> {
    let guest = args.guest.as_ref();
    let args = &args.resources;
    let group = group_of(args.group.as_ref(), &args.segments, name, places)?;
    let given = attached(
        args.parm.as_deref(),
        &args.segments,
        guest,
        group.as_ref(),
        places,
    )?;
    Ok(Plan {
        options: IplOptions {
            group,
            memory_bytes: args.memory,
            cpus: args.cpus,
            segments: given.segments,
            spaces: given.spaces,
            nics: args.nics.iter().map(|nic| nic.options.clone()).collect(),
            balloon: args.balloon,
            smsg: args.smsg,
            disks: args.disks.iter().map(|disk| disk.0.clone()).collect(),
            resources: ResourceOptions {
                hostname: args.hostname.clone(),
                machine_id: args.machine_id.clone(),
                parm: given.parm,
                others: args.others.clone(),
            },
            ..IplOptions::new(name)
        },
        small_pages: args.small_pages,
    })
}

/// The segments of a guest that is started from a saved system.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) parm: Option<String>,
    pub(super) segments: Vec<SegmentDevice>,
    pub(super) spaces: Vec<Arc<Space>>,
}

/// Returns the trust group that the system must have: what is asked for, or what it has now if segments
/// are chosen for it.
pub(super) fn group_of(
    wanted: Option<&Group>,
    segments: &[Wanted],
    name: Name,
    places: &Places,
) -> anyhow::Result<Option<Group>> {
    if wanted.is_some() || segments.is_empty() {
        return Ok(wanted.cloned());
    }
    let generation = places.systems.acquire(name)?;
    Ok(Some(generation.manifest().group.clone()))
}

/// Finds segments of this trust group, and names them in the parm.
pub(super) fn attached(
    parm: Option<&str>,
    wanted: &[Wanted],
    guest: Option<&GuestName>,
    group: Option<&Group>,
    places: &Places,
) -> anyhow::Result<Given> {
    let group = group.cloned().unwrap_or_default();
    let Attached { attachment, spaces } =
        attach::attach(wanted, None, guest, &group, &places.store)?;
    Ok(Given {
        parm: match attachment.parameters.as_slice() {
            [] => parm.map(str::to_owned),
            parameters => Some(with_parameters(parm, parameters)),
        },
        segments: attachment.devices,
        spaces,
    })
}

/// Adds parameters of ours, behind what replaces the command line.
fn with_parameters(parm: Option<&str>, parameters: &[String]) -> String {
    let parameters = parameters.join(" ");
    match parm {
        None => parameters,
        Some(parm) if parm.starts_with('=') => format!("{parm} {parameters}"),
        Some(parm) => format!("{parameters} {parm}"),
    }
}

/// Makes the path of a program absolute; a name without a slash is searched on `PATH`.
fn program(path: &Path) -> std::io::Result<PathBuf> {
    if path.components().count() > 1 {
        absolute(path)
    } else {
        Ok(path.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_named_in_the_command_line_that_the_guest_sees() {
        let ours = ["dcss.segments=A,B".to_owned()];
        for (parm, expected) in [
            (None, "dcss.segments=A,B"),
            (Some("quiet"), "dcss.segments=A,B quiet"),
            (Some("=a b"), "=a b dcss.segments=A,B"),
        ] {
            assert_eq!(with_parameters(parm, &ours), expected);
        }
    }

    #[test]
    fn only_the_name_of_a_program_stays_relative() {
        assert_eq!(program(Path::new("qemu")).unwrap(), Path::new("qemu"));
        assert!(program(Path::new("./bin/qemu")).unwrap().is_absolute());
    }
}
