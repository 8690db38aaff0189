// SPDX-License-Identifier: GPL-2.0

//! `onecopy savesys --running` and `--protect`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::process::Stdio;
use std::thread;
use std::time::Instant;

use rustix::process::kill_process;
use rustix::process::Pid;
use rustix::process::Signal;

use crate::guest;
use crate::guest::Action;
use crate::saved::Host;
use crate::util::eqnice;
use crate::util::processes_with;
use crate::util::wait_until;
use crate::util::Dir;

/// How many moments a save is killed at.
const MOMENTS: u32 = 8;

/// Returns whether a guest is being saved as WARM, and has such a file by now.
pub(crate) fn draft_has(host: &Host, name: &str) -> bool {
    let Ok(entries) = fs::read_dir(host.dir.path("store/systems/WARM")) else {
        return false;
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut drafts = paths.filter(|path| path.to_str().unwrap().contains("/.draft-"));
    drafts.any(|path| path.join(name).exists())
}

#[test]
fn a_running_guest_becomes_a_system_of_its_own() {
    let Some(host) = Host::new() else { return };
    let dir = &host.dir;
    dir.ok(&["ipl", "LX", "--as", "web"]);
    // The guest asks first, and waits.
    host.say("web", "save\n");
    let said = dir.ok(&["savesys", "WARM", "--running", "web"]);
    assert!(said.starts_with("WARM generation 1: 512 MiB, "), "{said}");
    assert!(host.ready_guests().is_empty());
    host.wait_for_silence();

    eqnice!(
        dir.ok(&["ipl", "WARM", "--as", "again"]),
        "again: started from WARM generation 1\n"
    );
    assert_eq!(host.ready_guests(), ["again"]);
    let [old, new] = ["LX", "WARM"].map(|name| {
        let path = dir.path("store/systems").join(name).join("1/sr-0.img");
        fs::metadata(path).unwrap().ino()
    });
    assert_eq!(old, new, "text is there once");
    let checked = dir.ok(&["query", "nss", "--verify"]);
    assert!(!checked.contains("CORRUPT"), "{checked}");
}

#[test]
fn a_guest_that_does_not_ask_or_has_more_is_not_saved() {
    let Some(host) = Host::new() else { return };
    let dir = &host.dir;
    dir.ok(&["ipl", "LX", "--as", "web"]);
    dir.ok(&["ipl", "LX", "--as", "large", "--memory", "640M"]);
    for (guest, code, expected) in [
        (
            "web",
            4,
            "onecopy: Guest web cannot be saved: it did not ask for it within 1 s; write 1 to \
             /sys/kernel/shared_kernel/save in the guest\n",
        ),
        (
            "large",
            4,
            "onecopy: Guest large cannot be saved: it has more than its template had: dimm0\n",
        ),
        (
            "none",
            3,
            "onecopy: There is no guest none; there are: large, web\n",
        ),
    ] {
        let ran = dir.run(&["savesys", "WARM", "--running", guest, "--timeout", "1"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(code), ""));
        eqnice!(ran.stderr, expected);
    }
    assert_eq!(host.ready_guests(), ["large", "web"]);
    assert!(!dir.path("store/systems/WARM/current").exists());
}

#[test]
fn a_save_of_a_guest_killed_at_any_moment_loses_nothing() {
    let Some(host) = Host::new() else { return };
    let dir = &host.dir;
    let save = ["savesys", "WARM", "--running", "web"];
    let begin = || {
        dir.ok(&["ipl", "LX", "--as", "web"]);
        host.say("web", "save\n");
    };
    begin();
    let start = Instant::now();
    dir.ok(&save);
    let whole = start.elapsed();
    let (mut saved, mut went_on) = (0, 0);
    for moment in 0..MOMENTS {
        begin();
        let mut command = dir.command(&save);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        thread::sleep(whole * (moment + 1) / (MOMENTS + 1));
        child.kill().unwrap();
        let was_killed = child.wait().unwrap().signal() == Some(9);
        wait_until("the second machine ends", || {
            processes_with(&dir.path("store/systems/WARM")).is_empty()
        });
        // What was there, or what was to be there, or both; all of it complete.
        let listed = dir.ok(&["query", "nss", "--verify"]);
        assert!(listed.contains("\nWARM "), "{listed}");
        let mut rows = listed.lines().skip(1);
        assert!(rows.all(|row| row.ends_with("intact")), "{listed}");
        if host.emulators().is_empty() {
            saved += 1;
        } else if moment % 2 == 0 {
            assert!(was_killed, "the guest must have ended");
            dir.ok(&save);
            went_on += 1;
        } else {
            eqnice!(dir.ok(&["logoff", "web", "--now"]), "web: was ended\n");
        }
        host.wait_for_silence();
    }
    assert!(
        went_on > 0,
        "{saved} saves of {MOMENTS} were not killed in time"
    );
    dir.ok(&["ipl", "WARM", "--as", "again"]);
    let said = host.say("again", "hello\n");
    assert_eq!(said.matches("hello\r\n").count(), 2, "{said:?}");
    dir.ok(&["ipl", "LX", "--as", "web"]);
}

/// Saves a guest, which ends in none of the ways that it is told to: from when its state is there QEMU is
/// stopped. `then` gets what saves it, and lets QEMU go on when it has ended.
fn save_stuck(host: &Host, then: impl FnOnce(&mut Child)) -> String {
    host.dir.ok(&["ipl", "LX", "--as", "web"]);
    host.say("web", "save\n");
    let emulators = host.emulators();
    let [qemu] = emulators[..] else {
        panic!("{emulators:?}")
    };
    let qemu = Pid::from_raw(qemu.try_into().unwrap()).unwrap();
    let mut command = host.dir.command(&["savesys", "WARM", "--running", "web"]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    wait_until("the guest's state is written", || {
        draft_has(host, "state") || child.try_wait().unwrap().is_some()
    });
    kill_process(qemu, Signal::STOP).unwrap();
    wait_until("the guest is saved", || {
        host.dir.path("store/systems/WARM/current").exists()
    });
    then(&mut child);
    let output = child.wait_with_output().unwrap();
    kill_process(qemu, Signal::CONT).unwrap();
    assert!(!output.status.success());
    assert_eq!(host.emulators().len(), 1, "the guest is still there");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_guest_that_was_saved_and_not_ended_is_ended_by_the_next_save() {
    let Some(host) = Host::new() else { return };
    let dir = &host.dir;
    // Killed in between.
    save_stuck(&host, |child| child.kill().unwrap());
    let said = dir.ok(&["savesys", "WARM", "--running", "web"]);
    assert!(said.starts_with("WARM generation 1: "), "{said}");
    host.wait_for_silence();
    dir.ok(&["purge", "nss", "WARM"]);

    // It does not end, and that is said.
    let said = save_stuck(&host, |_| ());
    let expected =
        "onecopy: Guest web was saved as WARM generation 1 but cannot be ended; it stays \
                    stopped until logoff ends it: Guest web does not answer: ";
    assert!(said.starts_with(expected), "{said}");
    let ran = dir.run(&["savesys", "OTHER", "--running", "web"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(4), ""));
    eqnice!(
        ran.stderr,
        "onecopy: Guest web cannot be saved: it was saved before, as WARM generation 1, and has been \
         ended\n"
    );
    host.wait_for_silence();
    dir.ok(&["ipl", "WARM", "--as", "again"]);
    assert_eq!(host.ready_guests(), ["again"]);
}

#[test]
fn a_guest_is_saved_as_it_was_defined_or_not_at_all() {
    let Some(host) = Host::new() else { return };
    let dir = &host.dir;
    dir.ok(&["ipl", "LX", "--as", "web"]);
    host.say("web", "save\n");
    let save = ["savesys", "WARM", "--running", "web"];
    let defsys = ["defsys", "WARM", "--kernel", &host.kernel];
    let small = dir.ok(&[&defsys[..], &["--memory", "256M"]].concat());
    let usual = dir.ok(&[&defsys[..], &["--dry-run"]].concat());
    let [small, usual] = [&small, &usual].map(|said| {
        let ranges = said.strip_prefix("DEFSYS WARM ").unwrap();
        ranges.split_once(" MINSIZE=").unwrap().0
    });
    let ran = dir.run(&save);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(4), ""));
    eqnice!(
        ran.stderr,
        format!(
            "onecopy: WARM was defined with ranges {small}, and not {usual}; define it again, or \
             save guest web under another name\n"
        )
    );
    assert_eq!(host.ready_guests(), ["web"]);
    assert!(dir.ok(&["query", "nss"]).contains("\nWARM  -    S "));

    dir.ok(&[&defsys[..], &["--restricted", "--allow", "again"]].concat());
    let said = dir.ok(&save);
    assert!(said.starts_with("WARM generation 1, class R: "), "{said}");
    assert!(!dir.path("store/systems/WARM/definition.toml").exists());
    let ran = dir.run(&["ipl", "WARM", "--as", "other"]);
    assert_eq!(ran.code, Some(7));
    eqnice!(
        ran.stderr,
        "onecopy: Guest other may not start from WARM, which is restricted to: again\n"
    );
    dir.ok(&["ipl", "WARM", "--as", "again"]);
}

#[test]
fn a_running_guest_has_its_kernel_already() {
    let ran = Dir::new().run(&["savesys", "LX", "--running", "web", "--kernel", "k"]);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stderr
            .contains("'--running <GUEST>' cannot be used with"),
        "{ran:?}"
    );
}

