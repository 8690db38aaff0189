// SPDX-License-Identifier: GPL-2.0

//! `onecopy boot`, with guests that are a few instructions long.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use onecopy_machine::Qemu;
use rustix::process::kill_process;
use rustix::process::Pid;
use rustix::process::Signal;

use crate::guest::kernel;
use crate::guest::Action;
use crate::util::eqnice;
use crate::util::processes_with;
use crate::util::skip;
use crate::util::wait_until;
use crate::util::Dir;
use crate::util::Ran;

const BOOT: [&str; 5] = ["boot", "--accel", "tcg", "--memory", "64M"];

fn has_qemu() -> bool {
    Qemu::find().map_err(skip).is_ok()
}

/// Prepares a boot of a guest that prints its command line and then does something.
pub(crate) fn boot(dir: &Dir, action: Action, args: &[&str]) -> Command {
    let path = kernel(dir, action);
    let mut command = dir.command(&BOOT);
    command.arg("--kernel").arg(path).args(args);
    command
}

/// Starts a guest that hangs and waits until it has printed its command line.
pub(crate) fn start_hanging_guest(dir: &Dir, args: &[&str]) -> Child {
    let mut command = boot(dir, Action::Hang, &["--append", "END!"]);
    command.args(args);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = Vec::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_until(b'!', &mut said)
        .unwrap();
    assert!(
        said.ends_with(b"END!"),
        "{}",
        String::from_utf8_lossy(&said)
    );
    child
}

/// Returns whether a QEMU runs the kernel of this directory.
fn qemu_runs(kernel: &Path) -> bool {
    !processes_with(kernel).is_empty()
}

#[test]
fn the_console_comes_out_and_a_shutdown_is_success() {
    if !has_qemu() {
        return;
    }
    let dir = Dir::new();
    let ran = dir.finish(&mut boot(
        &dir,
        Action::PowerOff,
        &["--append", "quiet a=b"],
    ));
    let stdout = "DIR/kernel console=ttyS0 panic=-1 quiet a=b".to_owned();
    assert_eq!(
        ran,
        Ran {
            code: Some(0),
            stdout,
            stderr: String::new()
        }
    );
}

#[test]
fn segments_become_devices_and_kernel_parameters() {
    if !has_qemu() {
        return;
    }
    let dir = Dir::new();
    dir.file("a.img", "content");
    dir.ok(&["saveseg", "ROOT", "--from-image", "a.img"]);
    dir.ok(&[
        "saveseg",
        "TOOLS",
        "--member",
        "PY=a.img",
        "--member",
        "GCC=a.img",
    ]);
    let args = [
        "--root-segment",
        "root",
        "--segment",
        "tools",
        "--console-log",
        "log",
    ];
    let ran = dir.finish(&mut boot(&dir, Action::PowerOff, &args));
    let stdout = "DIR/kernel console=ttyS0 panic=-1 dcss.segments=PY,GCC,ROOT \
                  root=/dev/dcss/ROOT rootfstype=erofs rootflags=dax=always ro";
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    eqnice!(ran.stdout, stdout);
    let log = std::fs::read_to_string(dir.path("log")).unwrap();
    assert!(log.ends_with("rootflags=dax=always ro"), "{log}");
}

#[test]
fn only_shared_writable_segments_are_mapped_so_that_stores_reach_the_file() {
    if !has_qemu() {
        return;
    }
    let dir = Dir::new();
    dir.file("a.img", "content");
    for kind in ["SR", "EW", "SW"] {
        dir.ok(&["saveseg", kind, "--from-image", "a.img", "--type", kind]);
    }
    let args = ["--segment", "SR", "--segment", "EW", "--segment", "SW"];
    let mut child = start_hanging_guest(&dir, &args);
    let [qemu] = processes_with(&dir.path("kernel"))
        .into_iter()
        .filter(|pid| *pid != child.id())
        .collect::<Vec<_>>()[..]
    else {
        panic!("not one QEMU");
    };
    let maps = std::fs::read_to_string(format!("/proc/{qemu}/maps")).unwrap();
    for (kind, permissions) in [("SR", "r--s"), ("EW", "rw-p"), ("SW", "rw-s")] {
        let file = dir.path(&format!("store/segments/{kind}/1.seg"));
        let line = maps
            .lines()
            .find(|line| line.ends_with(file.to_str().unwrap()));
        assert_eq!(
            line.and_then(|line| line.split(' ').nth(1)),
            Some(permissions),
            "{kind} in\n{maps}"
        );
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_missing_segment_is_reported_before_anything_starts() {
    let dir = Dir::new();
    dir.file("a.img", "content");
    dir.ok(&["saveseg", "USR", "--from-image", "a.img"]);
    let ran = dir.finish(&mut boot(&dir, Action::PowerOff, &["--segment", "NOSUCH"]));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), ""));
    eqnice!(
        ran.stderr,
        "onecopy: Cannot attach segments from DIR/store: There is no segment NOSUCH; there are: \
         USR (USR)\n"
    );
}

