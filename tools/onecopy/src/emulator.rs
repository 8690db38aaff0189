// SPDX-License-Identifier: GPL-2.0

//! Which QEMU, and what executes guest code.

use std::path::Path;

use anyhow::bail;
use anyhow::Context;
use onecopy_machine::accel;
use onecopy_machine::accel::Choice;
use onecopy_machine::accel::Verdict;
use onecopy_machine::options::Accel;
use onecopy_machine::options::Sandbox;
use onecopy_machine::Confinement;
use onecopy_machine::Qemu;
use onecopy_machine::User;
use rustix::process::geteuid;

use crate::remark;

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
            remark::make(&format!("KVM {verdict}; using TCG"));
        }
    }
    accel::choose(choice, qemu)
}

/// The user that QEMU runs as if there is one of this name, and root has started it.
pub(crate) const USER: &str = "onecopy";

/// Decides what QEMU may do. Only root can make it run as another user.
pub(crate) fn confinement(sandbox: Sandbox, user: Option<&str>) -> anyhow::Result<Confinement> {
    let is_root = geteuid().is_root();
    let user = match user {
        // An empty variable says nothing.
        None | Some("") if is_root => User::local(USER)?,
        None | Some("") => None,
        Some(name) if is_root => {
            let found = User::find(name).context("Cannot list users")?;
            let user = found.with_context(|| format!("There is no user {name} for QEMU"))?;
            Some(user).filter(|user| user.uid != 0)
        }
        Some(name) => match User::find(name)? {
            Some(user) if user.uid == geteuid().as_raw() => None,
            _ => bail!("Only root can make QEMU run as user {name}; leave out --qemu-user"),
        },
    };
    Ok(Confinement { sandbox, user })
}