#[test]
fn only_kernels_that_can_live_with_it_are_protected() {
    let dir = Dir::new();
    guest::shared_kernel(&dir, Action::Hang);
    let ran = dir.run(&[
        "savesys",
        "LX",
        "--kernel",
        "kernel",
        "--accel",
        "tcg",
        "--protect",
    ]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    eqnice!(
        ran.stderr,
        "onecopy: The kernel kernel cannot be protected: it changes its text where it cannot fail; \
         build it without CONFIG_JUMP_LABEL, CONFIG_PREEMPT_DYNAMIC and CONFIG_LIVEPATCH, or save it \
         without --protect\n"
    );
}

#[test]
fn guests_of_a_protected_system_have_no_pages_of_its_text() {
    let Some(host) = Host::empty() else { return };
    let mut arguments = host.save_arguments();
    arguments.push("--protect");
    host.dir.ok(&arguments);
    let manifest = fs::read_to_string(host.file("1/manifest.toml")).unwrap();
    assert!(manifest.contains("\nprotect = true\n"), "{manifest}");
    host.dir.ok(&["ipl", "LX"]);
    let table = host.dir.ok(&["query", "guests"]);
    let shared = table.lines().find(|row| row.contains(" SR ")).unwrap();
    let words: Vec<&str> = shared.split_whitespace().rev().collect();
    assert_eq!(words[..3], ["0", "B", "0"], "unshared, private: {table}");
}
