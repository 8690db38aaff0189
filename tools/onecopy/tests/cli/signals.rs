// SPDX-License-Identifier: GPL-2.0

//! Signals that ask `savesys` and `ipl` to end: they undo what they have begun, and fail.

use std::fs;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use onecopy_machine::Qemu;
use rustix::process::kill_process;
use rustix::process::Pid;
use rustix::process::Signal;

use crate::guest::shared_kernel;
use crate::guest::Action;
use crate::running::draft_has;
use crate::saved::Host;
use crate::savesys::names;
use crate::util::processes_with;
use crate::util::skip;
use crate::util::wait_until;
use crate::util::Dir;
use crate::util::Ran;
use crate::util::TEMPORARY;

/// How many moments a start is interrupted at, and how far they are apart.
const MOMENTS: u32 = 10;
const STEP: Duration = Duration::from_millis(25);

pub(crate) fn spawn(command: &mut Command) -> Child {
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Sends a signal to the command, which ends by itself then.
#[track_caller]
pub(crate) fn interrupt(mut child: Child, signal: Signal) -> Ran {
    tell(&child, signal);
    wait_until("the command ends", || child.try_wait().unwrap().is_some());
    ran(child)
}

/// Sends a signal to the command.
pub(crate) fn tell(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Waits for the end of a command, for as long as that allows itself.
pub(crate) fn ran(child: Child) -> Ran {
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn interrupted(signal: Signal) -> Ran {
    Ran {
        code: Some(1),
        stdout: String::new(),
        stderr: format!("onecopy: Interrupted by signal {}\n", signal.as_raw()),
    }
}

#[test]
fn a_save_is_given_up_and_leaves_nothing() {
    if Qemu::find().map_err(skip).is_err() {
        return;
    }
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let dir = Dir::new();
        shared_kernel(&dir, Action::Hang);
        let args = ["savesys", "LX", "--kernel", "kernel", "--accel", "tcg"];
        let child = spawn(&mut dir.command(&args));
        let templates = || processes_with(&dir.path("store"));
        wait_until("the template runs", || !templates().is_empty());
        assert_eq!(interrupt(child, signal), interrupted(signal));
        assert_eq!(names(&dir), [".lock"]);
        assert!(templates().is_empty());
    }
}

#[test]
fn a_guest_that_does_not_ask_yet_is_not_waited_for() {
    let Some(host) = Host::new() else { return };
    host.dir.ok(&["ipl", "LX", "--as", "web"]);
    let args = ["savesys", "WARM", "--running", "web"];
    let child = spawn(&mut host.dir.command(&args));
    wait_until("the save has begun", || draft_has(&host, ""));
    assert_eq!(
        interrupt(child, Signal::INT),
        interrupted(Signal::INT),
        "it was waiting for the guest"
    );
    assert!(!draft_has(&host, ""));
    assert_eq!(host.ready_guests(), ["web"]);
    host.say("web", "save\n");
    host.dir.ok(&args);
}

#[test]
fn a_guest_whose_save_is_given_up_goes_on_and_can_be_saved() {
    let Some(host) = Host::new() else { return };
    let dir = &host.dir;
    dir.ok(&["ipl", "LX", "--as", "web"]);
    host.say("web", "save\n");
    let args = ["savesys", "WARM", "--running", "web"];
    // While its memory is written, read by the second machine, and no longer needed.
    for (signal, file, is_there) in [
        (Signal::TERM, "memory", true),
        (Signal::INT, "ew-0.img", true),
        (Signal::HUP, "state", true),
    ] {
        let child = spawn(&mut dir.command(&args));
        wait_until(file, || draft_has(&host, file) == is_there);
        assert_eq!(interrupt(child, signal), interrupted(signal), "{file}");
        assert!(!draft_has(&host, ""));
        assert!(!dir.path("store/systems/WARM/current").exists());
        assert_eq!(host.ready_guests(), ["web"], "{file}");
    }
    assert_eq!(processes_with(&dir.path("store/systems/WARM")), [0; 0]);
    // It still waits for somebody to save it.
    dir.ok(&args);
    assert!(host.ready_guests().is_empty());
    dir.ok(&["ipl", "WARM", "--as", "again"]);
}

#[test]
fn a_start_is_given_up_and_leaves_nothing() {
    let Some(host) = Host::new() else { return };
    let tmp = host.dir.path(TEMPORARY);
    let is_empty = |path| fs::read_dir(path).unwrap().next().is_none();
    let mut given_up = 0;
    for moment in 0..MOMENTS {
        for foreground in [&[][..], &["--foreground"]] {
            let args = [&["ipl", "LX"], foreground].concat();
            let child = spawn(&mut host.dir.command(&args));
            thread::sleep(STEP * moment);
            let ran = interrupt(child, Signal::TERM);
            match (ran.code, ran.stderr.as_str()) {
                // It had not begun.
                (None, "") => {}
                (Some(0), "") => drop(host.dir.ok(&["logoff", "lx1", "--now"])),
                (Some(1), "onecopy: Interrupted by signal 15\n") => given_up += 1,
                (Some(1), "onecopy: the guest was ended by signal 15\n") => {}
                _ => panic!("{ran:?}"),
            }
            assert_eq!(host.emulators(), [0; 0], "{args:?}");
            assert!(is_empty(&tmp), "{args:?}");
            let guests = host.dir.path("run/guests/lx1");
            assert!(!guests.exists(), "{args:?}");
        }
    }
    assert!(given_up > 0, "no start was interrupted");
}
