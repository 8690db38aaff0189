// SPDX-License-Identifier: GPL-2.0

//! `onecopy ipl`

use std::path::absolute;
use std::path::Path;
use std::path::PathBuf;

use onecopy_machine::accel::Choice;
use onecopy_machine::Interrupt;
use onecopy_system::ipl;
use onecopy_system::Guest;
use onecopy_system::IplOptions;
use onecopy_system::ResourceOptions;
use rustix::thread::disable_transparent_huge_pages;

use super::attach;
use super::Places;
use crate::boot;
use crate::boot::End;
use crate::cli::IplArgs;
use crate::keeper;
use crate::outcome::Outcome;
use crate::terminal;
use crate::terminal::CtrlC;
use crate::terminal::Keyboard;

/// Starts a guest, and lets another process keep it unless it is to be in the foreground.
pub(super) fn run(args: &IplArgs, places: &Places) -> anyhow::Result<Outcome> {
    if args.foreground {
        return Ok(Outcome::Booted(foreground(args, places)?));
    }
    Ok(Outcome::Started(keeper::start(args.timeout)?))
}

/// Chooses pages for QEMU, which inherits that from us.
fn choose_pages(args: &IplArgs) -> std::io::Result<()> {
    if args.small_pages {
        disable_transparent_huge_pages(true)?;
    }
    Ok(())
}

/// Starts a guest and keeps it, for the process that waits for it.
pub(super) fn keep(args: &IplArgs, places: &Places) -> anyhow::Result<Outcome> {
    keeper::keep(&places.guests, |interrupt| {
        let options = options(args, places, interrupt)?;
        choose_pages(args)?;
        Ok(ipl(&options, &places.systems, &places.guests, None)?)
    })?;
    Ok(Outcome::Kept)
}

fn foreground(args: &IplArgs, places: &Places) -> anyhow::Result<End> {
    let interrupt = boot::watch_signals()?;
    let options = options(args, places, &interrupt)?;
    choose_pages(args)?;
    let tee = Box::new(std::io::stdout());
    let mut guest: Guest = ipl(&options, &places.systems, &places.guests, Some(tee))?;
    let _keyboard = Keyboard::take(CtrlC::Ours)?;
    terminal::forward_input(guest.machine().console().clone())?;
    let end = boot::attend(guest.machine(), &interrupt, None)?;
    guest.clean()?;
    Ok(end)
}

fn options(args: &IplArgs, places: &Places, interrupt: &Interrupt) -> anyhow::Result<IplOptions> {
    let mut parm = args.parm.clone();
    let mut segments = Vec::new();
    if !args.segments.is_empty() {
        let attachment = attach::attach(&args.segments, None, &places.store)?;
        parm = Some(with_parameters(parm.as_deref(), &attachment.parameters));
        segments = attachment.devices;
    }
    Ok(IplOptions {
        name: args.name,
        guest: args.guest.clone(),
        partition: None,
        qemu: args.qemu.as_deref().map(program).transpose()?,
        accel: match args.accel {
            Choice::Auto => None,
            Choice::Fixed(accel) => Some(accel),
        },
        memory_bytes: args.memory,
        cpus: args.cpus,
        segments,
        nics: args.nics.clone(),
        balloon: args.balloon,
        disks: args.disks.iter().map(|disk| disk.0.clone()).collect(),
        resources: ResourceOptions {
            hostname: args.hostname.clone(),
            machine_id: args.machine_id.clone(),
            parm,
            others: args.resources.clone(),
        },
        timeout: args.timeout,
        interrupt: interrupt.clone(),
        extra_args: Vec::new(),
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
