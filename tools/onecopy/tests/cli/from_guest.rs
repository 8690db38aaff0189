// SPDX-License-Identifier: GPL-2.0

//! `onecopy attach --non-shared` and `saveseg --from-guest`, with a QEMU that has no kernel: the test
//! stores as a guest does.

use std::fs;
use std::os::unix::fs::FileExt;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use onecopy_machine::qmp::commands;
use rustix::process::kill_process;
use rustix::process::Pid;
use rustix::process::Signal;

use crate::attach::Plain;
use crate::util::eqnice;
use crate::util::refused;

/// How many moments a copy is killed at.
const MOMENTS: u32 = 10;

/// Where the first member begins.
const MEMBER: u64 = 2 << 20;

/// Saves TOOLS with two members, and gives the guest a copy.
fn tools(guest: &Plain) {
    let dir = &guest.dir;
    dir.file("b.img", vec![b'b'; 3 << 20]);
    dir.ok(&[
        "defseg",
        "TOOLS",
        "--member",
        "A",
        "--member",
        "B",
        "--member",
        "N,type=EN,size=2M",
    ]);
    dir.ok(&[
        "saveseg", "TOOLS", "--member", "A=a.img", "--member", "B=b.img",
    ]);
    eqnice!(
        dir.ok(&["attach", "web", "TOOLS", "--non-shared"]),
        "TOOLS generation 1: attached to web, a copy of its own\n\
         In the guest: echo A > /sys/kernel/config/dcss/add\n\
         In the guest: echo B > /sys/kernel/config/dcss/add\n\
         In the guest: echo N > /sys/kernel/config/dcss/add\n"
    );
}

