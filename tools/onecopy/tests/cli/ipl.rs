// SPDX-License-Identifier: GPL-2.0

//! `onecopy ipl`, `query guests`, `console` and `logoff`, with the real kernel.

use std::fs;
use std::io::Write;
use std::ops::Range;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use rustix::process::kill_process;
use rustix::process::Pid;
use rustix::process::Signal;

use crate::saved::Host;
use crate::util::eqnice;
use crate::util::wait_until;

/// How many moments a start is interrupted at, and how far they are apart.
const MOMENTS: u32 = 12;
const STEP: Duration = Duration::from_millis(10);

/// How long a guest does nothing before its memory is counted.
const IDLE: Duration = Duration::from_secs(10);

fn kill(pid: u32) {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

/// Returns the process that keeps a guest.
fn keeper(host: &Host, guest: &str) -> u32 {
    let record = host.dir.path("run/guests").join(guest).join("guest.toml");
    let record = fs::read_to_string(record).unwrap();
    let (_, keeper) = record.split_once("[keeper]\npid = ").unwrap();
    keeper.lines().next().unwrap().parse().unwrap()
}

#[test]
fn a_guest_is_started_talked_to_and_ended() {
    let Some(host) = Host::new() else { return };
    let dir = &host.dir;
    eqnice!(
        dir.ok(&["ipl", "lx"]),
        "lx1: started from LX generation 1\n"
    );
    let args = ["ipl", "LX", "--as", "web", "--resource", "role=db"];
    eqnice!(dir.ok(&args), "web: started from LX generation 1\n");
    assert_eq!(host.ready_guests(), ["lx1", "web"]);
    assert!(dir
        .ok(&["query", "nss"])
        .contains(" A      2      512 MiB "));
    // The seed is nowhere any more.
    assert!(!dir.path("run/guests/web/resources").exists());

    let said = host.say("web", "hello\n");
    // The terminal echoes, and so does the guest; the kernel may say something in between.
    assert_eq!(said.matches("hello\r\n").count(), 2, "{said:?}");

    eqnice!(dir.ok(&["logoff", "web", "--now"]), "web: was ended\n");
    assert_eq!(host.ready_guests(), ["lx1"]);
    assert!(!dir.path("run/guests/web").exists());
    eqnice!(
        dir.ok(&["logoff", "lx1", "--grace", "1"]),
        "lx1: was ended\n"
    );
    host.wait_for_silence();
}

#[test]
fn text_is_shared_and_a_guest_costs_little() {
    let Some(host) = Host::new() else { return };
    host.dir.ok(&["ipl", "LX"]);
    let table = host.dir.ok(&["query", "guests"]);
    let shared = table.lines().find(|row| row.contains(" SR ")).unwrap();
    let words: Vec<&str> = shared.split_whitespace().rev().collect();
    assert_eq!(words[..3], ["0", "B", "0"], "unshared, private: {table}");
}

#[test]
fn a_guest_in_the_foreground_ends_with_the_command() {
    let Some(host) = Host::new() else { return };
    let mut command = host.dir.command(&["ipl", "LX", "--foreground"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("the guest runs", || host.ready_guests() == ["lx1"]);
    child.stdin.take().unwrap().write_all(b"q\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("ipl: lx1: started from a saved system"),
        "{said}"
    );
    assert!(output.status.success(), "{said}");
    assert!(!host.dir.path("run/guests/lx1").exists());
}

/// Waits until a file in a guest holds what is expected.
#[track_caller]
fn wait_for_content(host: &Host, guest: &str, file: &str, expected: impl Fn(&str) -> bool) {
    wait_until(file, || {
        let content = host.content(guest, file);
        content.is_some_and(|content| expected(&content))
    });
}

/// Reads `/proc/meminfo`.
fn mem_total_mib(text: &str) -> Option<u32> {
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: u32 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib >> 10)
}

#[test]
fn more_memory_processors_and_segments_are_plugged() {
    let Some(host) = Host::new() else { return };
    host.dir.file("a.img", "content");
    host.dir.ok(&["saveseg", "USR", "--from-image", "a.img"]);
    let args = [
        "ipl",
        "LX",
        "--memory",
        "1G",
        "--cpus",
        "2",
        "--segment",
        "USR",
    ];
    host.dir.ok(&args);
    host.dir.ok(&["ipl", "LX"]);
    assert_eq!(host.ready_guests(), ["lx1", "lx2"]);
    // The first one has all of this, the second one nothing of it.
    let cpus = "/sys/devices/system/cpu/online";
    wait_for_content(&host, "lx1", cpus, |said| said == "0-1");
    wait_for_content(&host, "lx2", cpus, |said| said == "0");
    let memory = "/proc/meminfo";
    let has_mib =
        |said: &str, mib: Range<u32>| mem_total_mib(said).is_some_and(|m| mib.contains(&m));
    wait_for_content(&host, "lx1", memory, |said| has_mib(said, 900..1024));
    wait_for_content(&host, "lx2", memory, |said| has_mib(said, 400..512));
    let segments = "/sys/kernel/config/dcss/add";
    wait_for_content(&host, "lx1", segments, |said| said == "USR");
    wait_for_content(&host, "lx2", segments, str::is_empty);
    for (args, expected) in [
        (
            ["--memory", "256M"],
            "A guest of this system has 512 MiB at least, and 256 MiB were asked for",
        ),
        (
            ["--cpus", "17"],
            "A guest of this system has 1 to 16 processors",
        ),
    ] {
        let ran = host.dir.run(&[&["ipl", "LX"], &args[..]].concat());
        assert_eq!(ran.code, Some(1));
        eqnice!(ran.stderr, format!("onecopy: {expected}\n"));
    }
}

#[test]
fn a_segment_that_does_not_exist_starts_nothing() {
    let Some(host) = Host::new() else { return };
    let refused = |args: &[&str], expected: &str| {
        let ran = host.dir.run(&[&["ipl", "LX"], args].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), ""));
        let start = "onecopy: Cannot attach segments from DIR/store: There is no segment";
        eqnice!(ran.stderr, format!("{start} {expected}\n"));
        assert_eq!(host.emulators(), [0; 0]);
        assert!(!host.dir.path("run/guests/lx1").exists());
    };
    refused(&["--segment", "USR"], "USR; nothing has been saved");
    host.dir.file("a.img", "content");
    host.dir.ok(&["saveseg", "PY", "--from-image", "a.img"]);
    let args = ["--segment", "PY", "--segment", "USR"];
    refused(&args, "USR; there are: PY (PY)");
    refused(
        &[&args[..], &["--foreground"]].concat(),
        "USR; there are: PY (PY)",
    );
}

