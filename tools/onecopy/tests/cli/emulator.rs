// SPDX-License-Identifier: GPL-2.0

//! An emulator that gets other arguments than it was given: the real one, behind a script.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use onecopy_machine::Qemu;

use crate::saved::Host;
use crate::util::Ran;

/// Writes a program that changes its arguments by commands of sh(1), for each `$word` behind `$last`
/// in turn, and goes on as the real emulator. Returns its path.
fn emulator(host: &Host, change: &str) -> String {
    let qemu = Qemu::find().unwrap();
    let script = format!(
        "#!/bin/sh\nlast=\nfor word; do\n    shift\n    {change}\n    \
         set -- \"$@\" \"$word\"\n    last=$word\ndone\nexec {} \"$@\"\n",
        qemu.path().display()
    );
    let path = host.dir.file("qemu", script);
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Starts a guest whose resources are changed, and expects it to be stopped with these words.
#[track_caller]
fn is_stopped(host: &Host, change: &str, expected: &[&str]) {
    let change = format!("case $last$word in -fw_cfgname=opt/org.onecopy/ipl,*) {change} ;; esac");
    let qemu = emulator(host, &change);
    let args = ["ipl", "LX", "--as", "web", "--qemu", &qemu];
    let Ran {
        code,
        stdout,
        stderr,
    } = host.dir.run(&args);
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    let start = "onecopy: Guest web did not start from LX: ";
    assert!(stderr.starts_with(start), "{stderr}");
    let panic = "Kernel panic - not syncing: shared_kernel: no identity for this guest: ";
    for expected in expected.iter().chain(&[panic]) {
        assert!(stderr.contains(expected), "{expected}: {stderr}");
    }
    assert!(!host.dir.path("run/guests/web").exists());
    host.wait_for_silence();
}

#[test]
fn a_template_with_two_processors_is_refused_by_its_kernel() {
    let Some(host) = Host::empty() else { return };
    let qemu = emulator(&host, "[ \"$last\" != -smp ] || word=2,${word#*,}");
    let mut arguments = host.save_arguments();
    arguments.extend(["--qemu", &qemu]);
    let ran = host.dir.run(&arguments);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    let stderr = &ran.stderr;
    let start = "onecopy: The template of LX cannot be saved: its kernel refuses\n";
    assert!(stderr.starts_with(start), "{stderr}");
    let reason = "LX: only a guest with one processor can be saved, not with 2";
    assert!(stderr.contains(reason), "{stderr}");
    let left = fs::read_dir(host.file("")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [".lock"]);

    // It is the processors that were too many.
    host.dir.ok(&host.save_arguments());
}

#[test]
fn a_guest_without_resources_or_with_cut_ones_is_stopped() {
    let Some(host) = Host::new() else { return };
    let none = "the host has no resources for this guest (opt/org.onecopy/ipl)";
    is_stopped(&host, "word=name=opt/x,string=x", &[none]);
    let damaged = "the resources of this guest are damaged: ";
    let cut = host.dir.path("cut");
    let cut = cut.to_str().unwrap();
    let change =
        format!("head -c 40 \"${{word#*,file=}}\" >{cut}; word=${{word%,file=*}},file={cut}");
    is_stopped(&host, &change, &[damaged]);
    host.dir.ok(&["ipl", "LX", "--as", "web"]);
}