/// Returns some bytes of a generation in the store.
fn bytes(guest: &Plain, file: &str, offset_bytes: u64) -> String {
    let path = guest.dir.path("store/segments").join(file);
    let mut bytes = [0; 7];
    let file = fs::File::open(path).unwrap();
    file.read_exact_at(&mut bytes, offset_bytes).unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_guest_may_write_to_a_private_copy_and_nothing_reaches_the_file() {
    let Some(mut guest) = Plain::start() else {
        return;
    };
    tools(&guest);
    assert_eq!(guest.mappings("TOOLS/1.seg"), ["rw-p"]);
    let seen = guest.seen_by_guest("pmem0");
    let seen: Vec<_> = seen.iter().map(|(name, kind)| (&**name, &**kind)).collect();
    assert_eq!(seen, [("A", "EW"), ("B", "EW"), ("N", "EN")]);
    guest.store("TOOLS/1.seg", MEMBER, b"changed");
    assert_eq!(bytes(&guest, "TOOLS/1.seg", MEMBER), "content");
    guest.dir.assert_sound("TOOLS");
    let users = guest.dir.ok(&["query", "seg", "--users"]);
    let row = "TOOLS  1    A      web   non-shared  attached  pmem0\n";
    assert!(users.ends_with(row), "{users}");
    assert_eq!(guest.state(), "running");
}

#[test]
fn what_a_guest_has_written_becomes_a_generation() {
    let Some(mut guest) = Plain::start() else {
        return;
    };
    tools(&guest);
    guest.store("TOOLS/1.seg", MEMBER, b"changed");
    guest.store("TOOLS/1.seg", 2 * MEMBER, b"another");
    let saved = |generation: u32| {
        format!(
            "TOOLS generation {generation}: 3 members, 10 MiB, DIR/store/segments/TOOLS/{generation}.seg\n"
        )
    };
    let save = |name: &str| guest.dir.ok(&["saveseg", name, "--from-guest", "web"]);
    eqnice!(save("TOOLS"), saved(2));
    assert_eq!(bytes(&guest, "TOOLS/2.seg", MEMBER), "changed");
    assert_eq!(bytes(&guest, "TOOLS/2.seg", 2 * MEMBER), "another");
    assert_eq!(bytes(&guest, "TOOLS/2.seg", 2 * MEMBER + 7), "bbbbbbb");
    // What the guest was given is what it was, and still its.
    assert_eq!(bytes(&guest, "TOOLS/1.seg", MEMBER), "content");
    assert_eq!(guest.dir.assert_sound("TOOLS"), [1, 2]);
    let list = guest.dir.ok(&["query", "seg", "TOOLS"]);
    let kinds: Vec<Vec<&str>> = list
        .lines()
        .map(|line| line.split_whitespace().skip(1).take(5).collect())
        .collect();
    assert_eq!(kinds[1], ["A", "SR", "1", "P", "1"], "{list}");
    assert_eq!(kinds[5], ["B", "SR", "2", "A", "0"], "{list}");
    assert_eq!(kinds[6], ["N", "EN", "2", "A", "0"], "{list}");

    // One member alone: the other is as the guest had got it.
    eqnice!(save("b"), saved(3));
    assert_eq!(bytes(&guest, "TOOLS/3.seg", MEMBER), "content");
    assert_eq!(bytes(&guest, "TOOLS/3.seg", 2 * MEMBER), "another");
    // A definition says what is to be saved, also from a guest.
    let dir = &guest.dir;
    dir.ok(&[
        "defseg",
        "TOOLS",
        "--member",
        "A",
        "--member",
        "C",
        "--restricted",
        "--allow",
        "db",
    ]);
    assert_eq!(
        refused(dir, &["saveseg", "TOOLS", "--from-guest", "web"], 4),
        "TOOLS was defined with no member B; with member C, and nothing is given for it; define it \
         again, or leave out what contradicts"
    );
    dir.ok(&[
        "defseg",
        "TOOLS",
        "--member",
        "A,size=4M",
        "--member",
        "B,type=ER",
        "--restricted",
        "--allow",
        "db",
    ]);
    eqnice!(
        dir.ok(&["saveseg", "TOOLS", "--from-guest", "web"]),
        "TOOLS generation 4, class R: 2 members, 10 MiB, DIR/store/segments/TOOLS/4.seg\n"
    );
    assert_eq!(bytes(&guest, "TOOLS/4.seg", 3 * MEMBER), "another");
    let directory = fs::read_dir(dir.path("store/segments/TOOLS")).unwrap();
    assert_eq!(directory.count(), 5, "lock, 1, 4, its list, current");
    assert_eq!(guest.state(), "running");
    assert!(!guest.dir.path("run/guests/web/paused-by").exists());
}

#[test]
fn what_must_not_be_loaded_or_was_not_changed_is_refused() {
    let Some(guest) = Plain::start() else { return };
    let dir = &guest.dir;
    dir.ok(&["saveseg", "SC", "--from-image", "a.img", "--type", "SC"]);
    dir.ok(&["defseg", "MINE", "--restricted", "--allow", "web"]);
    dir.ok(&["saveseg", "MINE", "--from-image", "a.img"]);
    for (name, reason) in [
        ("SC", "member SC has type SC"),
        ("MINE", "it is restricted"),
    ] {
        assert_eq!(
            refused(dir, &["attach", "web", name, "--non-shared"], 4),
            format!("{name} cannot be attached non-shared: {reason}")
        );
        assert_eq!(guest.mappings(&format!("{name}/1.seg")), [""; 0]);
    }
    dir.ok(&["attach", "web", "USR"]);
    assert_eq!(
        refused(dir, &["saveseg", "USR", "--from-guest", "web"], 4),
        "Guest web has USR shared, and cannot have changed it; attach --non-shared gives a guest a copy \
         of its own"
    );
    assert_eq!(
        refused(dir, &["saveseg", "PY", "--from-guest", "web"], 3),
        "Guest web has no segment PY; attach --non-shared gives it a copy of its own"
    );
    assert_eq!(
        refused(dir, &["saveseg", "USR", "--from-guest", "db"], 3),
        "There is no guest db; there are: web"
    );
    let args = [
        "saveseg",
        "USR",
        "--from-guest",
        "web",
        "--from-image",
        "a.img",
    ];
    assert_eq!(dir.run(&args).code, Some(2));
}

fn copy(guest: &Plain) -> Child {
    let mut command: Command = guest
        .dir
        .command(&["saveseg", "TOOLS", "--from-guest", "web"]);
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

#[test]
fn a_guest_goes_on_after_a_copy_that_was_killed_or_interrupted() {
    let Some(mut guest) = Plain::start() else {
        return;
    };
    tools(&guest);
    for (number, signal) in (0..2 * MOMENTS).zip([Signal::KILL, Signal::TERM].iter().cycle()) {
        let mut child = copy(&guest);
        thread::sleep(Duration::from_millis(3) * number);
        kill_process(Pid::from_child(&child), *signal).unwrap();
        child.wait().unwrap();
        if *signal == Signal::KILL && guest.state() == "paused" {
            assert!(guest.dir.path("run/guests/web/paused-by").exists());
        }
        if *signal == Signal::TERM {
            // Also one that the killed one before it has left paused.
            guest.dir.run(&["doctor", "--clean"]);
            assert_eq!(guest.state(), "running");
        }
    }
    // What a killed one leaves, to be sure that there is one.
    let mut dead = Command::new("true").spawn().unwrap();
    let note = format!("pid = {}\nstart_ticks = 1\n", dead.id());
    dead.wait().unwrap();
    fs::write(guest.dir.path("run/guests/web/paused-by"), note).unwrap();
    let machine = guest.machine.as_mut().unwrap();
    machine.execute(&commands::Stop {}).unwrap();
    let said = guest.dir.ok(&["doctor"]);
    let what = "Guest web was paused to be copied, and who did it was killed\n";
    assert!(said.contains(what), "{said}");
    assert_eq!(guest.state(), "paused");
    assert!(guest.dir.ok(&["doctor", "--clean"]).contains(what));
    assert_eq!(guest.state(), "running");

    // One that somebody else has paused stays so.
    let machine = guest.machine.as_mut().unwrap();
    machine.execute(&commands::Stop {}).unwrap();
    guest.dir.ok(&["saveseg", "TOOLS", "--from-guest", "web"]);
    assert_eq!(guest.state(), "paused");
    guest.dir.assert_sound("TOOLS");
}

#[test]
fn a_qemu_that_hangs_or_has_ended_is_given_up() {
    let Some(mut guest) = Plain::start() else {
        return;
    };
    tools(&guest);
    let pid = guest.machine.as_ref().unwrap().pid();
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let late = "Guest web does not answer: QEMU did not answer within 10000 ms: greeting";
    assert_eq!(
        refused(&guest.dir, &["saveseg", "TOOLS", "--from-guest", "web"], 1),
        late
    );
    assert_eq!(refused(&guest.dir, &["attach", "web", "USR"], 1), late);
    kill_process(pid, Signal::CONT).unwrap();
    assert_eq!(guest.state(), "running");
    guest.machine.take().unwrap().kill().unwrap();
    let said = refused(&guest.dir, &["attach", "web", "USR"], 1);
    assert!(said.starts_with("Guest web does not answer: "), "{said}");
    let said = refused(&guest.dir, &["saveseg", "TOOLS", "--from-guest", "web"], 1);
    assert!(said.starts_with("Guest web does not answer: "), "{said}");
}
