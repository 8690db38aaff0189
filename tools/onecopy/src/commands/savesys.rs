// SPDX-License-Identifier: GPL-2.0

//! `onecopy savesys`

use std::fs::File;

use anyhow::Context;
use onecopy_system::save;
use onecopy_system::SaveOptions;
use onecopy_system::Systems;

use crate::cli::SavesysArgs;
use crate::emulator;
use crate::outcome::SavedSystem;

pub(super) fn run(args: &SavesysArgs, systems: &Systems) -> anyhow::Result<SavedSystem> {
    if let Some(path) = &args.initrd {
        File::open(path).with_context(|| format!("Cannot open {}", path.display()))?;
    }
    let qemu = emulator::find(args.qemu.as_deref())?;
    let accel = emulator::choose(args.accel, &qemu);
    let options = SaveOptions {
        name: args.name,
        qemu,
        accel,
        cpu: args.cpu.clone(),
        kernel: args.layout.kernel.clone(),
        initrd: args.initrd.clone(),
        memory_bytes: args.layout.memory,
        kernel_bytes: args.layout.kernel_memory,
        definition: None,
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
