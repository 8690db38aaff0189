// SPDX-License-Identifier: GPL-2.0

//! What QEMU may do on the host: its sandbox.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use onecopy_machine::Qemu;
use rustix::process::Signal;

use crate::guest::kernel;
use crate::guest::shared_kernel;
use crate::guest::Action;
use crate::saved::Host;
use crate::signals::interrupt;
use crate::signals::spawn;
use crate::util::processes_with;
use crate::util::skip;
use crate::util::wait_until;
use crate::util::Dir;

/// Returns a field of what the kernel says about a process.
pub(crate) fn status(pid: u32, field: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(name, _)| *name == field)?;
    Some(value.trim().to_owned())
}

/// Returns the QEMUs whose command line holds a path; our own program, which has not become one yet,
/// is none.
pub(crate) fn emulators(path: &Path) -> Vec<u32> {
    let mut pids = processes_with(path);
    pids.retain(|pid| status(*pid, "Name").is_some_and(|name| name.starts_with("qemu")));
    pids
}

/// Starts a command whose QEMU runs until it is interrupted, and waits until that filters its system
/// calls, or until it has run for a second without.
fn filtered(dir: &Dir, args: &[&str], path: &Path) -> bool {
    let child = spawn(&mut dir.command(args));
    let mut looks = 0;
    let mut found = false;
    wait_until("QEMU runs", || {
        let pids = emulators(path);
        found = pids.iter().any(|pid| {
            status(*pid, "Seccomp").as_deref() == Some("2")
                && status(*pid, "NoNewPrivs").as_deref() == Some("1")
        });
        looks += pids.len();
        found || looks > 100
    });
    interrupt(child, Signal::TERM);
    found
}

#[test]
fn a_guest_and_a_template_filter_their_system_calls_unless_told_otherwise() {
    if Qemu::find().map_err(skip).is_err() {
        return;
    }
    let dir = Dir::new();
    let path = kernel(&dir, Action::Hang);
    let file = path.to_str().unwrap();
    let boot = ["boot", "--kernel", file, "--accel", "tcg"];
    assert!(filtered(&dir, &boot, &path));
    let off = [&boot[..], &["--sandbox", "off"]].concat();
    assert!(!filtered(&dir, &off, &path));
    shared_kernel(&dir, Action::Hang);
    let save = ["savesys", "LX", "--kernel", "kernel", "--accel", "tcg"];
    let drafts = dir.path("store/systems/LX");
    assert!(filtered(&dir, &save, &drafts));
    assert!(!filtered(
        &dir,
        &[&save[..], &["--sandbox", "off"]].concat(),
        &drafts
    ));
}

#[test]
fn a_guest_from_a_saved_system_filters_its_system_calls() {
    let Some(host) = Host::new() else { return };
    host.dir.ok(&[
        "ipl",
        "LX",
        "--as",
        "web",
        "--nic",
        "user",
        "--balloon",
        "--cpus",
        "2",
    ]);
    let [pid] = host.emulators()[..] else {
        panic!("one QEMU is expected")
    };
    assert_eq!(status(pid, "Seccomp").as_deref(), Some("2"));
    host.dir.ok(&["logoff", "web", "--now"]);
    let refused = host.dir.run(&["ipl", "LX", "--nic", "bridge,br=br0"]);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("give --sandbox spawn"),
        "{refused:?}"
    );
}

/// Writes a program that says that it is a QEMU without seccomp.
fn without_seccomp(dir: &Dir) -> String {
    let qemu = Qemu::find().unwrap();
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *-sandbox*)\n    echo \"qemu: -sandbox support is not enabled in this \
         QEMU binary\" >&2\n    exit 1 ;;\nesac\nexec {} \"$@\"\n",
        qemu.path().display()
    );
    let path = dir.file("qemu", script);
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_qemu_without_seccomp_is_refused_and_found_by_doctor() {
    if Qemu::find().map_err(skip).is_err() {
        return;
    }
    let dir = Dir::new();
    kernel(&dir, Action::PowerOff);
    let qemu = without_seccomp(&dir);
    let boot = [
        "boot", "--kernel", "kernel", "--accel", "tcg", "--qemu", &qemu,
    ];
    let refused = dir.run(&boot);
    assert_eq!(refused.code, Some(1));
    assert_eq!(
        refused.stderr,
        "onecopy: DIR/qemu was built without seccomp, so its sandbox cannot be switched on; install one \
         that has it, or give --sandbox off: the guest is then confined by its user alone\n"
    );
    let ran = dir.run(&[&boot[..], &["--sandbox", "off"]].concat());
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");

    let examined = dir.run(&["doctor", "--qemu", &qemu]);
    assert_eq!(examined.code, Some(1));
    let said = "QEMU has no sandbox: qemu: -sandbox support is not enabled";
    assert!(examined.stdout.contains(said), "{}", examined.stdout);
    let off = dir.run(&["doctor", "--qemu", &qemu, "--sandbox", "off"]);
    assert_eq!(off.code, Some(0));
    assert!(
        off.stdout.contains("QEMU's sandbox is switched off"),
        "{}",
        off.stdout
    );
}
