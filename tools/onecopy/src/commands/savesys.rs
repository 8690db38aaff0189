// SPDX-License-Identifier: GPL-2.0

//! `onecopy savesys`

use std::fs::File;

use anyhow::Context;
use onecopy_system::save;
use onecopy_system::save_running;
use onecopy_system::Generation;
use onecopy_system::Plan;
use onecopy_system::Running;
use onecopy_system::RunningOptions;
use onecopy_system::SaveOptions;

use super::Places;
use crate::boot;
use crate::cli::SavesysArgs;
use crate::emulator;
use crate::outcome::SavedSystem;

pub(super) fn run(args: &SavesysArgs, places: &Places) -> anyhow::Result<SavedSystem> {
    let (systems, guests) = (&places.systems, &places.guests);
    let generation = match &args.running {
        Some(guest) => {
            let options = RunningOptions {
                name: args.name,
                qemu: args.qemu.clone(),
                confinement: places.confinement.clone(),
                timeout: args.timeout,
                interrupt: boot::watch_signals()?,
            };
            save_running(&options, &Running::find(guests, guest)?, systems)?
        }
        None => save_template(args, places)?,
    };
    Ok(SavedSystem::new(&generation, systems.class(&generation)?))
}

fn save_template(args: &SavesysArgs, places: &Places) -> anyhow::Result<Generation> {
    let systems = &places.systems;
    if let Some(path) = &args.initrd {
        File::open(path).with_context(|| format!("Cannot open {}", path.display()))?;
    }
    let definition = systems.take_definition(args.name)?;
    let plan = Plan::new(args.name, &args.layout.wishes(), definition)?;
    let qemu = emulator::find(args.qemu.as_deref(), &places.confinement)?;
    let accel = emulator::choose(args.accel, &qemu);
    let options = SaveOptions {
        name: args.name,
        qemu,
        accel,
        cpu: args.cpu.clone(),
        kernel: plan.kernel,
        initrd: args.initrd.clone(),
        memory_bytes: plan.memory_bytes,
        kernel_bytes: plan.kernel_bytes,
        definition: plan.definition,
        group: plan.group,
        append: args.append.clone(),
        protect: args.protect,
        timeout: args.timeout,
        interrupt: boot::watch_signals()?,
        extra_args: Vec::new(),
    };
    Ok(save(&options, systems)?)
}
