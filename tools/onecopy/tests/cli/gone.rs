// SPDX-License-Identifier: GPL-2.0

//! A QEMU that is killed underneath: verbs about its guest end soon, and say that it is gone.

use std::io::Write;
use std::process::Child;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use rustix::process::kill_process;
use rustix::process::Pid;
use rustix::process::Signal;
use serde_json::Value;

use crate::saved::Host;
use crate::util::wait_until;

/// How long a verb may take on a host that is busy. None of them waits for a guest that is gone.
const SOON: Duration = Duration::from_secs(20);

/// Kills the QEMU of a guest, which has no say in it.
#[track_caller]
fn kill(host: &Host, guest: &str) {
    let listed: Value = serde_json::from_str(&host.dir.ok(&["query", "guests", "--json"])).unwrap();
    let guests = listed["guests"].as_array().unwrap();
    let found = guests.iter().find(|found| found["name"] == guest).unwrap();
    let pid = i32::try_from(found["pid"].as_i64().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

/// Starts a console that stays open as long as its input.
fn console(host: &Host, guest: &str) -> Child {
    let mut command = host.dir.command(&["console", guest]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

#[test]
fn a_guest_whose_qemu_was_killed_is_gone_for_all_verbs() {
    let Some(host) = Host::new() else { return };
    host.dir
        .ok(&["partition", "define", "web", "--kernel", "LX"]);
    for verb in [
        "query guests",
        "top --once",
        "metrics",
        "query memory",
        "partition show web",
        "console web",
        "logoff web",
        "smsg web A",
    ] {
        host.dir.ok(&["ipl", "--partition", "web"]);
        kill(&host, "web");
        let args: Vec<&str> = verb.split(' ').collect();
        let start = Instant::now();
        // Its keeper may not have noticed yet.
        let ran = host.dir.run(&args);
        assert!(start.elapsed() < SOON, "{verb}: {ran:?}");
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!said.contains("panicked"), "{verb}: {said}");
        assert!(!ran.stdout.contains(" running "), "{verb}: {said}");
        assert!(matches!(ran.code, Some(0 | 1 | 3 | 4)), "{verb}: {ran:?}");
        if ran.code != Some(0) {
            assert!(ran.stderr.contains("web"), "{verb}: {ran:?}");
        }
        host.wait_for_silence();
        let ran = host.dir.run(&args);
        match verb {
            "console web" | "logoff web" | "smsg web A" => {
                assert_eq!(ran.code, Some(3), "{verb}: {ran:?}");
                assert!(ran.stderr.contains("There is no guest web"), "{ran:?}");
            }
            _ => assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{verb}"),
        }
    }
}

#[test]
fn a_console_and_a_logoff_end_with_the_qemu_that_is_killed() {
    let Some(host) = Host::new() else { return };
    host.dir.ok(&["ipl", "LX", "--as", "web"]);
    let mut console = console(&host, "web");
    let mut input = console.stdin.take().unwrap();
    input.write_all(b"x\n").unwrap();
    // The guest has no handler for its button, so this waits until the time is over.
    let mut logoff = host.dir.command(&["logoff", "web", "--grace", "300"]);
    let mut logoff = logoff.stdout(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(console.try_wait().unwrap(), None);
    assert_eq!(logoff.try_wait().unwrap(), None);
    kill(&host, "web");
    wait_until("the console ends", || console.try_wait().unwrap().is_some());
    wait_until("logoff ends", || logoff.try_wait().unwrap().is_some());
    drop(input);
    let codes = [console, logoff].map(|mut child| child.wait().unwrap().code());
    assert_eq!(codes, [Some(0), Some(0)]);
    host.wait_for_silence();
}
