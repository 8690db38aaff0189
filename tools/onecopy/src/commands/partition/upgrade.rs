// SPDX-License-Identifier: GPL-2.0

//! `onecopy partition upgrade` and `rollback`

use std::ffi::OsString;

use anyhow::Context;
use onecopy_machine::Interrupt;
use onecopy_partition::Upgrade;
use onecopy_system::guests::Record;
use onecopy_system::Logoff;
use onecopy_system::Running;
use rustix::process::geteuid;

use super::examine;
use super::guest;
use crate::boot;
use crate::cli::ReiplArgs;
use crate::cli::RollbackArgs;
use crate::cli::UpgradeArgs;
use crate::commands::Places;
use crate::keeper;
use crate::keeper::Started;
use crate::outcome::Action;
use crate::outcome::Changed;

pub(super) fn upgrade(args: &UpgradeArgs, places: &Places) -> anyhow::Result<Changed> {
    let interrupt = watch(&args.reipl)?;
    let partition = places.partitions.find(&args.partition)?;
    let running = running(&args.partition, places)?;
    // A kernel that cannot serve the partition is refused before anything changes.
    let guest = running.as_ref().map(|record| &record.guest);
    guest::check(
        &args.partition,
        args.kernel,
        &partition.resources,
        guest,
        places,
        &interrupt,
    )?;
    let upgrade = places.partitions.upgrade(&args.partition, args.kernel)?;
    take_effect(
        Action::Upgraded,
        &upgrade,
        running,
        &args.reipl,
        places,
        &interrupt,
    )
}

pub(super) fn rollback(args: &RollbackArgs, places: &Places) -> anyhow::Result<Changed> {
    let interrupt = watch(&args.reipl)?;
    let partition = places.partitions.find(&args.partition)?;
    let running = running(&args.partition, places)?;
    if let Some(kernel) = partition.entry.previous {
        let guest = running.as_ref().map(|record| &record.guest);
        guest::check(
            &args.partition,
            kernel,
            &partition.resources,
            guest,
            places,
            &interrupt,
        )?;
    }
    let upgrade = places.partitions.rollback(&args.partition)?;
    take_effect(
        Action::RolledBack,
        &upgrade,
        running,
        &args.reipl,
        places,
        &interrupt,
    )
}

/// With `--now` a signal makes us undo what was begun. Without there is nothing to undo, and it ends
/// the process.
fn watch(args: &ReiplArgs) -> std::io::Result<Interrupt> {
    if args.now {
        boot::watch_signals()
    } else {
        Ok(Interrupt::default())
    }
}

fn running(
    name: &onecopy_partition::PartitionName,
    places: &Places,
) -> anyhow::Result<Option<Record>> {
    let root = places.partitions.root();
    Ok(places.guests.serving(name.as_guest(), root)?)
}

fn take_effect(
    action: Action,
    upgrade: &Upgrade,
    running: Option<Record>,
    args: &ReiplArgs,
    places: &Places,
    interrupt: &Interrupt,
) -> anyhow::Result<Changed> {
    let restarted = match running {
        Some(record) if args.now => Some(restart(upgrade, &record, args, places, interrupt)?),
        _ => None,
    };
    Ok(Changed {
        action,
        changed: upgrade.before != upgrade.after.entry,
        from: Some(upgrade.before.kernel),
        asked_now: args.now,
        restarted: restarted.map(|started| started.guest),
        partition: examine::briefly(&upgrade.after, places)?,
    })
}

/// Ends the guest and starts it again. If that fails, the partition has its old kernel again, and
/// the guest is started from that.
fn restart(
    upgrade: &Upgrade,
    record: &Record,
    args: &ReiplArgs,
    places: &Places,
    interrupt: &Interrupt,
) -> anyhow::Result<Started> {
    let guest = &record.guest;
    let ended = Running::find(&places.guests, guest)
        .and_then(|running| running.logoff(Logoff::Grace(args.grace), interrupt));
    let error = match ended {
        Err(error) if places.guests.find(guest).is_ok() => {
            // It runs on, from what it was started from.
            places.partitions.restore(upgrade)?;
            return Err(error).with_context(|| kept(upgrade));
        }
        // It was ended, by us or by itself.
        _ => match start(upgrade, record, args, places, interrupt) {
            Ok(started) => return Ok(started),
            Err(error) => error,
        },
    };
    // The signal that makes us undo this does not keep us from it; another one does.
    let another = boot::watch_signals()?;
    let restored = places.partitions.restore(upgrade)?;
    let state = if !restored {
        "Somebody has changed the partition meanwhile, and no guest runs in it".to_owned()
    } else {
        match start(upgrade, record, args, places, &another) {
            Ok(started) => format!(
                "{}, and guest {} was started from {} generation {}",
                kept(upgrade),
                started.guest,
                started.system,
                started.generation
            ),
            Err(error) => format!("{}, and no guest runs in it: {error:#}", kept(upgrade)),
        }
    };
    Err(error).context(state)
}

fn kept(upgrade: &Upgrade) -> String {
    let (name, kernel) = (&upgrade.after.name, upgrade.before.kernel);
    format!("Partition {name} has kernel {kernel} as before")
}

/// Starts a guest in the partition, from the kernel that the table has now.
fn start(
    upgrade: &Upgrade,
    record: &Record,
    args: &ReiplArgs,
    places: &Places,
    interrupt: &Interrupt,
) -> anyhow::Result<Started> {
    let mut arguments: Vec<OsString> = Vec::new();
    arguments.extend(["--root".into(), places.partitions.root().into()]);
    arguments.extend(["--run-dir".into(), places.run.clone().into()]);
    arguments.extend([
        "--sandbox".into(),
        places.confinement.sandbox.to_string().into(),
    ]);
    if let Some(user) = &places.confinement.user {
        arguments.extend(["--qemu-user".into(), user.name.clone().into()]);
    } else if geteuid().is_root() {
        arguments.extend(["--qemu-user".into(), "root".into()]);
    }
    arguments.push("ipl".into());
    for (option, value) in [
        ("--partition", upgrade.after.name.to_string()),
        ("--as", record.guest.to_string()),
        ("--timeout", args.timeout.as_secs().to_string()),
    ] {
        arguments.extend([option.into(), value.into()]);
    }
    keeper::start_with(arguments, args.timeout, interrupt)
}
