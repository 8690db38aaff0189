// SPDX-License-Identifier: GPL-2.0

//! The programs that are run, and QEMU's limits.

use super::Finding;
use crate::doctor::Facts;
use crate::doctor::QemuUser;
use crate::doctor::Sandbox;

pub(super) fn qemu(facts: &Facts) -> Finding {
    match &facts.qemu {
        Ok(found) => Finding::ok("qemu", format!("QEMU is {found}")),
        Err(reason) => Finding::error(
            "qemu",
            reason,
            "No guest can be saved or started.",
            "Install QEMU 10.0 or later, or say where it is: ONECOPY_QEMU.",
        ),
    }
}

pub(super) fn sandbox(sandbox: &Sandbox) -> Finding {
    let id = "sandbox";
    let alone = "A guest that breaks out of its QEMU can make all system calls, with the rights of QEMU's user.";
    match sandbox {
        Sandbox::Works => Finding::ok(id, "QEMU filters its system calls"),
        Sandbox::Untried => {
            Finding::warning(id, "QEMU's sandbox was not tried: there is no QEMU", "", "")
        }
        Sandbox::Off => Finding::warning(
            id,
            "QEMU's sandbox is switched off",
            alone,
            "Leave out --sandbox off and ONECOPY_SANDBOX=off.",
        ),
        Sandbox::Fails(said) => Finding::error(
            id,
            format!("QEMU has no sandbox: {said}"),
            "No guest is saved or started, unless with --sandbox off.",
            "Install a QEMU that was built with seccomp.",
        ),
    }
}

pub(super) fn user(user: &QemuUser) -> Finding {
    let id = "qemu-user";
    match user {
        QemuUser::Ours => Finding::ok(id, "QEMU runs as you, without the rights of root"),
        QemuUser::Other(name) => Finding::ok(id, format!("QEMU runs as user {name}")),
        QemuUser::Root => Finding::warning(
            id,
            "QEMU runs as root",
            "A guest that breaks out of its QEMU, and of its sandbox, can read and write all files of the host.",
            "useradd --system --shell /usr/sbin/nologin onecopy, or choose another user: --qemu-user, \
             ONECOPY_QEMU_USER.",
        ),
        QemuUser::Outside(name) => Finding::error(
            id,
            format!("QEMU runs as user {name}, who cannot read the store"),
            "No system can be saved or started.",
            "Let others pass the directories above the store: chmod o+x, or choose another store or user.",
        ),
    }
}

pub(super) fn fincore(facts: &Facts) -> Finding {
    match &facts.fincore {
        Ok(()) => Finding::ok("fincore", "fincore says what is in the page cache"),
        Err(reason) => Finding::warning(
            "fincore",
            reason,
            "top, report and metrics cannot show what of saved files is in the page cache.",
            "Install util-linux-extra, or util-linux of the distribution.",
        ),
    }
}

pub(super) fn mkfs(facts: &Facts) -> Finding {
    match &facts.mkfs {
        Ok(()) => Finding::ok("mkfs-erofs", "mkfs.erofs makes segments of directories"),
        Err(reason) => Finding::warning(
            "mkfs-erofs",
            reason,
            "saveseg takes images, but no directories.",
            "Install erofs-utils 1.8 or later, or say where it is: MKFS_EROFS.",
        ),
    }
}
