// SPDX-License-Identifier: GPL-2.0

//! The tour of README.md: its lines are run as they stand there, one after the other, in one directory.
//!
//! A line that is added there needs one in [`TOUR`].

use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use rustix::process::kill_process;
use rustix::process::Pid;
use rustix::process::Signal;

use crate::init;
use crate::saved::Host;
use crate::util::wait_until;
use crate::util::PROGRAM;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");

/// How many lines fit on a page.
const PAGE_LINES: usize = 40;

/// How long a line of the tour may take, as `timeout` understands it.
const TIMEOUT: &str = "300";

/// How often a key is pressed until `top` has seen it.
const KEY_INTERVAL: Duration = Duration::from_millis(500);

/// What happens when a line is run.
#[derive(Debug, Clone, Copy)]
enum Expect {
    /// It is done, without complaints, and says this.
    Says(&'static str),
    /// It examines the host, which may be in a bad state, and says this.
    Examines(&'static str),
    /// A guest comes up on our terminal, and switches itself off when it is told to.
    Console,
    /// It shows this on a terminal, and ends when `q` is pressed.
    Terminal(&'static str),
    /// It serves until it gets a signal, and has this file in the run directory by then.
    Serves(&'static str),
    /// As `Says`, after the guest was told something on its console.
    SaysAfter(&'static str, &'static str, &'static str),
}
use Expect::Console;
use Expect::Examines;
use Expect::Says;
use Expect::SaysAfter;
use Expect::Serves;
use Expect::Terminal;

/// The beginning of each line of the tour, and what happens.
const TOUR: &[(&str, Expect)] = &[
    ("onecopy --help", Says("Examples:\n  onecopy ")),
    ("onecopy doctor", Examines("QEMU")),
    ("onecopy saveseg USR", Says("USR generation 1: 1 member")),
    ("onecopy query seg USR --verify", Says("intact\n")),
    ("onecopy boot", Console),
    ("onecopy savesys LX73", Says("LX73 generation 1: 512 MiB")),
    (
        "onecopy ipl LX73 --as web",
        Says("web: started from LX73 generation 1\n"),
    ),
    (
        "onecopy saveseg TOOLS",
        Says("TOOLS generation 1: 1 member"),
    ),
    (
        "onecopy attach web TOOLS",
        Says("TOOLS generation 1: attached to web\n"),
    ),
    ("onecopy query seg --users", Says("web")),
    (
        "onecopy detach web TOOLS",
        Says("TOOLS generation 1: detached from web"),
    ),
    ("onecopy smsg web", Says("web: carried out\n")),
    (
        "onecopy ipl LX73 --as db",
        Says("db: started from LX73 generation 1\n"),
    ),
    ("onecopy vmrm run", Serves(".vmrm.lock")),
    ("onecopy query guests", Says("\nweb ")),
    ("onecopy query memory", Says("\nsystem   LX73   1    2 ")),
    ("onecopy top", Terminal("web")),
    ("onecopy console web", Says("")),
    ("onecopy report", Says("now.html: 1 sample, 2 guests")),
    (
        "onecopy partition define shop",
        Says("shop: kernel LX73, 1 GiB, 1 processor"),
    ),
    (
        "onecopy ipl --partition shop",
        Says("shop: started from LX73 generation 1 in partition shop\n"),
    ),
    ("onecopy savesys LX74", Says("LX74 generation 1: 512 MiB")),
    (
        "onecopy partition upgrade shop",
        Says("shop: kernel LX74 instead of LX73; guest shop was started again"),
    ),
    (
        "onecopy partition rollback shop",
        Says("shop: kernel LX73 instead of LX74; guest shop was started again"),
    ),
    ("onecopy partition list", Says("\nshop       LX73 ")),
    (
        "onecopy ipl LX73 --as warm",
        Says("warm: started from LX73 generation 1\n"),
    ),
    (
        "onecopy savesys WARM --running warm",
        SaysAfter("warm", "save\n", "WARM generation 1: 512 MiB"),
    ),
    ("onecopy logoff db", Says("db: ")),
    (
        "onecopy purge nss LX74",
        Says("LX74 generation 1: removed\n"),
    ),
];

/// Returns the commands of all blocks of shell that run ours, without the comments behind them.
fn commands(text: &str) -> Vec<String> {
    let blocks = text.split("```sh\n").skip(1);
    let blocks = blocks.filter_map(|block| Some(block.split_once("\n```")?.0));
    let joined: String = blocks
        .map(|block| block.replace("\\\n", " ") + "\n")
        .collect();
    let lines = joined.lines().filter(|line| line.starts_with("onecopy "));
    let command = |line: &str| {
        line.split(" #")
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    lines.map(command).collect()
}

/// Puts what the tour uses into its working directory.
fn prepare(host: &Host) {
    let dir = &host.dir;
    let place = |path: &str, target: &str| {
        let path = dir.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    };
    for kernel in [
        "bzImage",
        "bzImage-7.4",
        "build/kernel/arch/x86/boot/bzImage",
    ] {
        place(kernel, &host.kernel);
    }
    place("initrd.img", &host.initrd);
    place("bin/onecopy", PROGRAM);
    dir.file("scripts/check", "#!/bin/bash\n");
    let init = dir.file("build/root/debian/sbin/init", init::executable());
    fs::set_permissions(init, fs::Permissions::from_mode(0o755)).unwrap();
    for directory in ["dev", "proc", "sys"] {
        fs::create_dir(dir.path("build/root/debian").join(directory)).unwrap();
    }
}

/// Prepares a line for a shell, with our program on the path.
fn shell(host: &Host, line: &str) -> Command {
    let dir = &host.dir;
    let path = std::env::var("PATH").unwrap();
    let mut command = Command::new("timeout");
    command
        .args([
            "--foreground",
            TIMEOUT,
            "bash",
            "-c",
            &format!("exec {line}"),
        ])
        .current_dir(dir.path(""))
        .env("PATH", format!("{}:{path}", dir.path("bin").display()))
        .env("ONECOPY_ROOT", dir.path("store"))
        .env("ONECOPY_RUN", dir.path("run"))
        .env_remove("ONECOPY_QEMU")
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[track_caller]
fn check(line: &str, output: &Output, codes: &[i32], expected: &str) {
    let code = output.status.code().unwrap_or(-1);
    assert!(codes.contains(&code), "{line}: {output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains(expected),
        "{line}: {expected:?} is not in {said}"
    );
    let complaints = String::from_utf8_lossy(&output.stderr);
    // That KVM does not work here is no complaint about the tour.
    let complaint = complaints
        .lines()
        .find(|line| !line.starts_with("onecopy: KVM "));
    assert_eq!(complaint, None, "{line}");
}

/// Types `q` when the guest has come up.
fn converse(line: &str, mut child: Child) {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let is_up = lines.any(|said| said.is_ok_and(|said| said.contains("ready!")));
    assert!(is_up, "{line}: {:?}", child.wait_with_output());
    let mut keyboard = child.stdin.take().unwrap();
    keyboard.write_all(b"q\n").unwrap();
    lines.for_each(drop);
    check(line, &child.wait_with_output().unwrap(), &[0], "");
}

/// Presses `q` until the program has ended.
fn quit(line: &str, mut child: Child, expected: &str) {
    let mut keyboard = child.stdin.take().unwrap();
    let keys = thread::spawn(move || {
        thread::sleep(KEY_INTERVAL * 4);
        while keyboard.write_all(b"q").is_ok() {
            thread::sleep(KEY_INTERVAL);
        }
    });
    check(line, &child.wait_with_output().unwrap(), &[0], expected);
    keys.join().unwrap();
}

#[track_caller]
fn run(host: &Host, line: &str, expect: Expect) {
    let mut command = shell(host, line);
    match expect {
        Says(expected) => check(line, &command.output().unwrap(), &[0], expected),
        Examines(expected) => {
            // Errors that it finds make the status 1.
            let output = command.stderr(Stdio::null()).output().unwrap();
            check(line, &output, &[0, 1], expected);
        }
        SaysAfter(guest, told, expected) => {
            host.say(guest, told);
            check(line, &command.output().unwrap(), &[0], expected);
        }
        Console => converse(line, command.stdin(Stdio::piped()).spawn().unwrap()),
        Terminal(expected) => {
            // The program "script" runs it on a terminal of its own.
            let mut command = shell(
                host,
                &format!("script -qec 'stty rows 40 cols 132; {line}' /dev/null"),
            );
            quit(
                line,
                command.stdin(Stdio::piped()).spawn().unwrap(),
                expected,
            );
        }
        Serves(file) => {
            let child = command.spawn().unwrap();
            wait_until(line, || host.dir.path("run").join(file).exists());
            let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
            // "timeout" passes it on.
            thread::sleep(KEY_INTERVAL);
            kill_process(pid, Signal::TERM).unwrap();
            let output = child.wait_with_output().unwrap();
            check(line, &output, &[0, 124, 143], "");
        }
    }
}

#[test]
fn the_tour_is_one_page_and_each_line_is_tested() {
    let text = fs::read_to_string(README).unwrap();
    let commands = commands(&text);
    let begins: Vec<&str> = TOUR.iter().map(|(begin, _)| *begin).collect();
    for (line, begin) in commands.iter().zip(&begins) {
        assert!(line.starts_with(begin), "{line} is not tested as {begin}");
    }
    assert_eq!(commands.len(), begins.len(), "{commands:#?}");
    let first = text.find("onecopy --help").unwrap();
    let tour = text[first..].split("\n```").next().unwrap();
    let lines = tour.lines().count();
    assert!(lines <= PAGE_LINES, "the tour has {lines} lines");
}

#[test]
fn commands_are_found_in_blocks_of_shell_only() {
    let text = "onecopy no\n```sh\nmake\nonecopy a  # b\n\nonecopy c \\\n  --d\n```\n\
                ```\nonecopy no\n```\n```sh\nonecopy e\n```\n";
    assert_eq!(
        commands(text),
        ["onecopy a", "onecopy c    --d", "onecopy e"]
    );
}

#[test]
fn the_tour_works() {
    let Some(host) = Host::empty() else { return };
    prepare(&host);
    let text = fs::read_to_string(Path::new(README)).unwrap();
    for (line, (_, expect)) in commands(&text).iter().zip(TOUR) {
        run(&host, line, *expect);
    }
}
