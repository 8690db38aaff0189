// SPDX-License-Identifier: GPL-2.0

//! `onecopy smsg`, with the real kernel. The segment driver is in it, the balloon's is a module, which
//! these guests cannot load.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use rustix::process::kill_process;
use rustix::process::Pid;
use rustix::process::Signal;
use serde_json::json;
use serde_json::Value;

use crate::saved::Host;
use crate::util::eqnice;
use crate::util::wait_until;
use crate::util::Dir;
use crate::util::PROGRAM;

/// A message that is refused at once, and does nothing.
const QUESTION: &str = "NOBODY THERE";
const NOBODY_THERE: &str =
    "onecopy: Guest web has refused the message of VMRMSVM: no driver of the guest takes \
                            such messages: No such device or address (errno 6)\n";

/// A user who owns nothing.
const NOBODY: u32 = 65534;

/// Starts a guest with a channel and a segment.
fn with_channel() -> Option<Host> {
    let host = Host::new()?;
    host.dir.file("a.img", "content");
    host.dir.ok(&["saveseg", "USR", "--from-image", "a.img"]);
    host.dir
        .ok(&["ipl", "LX", "--as", "web", "--smsg", "--segment", "USR"]);
    Some(host)
}

/// Waits until the driver has attached just this.
#[track_caller]
fn wait_for_attached(host: &Host, expected: &str) {
    wait_until("the segment is attached or detached", || {
        host.content("web", "/sys/kernel/config/dcss/remove")
            .as_deref()
            == Some(expected)
    });
}

/// Sends a message, expects it to fail, and returns what is said.
#[track_caller]
fn failure(dir: &Dir, args: &[&str], code: i32) -> String {
    let ran = dir.run(&[&["smsg"], args].concat());
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(code), ""), "{ran:?}");
    ran.stderr
}