#[test]
fn a_generation_in_use_stays_until_its_guest_has_ended() {
    let Some(host) = Host::new() else { return };
    let dir = &host.dir;
    dir.ok(&["ipl", "LX"]);
    eqnice!(
        dir.ok(&["purge", "nss", "LX"]),
        "LX generation 1: class P, removed when its last guest has ended\n"
    );
    assert!(dir.ok(&["query", "nss"]).contains("LX    1    P      1 "));
    let ran = dir.run(&["ipl", "LX"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    dir.ok(&["logoff", "lx1", "--now"]);
    assert_eq!(dir.ok(&["query", "nss"]).lines().count(), 1);
    assert!(!host.file("1").exists());
}

#[test]
fn a_guest_that_does_not_come_is_reported_with_its_last_words() {
    let Some(host) = Host::new() else { return };
    // Linux knows host names of up to 64 characters, and the guest's kernel panics.
    let hostname = "x".repeat(65);
    let ran = host
        .dir
        .run(&["ipl", "LX", "--as", "web", "--hostname", &hostname]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    for expected in [
        "onecopy: Guest web did not start from LX: The console ended before it said \"ipl: web: \
         started from a saved system\"\nconsole ended with:\n",
        "no identity for this guest: -22",
        "Kernel panic",
    ] {
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    }
    // The reason is before the last words, and not behind them once more.
    assert_eq!(
        ran.stderr.matches("The console ended").count(),
        1,
        "{}",
        ran.stderr
    );
    assert!(!host.dir.path("run/guests/web").exists());
    host.wait_for_silence();
}

#[test]
fn resources_that_the_guest_would_refuse_are_refused_before_it_starts() {
    let Some(host) = Host::new() else { return };
    for (args, expected) in [
        (
            ["--resource", "guest=other"],
            "line 7 has a key that was there before",
        ),
        (["--machine-id", "x"], "there is no valid machine_id"),
    ] {
        let ran = host.dir.run(&[&["ipl", "LX"], &args[..]].concat());
        assert_eq!(ran.code, Some(1));
        let start = "onecopy: The resources of the guest are not valid: ";
        eqnice!(ran.stderr, format!("{start}{expected}\n"));
    }
}

#[test]
fn an_idle_guest_with_small_pages_takes_less_than_a_mib() {
    let Some(host) = Host::new() else { return };
    host.dir.ok(&["ipl", "LX", "--small-pages"]);
    thread::sleep(IDLE);
    let json = host.dir.ok(&["query", "guests", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&json).unwrap();
    let ranges = list["guests"][0]["ranges"].as_array().unwrap();
    let private = ranges.iter().map(|range| &range["private_bytes"]);
    let private: u64 = private.map(|bytes| bytes.as_u64().unwrap()).sum();
    assert!((1..1 << 20).contains(&private), "{private} bytes: {json}");
}

#[test]
fn a_guest_ends_with_its_keeper_and_its_name_is_free_again() {
    let Some(host) = Host::new() else { return };
    host.dir.ok(&["ipl", "LX", "--as", "web"]);
    let ran = host.dir.run(&["ipl", "LX", "--as", "web"]);
    assert_eq!(ran.code, Some(4));
    eqnice!(ran.stderr, "onecopy: There is a guest web already\n");
    kill(keeper(&host, "web"));
    host.wait_for_silence();
    wait_until("the guest is gone", || host.ready_guests().is_empty());
    assert!(host.dir.path("run/guests/web").exists(), "nobody was there");
    host.dir.ok(&["ipl", "LX", "--as", "web"]);
    assert_eq!(host.ready_guests(), ["web"]);
}

#[test]
fn a_start_interrupted_at_any_moment_leaves_a_guest_or_nothing() {
    let Some(host) = Host::new() else { return };
    for moment in 0..MOMENTS {
        let mut command = host.dir.command(&["ipl", "LX"]);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(STEP * moment);
        child.kill().unwrap();
        child.wait().unwrap();
        wait_until("what was begun is ended or complete", || {
            host.ready_guests().len() == host.emulators().len()
        });
        for guest in host.ready_guests() {
            // One that nobody has acknowledged is just ending.
            let ran = host.dir.run(&["logoff", &guest, "--now"]);
            let is_gone = ran.stderr.starts_with("onecopy: There is no guest ");
            assert!(ran.code == Some(0) || is_gone, "{ran:?}");
        }
        host.wait_for_silence();
    }
}

#[test]
fn guests_started_at_once_all_become_ready() {
    let Some(host) = Host::new() else { return };
    let children: Vec<_> = (0..4)
        .map(|_| {
            host.dir
                .command(&["ipl", "LX"])
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(host.ready_guests(), ["lx1", "lx2", "lx3", "lx4"]);
}