#[test]
fn a_missing_kernel_is_reported() {
    let dir = Dir::new();
    let ran = dir.run(&["boot", "--kernel", "nosuch"]);
    assert_eq!(ran.code, Some(1));
    eqnice!(
        ran.stderr,
        "onecopy: Cannot open nosuch: No such file or directory (os error 2)\n"
    );
}

#[test]
fn a_missing_emulator_is_explained() {
    let dir = Dir::new();
    let ran = dir.finish(&mut boot(
        &dir,
        Action::PowerOff,
        &["--qemu", "/nonexistent/qemu"],
    ));
    assert_eq!(ran.code, Some(1));
    eqnice!(
        ran.stderr,
        "onecopy: Cannot run /nonexistent/qemu; install QEMU 10.0.0 or later (package \
         qemu-system-x86): No such file or directory (os error 2)\n"
    );
}

#[test]
fn what_qemu_refuses_is_said_in_its_words() {
    if !has_qemu() {
        return;
    }
    let dir = Dir::new();
    let ran = dir.finish(&mut boot(&dir, Action::PowerOff, &["--disk", "nosuch.img"]));
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr.starts_with("onecopy: QEMU ended while "),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("Could not open 'nosuch.img'"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_reset_is_a_failure() {
    if !has_qemu() {
        return;
    }
    let dir = Dir::new();
    let ran = dir.finish(&mut boot(&dir, Action::Reset, &[]));
    assert_eq!(ran.code, Some(1));
    eqnice!(
        ran.stderr,
        "onecopy: the guest asked for a reset (exit status: 0)\n"
    );
}

#[test]
fn the_time_limit_ends_the_guest() {
    if !has_qemu() {
        return;
    }
    let dir = Dir::new();
    let start = Instant::now();
    let ran = dir.finish(&mut boot(&dir, Action::Hang, &["--timeout", "1"]));
    assert_eq!(ran.code, Some(1));
    eqnice!(ran.stderr, "onecopy: the guest was ended after 1 s\n");
    assert!(start.elapsed() < Duration::from_secs(20));
    assert!(!qemu_runs(&dir.path("kernel")));
}

#[test]
fn standard_input_is_the_keyboard() {
    if !has_qemu() {
        return;
    }
    let dir = Dir::new();
    let mut command = boot(&dir, Action::Echo, &["--append", "END!"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = Vec::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_until(b'!', &mut said).unwrap();
    child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    let mut echo = String::new();
    stdout.read_to_string(&mut echo).unwrap();
    assert_eq!(echo, "x");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_signal_ends_the_guest_and_then_the_command() {
    if !has_qemu() {
        return;
    }
    let dir = Dir::new();
    let mut child = start_hanging_guest(&dir, &[]);
    assert!(qemu_runs(&dir.path("kernel")));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(1));
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    eqnice!(stderr, "onecopy: the guest was ended by signal 2\n");
    assert!(!qemu_runs(&dir.path("kernel")));
}

#[test]
fn the_guest_does_not_outlive_a_killed_command() {
    if !has_qemu() {
        return;
    }
    let dir = Dir::new();
    let mut child = start_hanging_guest(&dir, &[]);
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    wait_until("QEMU ends", || !qemu_runs(&dir.path("kernel")));
}