#[test]
fn messages_are_carried_out_or_refused_and_that_is_said() {
    let Some(host) = with_channel() else { return };
    let dir = &host.dir;
    wait_until("the segment space is found", || {
        let found = host.content("web", "/sys/kernel/config/dcss/add");
        found.as_deref() == Some("USR")
    });
    let args = [
        "smsg",
        "web",
        "dcss attach usr",
        "--json",
        "--from",
        "vmrmsvm",
    ];
    let said = dir.ok(&args);
    let told: Value = serde_json::from_str(&said).unwrap();
    let expected = json!({
        "guest": "web", "sender": "VMRMSVM", "text": "dcss attach usr", "carried_out": true,
        "errno": null, "error": null, "reason": null,
    });
    assert_eq!(told, expected);
    wait_for_attached(&host, "USR");
    eqnice!(
        dir.ok(&["smsg", "web", "DCSS DETACH USR"]),
        "web: carried out\n"
    );
    wait_for_attached(&host, "");

    let ran = dir.run(&["smsg", "web", "--json", "DCSS ATTACH XX"]);
    assert_eq!(ran.code, Some(1));
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    let expected = json!({
        "guest": "web", "sender": "VMRMSVM", "text": "DCSS ATTACH XX", "carried_out": false,
        "errno": 2, "error": "No such file or directory",
        "reason": "there is no such segment in the guest's segment spaces",
    });
    assert_eq!(told, expected);
    eqnice!(
        failure(dir, &["web", "DCSS ATTACH XX"], 1),
        "onecopy: Guest web has refused the message of VMRMSVM: there is no such segment in the guest's \
         segment spaces: No such file or directory (errno 2)\n"
    );
    eqnice!(failure(dir, &["web", QUESTION], 1), NOBODY_THERE);
    eqnice!(
        failure(dir, &["web", "DCSS ATTACH USR", "--from", "op1"], 1),
        "onecopy: Guest web has refused the message of OP1: the guest takes no orders from this sender: \
         Operation not permitted (errno 1)\n"
    );
    wait_for_attached(&host, "");
    let socket = fs::metadata(dir.path("run/guests/web/smsg")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    let refused = dir.run(&["savesys", "WARM", "--running", "web"]);
    assert!(refused.stderr.contains("smsg0"), "{refused:?}");
}

#[test]
fn guests_that_cannot_answer_are_not_waited_for_long() {
    let Some(host) = with_channel() else { return };
    let dir = &host.dir;
    dir.ok(&["ipl", "LX", "--as", "deaf"]);
    eqnice!(
        failure(dir, &["deaf", QUESTION], 4),
        "onecopy: Guest deaf has not carried the message out: it has no channel for messages; ipl --smsg \
         plugs one\n"
    );
    eqnice!(
        failure(dir, &["none", QUESTION], 3),
        "onecopy: There is no guest none; there are: deaf, web\n"
    );
    dir.ok(&["logoff", "deaf", "--now"]);
    wait_until("the other guest is gone", || host.emulators().len() == 1);
    let qemu = host.emulators()[0];
    let signal = |signal| {
        let pid = Pid::from_raw(qemu.try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    };
    signal(Signal::STOP);
    let start = Instant::now();
    // More than QEMU's queue of connections holds.
    for _ in 0..4 {
        let said = failure(dir, &["web", QUESTION, "--timeout", "1"], 1);
        let expected = "onecopy: Guest web has not carried the message out: no answer within 1 s: ";
        assert!(said.starts_with(expected), "{said}");
    }
    assert!(start.elapsed() < Duration::from_secs(30));
    signal(Signal::CONT);
    eqnice!(
        failure(dir, &["web", QUESTION, "--timeout", "60"], 1),
        NOBODY_THERE
    );

    // It dies while it is asked.
    signal(Signal::STOP);
    let mut command = dir.command(&["smsg", "web", QUESTION, "--timeout", "60"]);
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let start = Instant::now();
    signal(Signal::KILL);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(start.elapsed() < Duration::from_secs(30), "{output:?}");
    eqnice!(
        String::from_utf8(output.stderr).unwrap(),
        "onecopy: Guest web has not carried the message out: the machine has ended before there was an \
         answer\n"
    );
}

#[test]
fn commands_at_the_same_time_take_turns() {
    let Some(host) = with_channel() else { return };
    let dir = &host.dir;
    let spawn = |_| {
        let mut command = dir.command(&["smsg", "web", QUESTION, "--timeout", "60"]);
        command.stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = (0..12).map(spawn).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        eqnice!(String::from_utf8(output.stderr).unwrap(), NOBODY_THERE);
    }
}

#[test]
fn rules_say_who_may_send_what_to_whom() {
    let Some(host) = with_channel() else { return };
    let dir = &host.dir;
    dir.file(
        "store/smsg.toml",
        "[[allow]]\nsender = \"VMRMSVM\"\nto = [\"w*\"]\ntext = [\"NOBODY\"]\n\
         [[allow]]\nsender = \"OP\"\nto = [\"db\"]\n",
    );
    eqnice!(failure(dir, &["web", QUESTION], 1), NOBODY_THERE);
    for (args, expected) in [
        (
            &["web", "DCSS ATTACH USR"][..],
            "VMRMSVM may not send DCSS messages to guest web",
        ),
        (
            &["web", QUESTION, "--from", "OP"],
            "OP may not send NOBODY messages to guest web",
        ),
        (
            &["db", QUESTION],
            "VMRMSVM may not send NOBODY messages to guest db",
        ),
    ] {
        eqnice!(
            failure(dir, args, 7),
            format!("onecopy: {expected}: no rule in DIR/store/smsg.toml allows it\n")
        );
    }
    // What is allowed may still have nobody to go to.
    eqnice!(
        failure(dir, &["db", QUESTION, "--from", "OP"], 3),
        "onecopy: There is no guest db; there are: web\n"
    );
    wait_for_attached(&host, "");
}

#[test]
fn damaged_rules_and_senders_that_are_none_are_refused() {
    let dir = Dir::new();
    for (text, expected) in [
        ("[[allow]]\nsender = 5\n", "2:10: invalid type: integer `5`"),
        ("[[alow]]\n", "1:3: unknown field `alow`"),
    ] {
        dir.file("store/smsg.toml", text);
        let ran = dir.run(&["smsg", "web", QUESTION]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran:?}");
        let expected = format!("onecopy: DIR/store/smsg.toml:{expected}");
        assert!(ran.stderr.starts_with(&expected), "{ran:?}");
    }
    fs::remove_file(dir.path("store/smsg.toml")).unwrap();
    symlink("nowhere", dir.path("store/smsg.toml")).unwrap();
    let ran = dir.run(&["smsg", "web", QUESTION]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(6), ""), "{ran:?}");
    let link = "DIR/store/smsg.toml is a symbolic link, which is not followed";
    assert!(ran.stderr.contains(link), "{ran:?}");
    fs::remove_file(dir.path("store/smsg.toml")).unwrap();
    // Who opened it as a file would wait for somebody to write to it.
    let mut fifo = Command::new("mkfifo");
    fifo.arg(dir.path("store/smsg.toml"));
    assert!(fifo.status().unwrap().success());
    let ran = dir.run(&["smsg", "web", QUESTION]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(6), ""), "{ran:?}");
    assert!(
        ran.stderr.contains("it is not a file of at most"),
        "{ran:?}"
    );
    for (args, expected) in [
        (&["web", ""][..], "a message has 1 to 400 characters"),
        (&["web", "CMM SHRINK 1\nCMM"], "a message has 1 to 400"),
        (
            &["web", "A", "--from", "TOO LONG"],
            "is not the name of a sender",
        ),
        (&["web", "A", "--timeout", "0"], "1 to 86400 seconds"),
        (&["a/b", "A"], "is not a name of a guest"),
    ] {
        let ran = dir.run(&[&["smsg"], args].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran:?}");
        assert!(ran.stderr.contains(expected), "{ran:?}");
    }
}

#[test]
fn who_does_not_own_the_guests_cannot_send() {
    let dir = Dir::new();
    let guests = dir.path("run/guests");
    fs::create_dir_all(&guests).unwrap();
    let mode = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let program = dir.path("onecopy");
    fs::copy(PROGRAM, &program).unwrap();
    mode(&dir.path(""), 0o755);
    mode(&guests, 0o000);
    let mut command = Command::new(&program);
    command
        .args(["smsg", "web", QUESTION])
        .env("ONECOPY_ROOT", dir.path("store"))
        .env("ONECOPY_RUN", dir.path("run"));
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let ran = dir.finish(&mut command);
    assert_eq!(ran.code, Some(7));
    eqnice!(
        ran.stderr,
        "onecopy: Cannot open DIR/run/guests: Permission denied (os error 13)\n"
    );
    mode(&guests, 0o700);
}

#[test]
fn a_partition_can_have_a_channel() {
    let Some(host) = Host::new() else { return };
    let dir = &host.dir;
    let args = ["partition", "define", "web", "--kernel", "LX", "--smsg"];
    dir.ok(&args);
    let shown = dir.ok(&["partition", "show", "web", "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["partition"]["resources"]["smsg"], true, "{shown}");
    assert!(dir
        .ok(&["partition", "show", "web"])
        .lines()
        .any(|line| line.split_whitespace().collect::<Vec<_>>() == ["Messages", "yes"]));
    dir.ok(&["ipl", "--partition", "web"]);
    eqnice!(failure(dir, &["web", QUESTION], 1), NOBODY_THERE);
}
