// SPDX-License-Identifier: GPL-2.0

//! `onecopy savesys`

use std::fs::File;

use anyhow::Context;
use onecopy_system::save;
use onecopy_system::Plan;
use onecopy_system::SaveOptions;
use onecopy_system::Systems;

use crate::cli::SavesysArgs;
use crate::emulator;
use crate::outcome::SavedSystem;

pub(super) fn run(args: &SavesysArgs, systems: &Systems) -> anyhow::Result<SavedSystem> {
    if let Some(path) = &args.initrd {
        File::open(path).with_context(|| format!("Cannot open {}", path.display()))?;
    }
    let definition = systems.take_definition(args.name)?;
    let plan = Plan::new(args.name, &args.layout.wishes(), definition)?;
    let qemu = emulator::find(args.qemu.as_deref())?;
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
        append: args.append.clone(),
        protect: false,
        timeout: args.timeout,
        extra_args: Vec::new(),
    };
    let generation = save(&options, systems)?;
    Ok(SavedSystem {
        manifest: generation.manifest().clone(),
        path: generation.path().to_owned(),
    })
}
