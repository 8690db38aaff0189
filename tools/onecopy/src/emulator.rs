// SPDX-License-Identifier: GPL-2.0

//! Which QEMU, and what executes guest code.

use std::path::Path;

use onecopy_machine::accel;
use onecopy_machine::accel::Choice;
use onecopy_machine::accel::Verdict;
use onecopy_machine::options::Accel;
use onecopy_machine::Confinement;
use onecopy_machine::Qemu;

/// Finds the emulator, checks its version, and limits what it may do.
pub(crate) fn find(path: Option<&Path>, confinement: &Confinement) -> anyhow::Result<Qemu> {
    let qemu = match path {
        Some(path) => Qemu::at(path)?,
        None => Qemu::find()?,
    };
    Ok(qemu.confined(confinement))
}

/// Decides on an accelerator, and says so if it is not what one would expect.
pub(crate) fn choose(choice: Choice, qemu: &Qemu) -> Accel {
    if choice == Choice::Auto && Path::new("/dev/kvm").exists() {
        let verdict = accel::kvm_verdict(qemu);
        if verdict != Verdict::Works {
            eprintln!("onecopy: KVM {verdict}; using TCG");
        }
    }
    accel::choose(choice, qemu)
}
