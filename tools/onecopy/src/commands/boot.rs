// SPDX-License-Identifier: GPL-2.0

//! `onecopy boot`

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use onecopy_machine::accel;
use onecopy_machine::accel::Choice;
use onecopy_machine::accel::Verdict;
use onecopy_machine::options::Accel;
use onecopy_machine::options::Kernel;
use onecopy_machine::Config;
use onecopy_machine::Disk;
use onecopy_machine::Qemu;
use onecopy_store::Store;

use crate::boot;
use crate::boot::End;
use crate::cli::BootArgs;
use crate::segments::Attachment;
use crate::segments::Candidate;

/// What every guest's kernel is told: where its console is, and to end after a panic.
const PARAMETERS: &str = "console=ttyS0 panic=-1";

pub(super) fn run(args: &BootArgs, store: &Store) -> anyhow::Result<End> {
    let attachment = attach(args, store)?;
    for path in [Some(&args.kernel), args.initrd.as_ref()]
        .into_iter()
        .flatten()
    {
        std::fs::File::open(path).with_context(|| format!("Cannot open {}", path.display()))?;
    }
    let qemu = match &args.qemu {
        Some(path) => Qemu::at(path)?,
        None => Qemu::find()?,
    };
    let accel = choose(args.accel, &qemu);
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
        ..Config::new(qemu, accel)
    };
    boot::run(&config, args.timeout.map(Duration::from_secs))
}

fn attach(args: &BootArgs, store: &Store) -> anyhow::Result<Attachment> {
    let mut candidates = Vec::new();
    for name in store.names()? {
        match store.current(name) {
            Ok(space) => candidates.push(Candidate::from(&space)),
            // One broken segment space does not concern a guest that does not use it; one that
            // does is told that there is no such segment.
            Err(error) => eprintln!("onecopy: ignored: {:#}", anyhow::Error::from(error)),
        }
    }
    let root = store.root().display();
    Attachment::new(&candidates, &args.segments, args.root_segment)
        .with_context(|| format!("Cannot attach segments from {root}"))
}

/// What the user appends comes last, so that it wins.
fn command_line(attachment: &Attachment, append: Option<&str>) -> String {
    let mut words = vec![PARAMETERS];
    words.extend(attachment.parameters.iter().map(String::as_str));
    words.extend(append);
    words.join(" ")
}

fn choose(choice: Choice, qemu: &Qemu) -> Accel {
    if choice == Choice::Auto && Path::new("/dev/kvm").exists() {
        let verdict = accel::kvm_verdict(qemu);
        if verdict != Verdict::Works {
            eprintln!("onecopy: KVM {verdict}; using TCG");
        }
    }
    accel::choose(choice, qemu)
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
