// SPDX-License-Identifier: GPL-2.0

//! `onecopy boot`

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use onecopy_machine::options::Kernel;
use onecopy_machine::Config;
use onecopy_machine::Disk;
use onecopy_store::Space;
use onecopy_store::Store;

use super::attach;
use super::attach::Attached;
use super::Places;
use crate::boot;
use crate::boot::End;
use crate::cli::BootArgs;
use crate::emulator;
use crate::segments::Attachment;
use crate::terminal;

/// What every guest's kernel is told: where its console is, and to end after a panic.
const PARAMETERS: &str = "console=ttyS0 panic=-1";

pub(super) fn run(args: &BootArgs, places: &Places, json: bool) -> anyhow::Result<End> {
    // What is no name of a guest is on no list.
    let guest = args.name.parse().ok();
    let Attached { attachment, spaces } = attach::attach(
        &args.segments,
        args.root_segment,
        guest.as_ref(),
        &args.group,
        &places.store,
    )?;
    for path in [Some(&args.kernel), args.initrd.as_ref()]
        .into_iter()
        .flatten()
    {
        std::fs::File::open(path).with_context(|| format!("Cannot open {}", path.display()))?;
    }
    let qemu = emulator::find(args.qemu.as_deref(), &places.confinement()?)?;
    let accel = emulator::choose(args.accel, &qemu);
    let config = Config {
        name: args.name.clone(),
        cpus: args.cpus,
        memory_bytes: args.memory,
        kernel: Some(Kernel {
            kernel: args.kernel.clone(),
            initrd: args.initrd.clone(),
            append: command_line(&attachment, args.append.as_deref()),
        }),
        segments: attachment.devices,
        disks: args.disks.iter().map(|path| disk(path)).collect(),
        console_log: args.console_log.clone(),
        // It is where the user wants it.
        console_log_limit_bytes: None,
        ..Config::new(qemu, accel)
    };
    let tee = terminal::console_output(json);
    let end = boot::run(&config, tee, args.timeout.map(Duration::from_secs))?;
    leave(spaces, &places.store);
    Ok(end)
}

/// Removes what was used and new guests do not get, unless somebody else still uses it.
fn leave(spaces: Vec<Arc<Space>>, store: &Store) {
    let used: Vec<_> = spaces
        .iter()
        .map(|space| (space.name(), space.generation()))
        .collect();
    drop(spaces);
    for (name, generation) in used {
        // Who may only read the store leaves that to the next save.
        let _ = store.shelf(name).leave(generation);
    }
}

/// What the user appends comes last, so that it wins.
fn command_line(attachment: &Attachment, append: Option<&str>) -> String {
    let mut words = vec![PARAMETERS];
    words.extend(attachment.parameters.iter().map(String::as_str));
    words.extend(append);
    words.join(" ")
}

fn disk(path: &Path) -> Disk {
    Disk {
        path: path.to_owned(),
        read_only: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appended_parameters_come_last() {
        let mut attachment = Attachment::default();
        attachment.parameters.push("dcss.segments=A".to_owned());
        assert_eq!(
            command_line(&attachment, Some("console=hvc0")),
            "console=ttyS0 panic=-1 dcss.segments=A console=hvc0"
        );
        assert_eq!(command_line(&Attachment::default(), None), PARAMETERS);
    }
}
