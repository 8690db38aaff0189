// SPDX-License-Identifier: GPL-2.0

//! `onecopy vmrm`, on a host that is made up; with the real kernel where guests are needed.

use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::kill_process;
use rustix::process::Pid;
use rustix::process::Signal;
use serde_json::json;
use serde_json::Value;

use crate::saved::Host;
use crate::schema::conforming;
use crate::util::eqnice;
use crate::util::wait_until;
use crate::util::Dir;
use crate::util::PROGRAM;

const MIB: u64 = 1 << 20;

/// A user who owns nothing.
const NOBODY: u32 = 65534;

/// Writes what the host has, in MiB, and a configuration that looks there.
pub(crate) fn configure(dir: &Dir, available_mib: u64, more: &str) {
    // A manager that runs must never see it half written.
    let new = dir.file(
        "host/proc/new",
        format!(
            "MemTotal: {} kB\nMemAvailable: {} kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
            4096 << 10,
            available_mib << 10
        ),
    );
    fs::rename(new, dir.path("host/proc/meminfo")).unwrap();
    let root = dir.path("host");
    dir.file("vmrm.toml", format!("host.root = {root:?}\n{more}"));
}

const CONFIG: [&str; 2] = ["--config", "vmrm.toml"];

#[test]
fn a_damaged_configuration_is_refused_with_its_place() {
    let dir = Dir::new();
    for (text, expected) in [
        ("[host\n", "vmrm.toml:1:6: "),
        (
            "[host]\nlow = \"20%\"\nhigh = \"1%\"\n",
            "vmrm.toml:3:8: low must not be above high",
        ),
        (
            "[[guest]]\nname = \"a\"\nwieght = 1\n",
            "vmrm.toml:3:1: unknown field `wieght`",
        ),
        ("\u{0}", "vmrm.toml:1:2: "),
    ] {
        dir.file("vmrm.toml", text);
        dir.file("trace", "{\"onecopy_vmrm_trace\":1}\n");
        for verb in [
            &["run", "--once"][..],
            &["run"],
            &["check"],
            &["simulate", "trace"],
        ] {
            let ran = dir.run(&[&["vmrm"], verb, &CONFIG].concat());
            assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{verb:?}");
            assert!(
                ran.stderr.starts_with(&format!("onecopy: {expected}")),
                "{ran:?}"
            );
        }
    }
    dir.file("vmrm.toml", b"\xff");
    for file in ["vmrm.toml", "nothing"] {
        let ran = dir.run(&["vmrm", "check", "--config", file]);
        assert_eq!(ran.code, Some(2));
        let expected = format!("onecopy: Cannot read the configuration {file}: ");
        assert!(ran.stderr.starts_with(&expected), "{ran:?}");
    }
}

#[test]
fn a_check_says_what_a_configuration_means() {
    let dir = Dir::new();
    configure(&dir, 1024, "notify.memory = [\"web*\", \"db\"]\n");
    let ran = dir.run(&[&["vmrm", "check"][..], &CONFIG].concat());
    assert_eq!(ran.code, Some(0));
    eqnice!(ran.stderr, "onecopy: Guest db is named, and does not run\n");
    eqnice!(
        ran.stdout,
        "vmrm.toml is valid; host available 1024 MiB of 4096 MiB\n\
         GUEST  MEMORY  MANAGED  FLOOR  HEADROOM  WEIGHT\n"
    );
    let ran = dir.run(&[&["vmrm", "check", "--json"][..], &CONFIG].concat());
    let checked: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(checked["missing"], json!(["db"]));
    assert_eq!(checked["host"]["total_bytes"], 4096 * MIB);

    fs::remove_file(dir.path("host/proc/meminfo")).unwrap();
    for verb in [&["check"][..], &["run", "--once"], &["run"]] {
        let ran = dir.run(&[&["vmrm"], verb, &CONFIG].concat());
        assert_eq!(ran.code, Some(1));
        eqnice!(
            ran.stderr,
            "onecopy: Cannot read DIR/host/proc/meminfo: No such file or directory (os error 2)\n"
        );
    }
    configure(&dir, 1024, "host.cgroup = \"guests.slice\"\n");
    let ran = dir.run(&[&["vmrm", "check"][..], &CONFIG].concat());
    assert_eq!(ran.code, Some(1));
    eqnice!(
        ran.stderr,
        "onecopy: There is no cgroup guests.slice with a memory controller\n"
    );
}

#[test]
fn a_missing_guest_makes_a_single_round_fail() {
    let dir = Dir::new();
    configure(&dir, 0, "notify.memory = [\"web\"]\n");
    let ran = dir.run(&[&["vmrm", "run", "--once"][..], &CONFIG].concat());
    assert_eq!(ran.code, Some(1));
    eqnice!(
        ran.stdout,
        "web: is named in the configuration, and does not run\n\
         squeeze 0 MiB of 616 MiB; host available 0 MiB of 4096 MiB; 0 guests give 0 MiB\n"
    );
    eqnice!(
        ran.stderr,
        "onecopy: Not every guest could be asked and told\n"
    );
    configure(&dir, 4096, "");
    assert_eq!(
        dir.ok(&[&["vmrm", "run", "--once"][..], &CONFIG].concat()),
        ""
    );
}

/// Rounds of guests of 1 GiB on a host of 4 GiB: one after the other touches 600 MiB.
pub(crate) fn trace(guests: usize, rounds: u64) -> String {
    let mut text = "{\"onecopy_vmrm_trace\":1}\n".to_owned();
    for round in 0..rounds {
        let resident = |number: usize| if number as u64 <= round { 600 } else { 100 };
        let guest = |number: usize| {
            json!({
                "name": format!("g{number}"), "incarnation": 1, "memory_bytes": 1024 * MIB,
                "resident_bytes": resident(number) * MIB, "taken_bytes": 0,
                "available_bytes": 924 * MIB,
            })
        };
        let used: u64 = (0..guests).map(resident).sum();
        let sample = json!({
            "unix_ms": round * 5000,
            "host": {
                "total_bytes": 4096 * MIB,
                "available_bytes": 4096_u64.saturating_sub(used) * MIB,
                "swap_total_bytes": 0, "swap_free_bytes": 0,
                "some_hundredths": 0, "full_hundredths": 0,
            },
            "guests": (0..guests).map(guest).collect::<Vec<_>>(),
        });
        text.push_str(&format!("{sample}\n"));
    }
    text
}

#[test]
fn a_trace_is_replayed() {
    let dir = Dir::new();
    configure(
        &dir,
        0,
        "host.low = \"30%\"\nhost.high = \"35%\"\nhost.ease = \"60%\"\n",
    );
    dir.file("trace", trace(6, 10));
    let text = dir.ok(&[&["vmrm", "simulate", "trace"][..], &CONFIG].concat());
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("TIME                  DOES     MOVED    WANTED"),
        "{text}"
    );
    let orders = lines
        .iter()
        .position(|line| line.contains("  GUEST  SHRINK"));
    let orders = &lines[orders.unwrap() + 1..lines.len() - 2];
    assert!(
        orders[0].starts_with("TIME  g0     22528   0       squeeze  1 GiB "),
        "{text}"
    );
    assert!(
        lines
            .last()
            .unwrap()
            .starts_with("10 rounds with up to 6 guests: "),
        "{text}"
    );
    let json = dir.ok(&[&["vmrm", "simulate", "trace", "--json"][..], &CONFIG].concat());
    // Two tables with titles and empty lines behind, and the sum.
    assert_eq!(json.lines().count() + 4, lines.len());
    assert_eq!(json.matches("\"event\":\"shrink\"").count(), orders.len());
    let summary: Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
    assert_eq!(summary["recorded_min_available_bytes"], 496 * MIB);
    assert!(
        summary["min_available_bytes"].as_u64() >= Some(496 * MIB),
        "{summary}"
    );
    assert_eq!(summary["short_rounds"], 0);
    assert_eq!(summary["reversals"], 0);

    // A report reads all of it.
    dir.file("vmrm.jsonl", &json);
    let told = json.matches("\"event\":\"shrink\"").count();
    eqnice!(
        dir.ok(&["report", "-o", "r.html", "--shrinks", "vmrm.jsonl"]),
        format!("r.html: 1 sample, 0 guests, {told} SHRINKs\n")
    );
    let html = fs::read_to_string(dir.path("r.html")).unwrap();
    let (_, plot) = html.split_once(">SHRINK<").unwrap();
    assert!(plot.contains("<svg ") && plot.contains("g0"), "{plot}");

    // With nobody to be told nothing changes.
    configure(&dir, 0, "notify.memory = []\n");
    let text = dir.ok(&[&["vmrm", "simulate", "trace"][..], &CONFIG].concat());
    assert!(!text.contains("SHRINK"), "{text}");
}

#[test]
fn damaged_traces_are_refused_with_their_place() {
    let dir = Dir::new();
    let trace = trace(2, 2);
    let cut = trace.get(..trace.len() - 20).unwrap();
    for (text, expected) in [
        ("", "line 1: it does not begin as a trace does"),
        (
            &*trace.replace("trace\":1", "trace\":9"),
            "line 1: it has format 9, not 1",
        ),
        (cut, "line 3, column "),
        (
            &*trace.replace("\"g1\"", "\"g0\""),
            "line 2: there are two guests g0",
        ),
    ] {
        dir.file("trace", text);
        let ran = dir.run(&["vmrm", "simulate", "trace"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(6), ""));
        let expected = format!("onecopy: Cannot replay trace: {expected}");
        assert!(ran.stderr.starts_with(&expected), "{ran:?}");
    }
    let ran = dir.run(&["vmrm", "simulate", "nothing"]);
    eqnice!(
        ran.stderr,
        "onecopy: Cannot replay nothing: No such file or directory (os error 2)\n"
    );
}

#[test]
fn a_recording_spoils_no_other_file() {
    let dir = Dir::new();
    configure(&dir, 4096, "");
    let record = [&["vmrm", "run", "--once", "--record", "trace"][..], &CONFIG].concat();
    for lines in [2, 3] {
        dir.ok(&record);
        let text = fs::read_to_string(dir.path("trace")).unwrap();
        assert_eq!(text.lines().count(), lines);
    }
    dir.file("trace", "precious\n");
    let ran = dir.run(&record);
    assert_eq!(ran.code, Some(1));
    eqnice!(
        ran.stderr,
        "onecopy: Cannot record to trace: line 1: it does not begin as a trace does\n"
    );
    assert_eq!(fs::read_to_string(dir.path("trace")).unwrap(), "precious\n");
}

#[test]
fn who_may_not_look_at_the_guests_is_told() {
    let dir = Dir::new();
    configure(&dir, 4096, "");
    // Others must be able to execute it.
    let program = dir.path("onecopy");
    fs::copy(PROGRAM, &program).unwrap();
    let guests = dir.path("run/guests");
    fs::create_dir_all(&guests).unwrap();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&dir.path(""), 0o755);
    mode(&guests, 0o000);
    let run = |dry: &str| {
        let mut command = Command::new(&program);
        command
            .args(["vmrm", "run", "--once", dry, "--config"])
            .arg(dir.path("vmrm.toml"))
            .arg("--run-dir")
            .arg(dir.path("run"));
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        dir.finish(&mut command)
    };
    let ran = run("--dry-run");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(7), ""), "{ran:?}");
    eqnice!(
        ran.stderr,
        "onecopy: Cannot open DIR/run/guests: Permission denied (os error 13)\n"
    );
    mode(&dir.path("run"), 0o555);
    let ran = run("--json");
    assert_eq!(ran.code, Some(7));
    let failure = conforming("error", &ran.stderr);
    assert_eq!(failure["error"], "Cannot open DIR/run/.vmrm.lock");
    assert_eq!(failure["causes"][0], "Permission denied (os error 13)");
    mode(&guests, 0o700);
}

/// A manager that runs, and the service manager that it reports to.
struct Service {
    child: Child,
    manager: UnixDatagram,
}

impl Service {
    fn start(dir: &Dir) -> Self {
        let path = dir.path("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let child = dir
            .command(&[&["vmrm", "run"][..], &CONFIG].concat())
            .env("NOTIFY_SOCKET", &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, manager }
    }

    /// Waits until it says something.
    #[track_caller]
    fn wait_for(&self, text: &str) {
        wait_until(text, || {
            let mut buffer = [0; 512];
            // A call with a time limit can be interrupted.
            let length = self.manager.recv(&mut buffer).unwrap_or_default();
            String::from_utf8_lossy(buffer.get(..length).unwrap()).contains(text)
        });
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_service_reports_reads_its_configuration_again_and_ends_in_order() {
    let dir = Dir::new();
    configure(&dir, 4096, "host.interval = 60\n");
    let mut service = Service::start(&dir);
    service.wait_for("READY=1\nSTATUS=hold 0 MiB of 0 MiB; host available 4096 MiB of 4096 MiB");
    service.wait_for("WATCHDOG=1");

    let ran = dir.run(&[&["vmrm", "run", "--once"][..], &CONFIG].concat());
    assert_eq!(ran.code, Some(4));
    eqnice!(
        ran.stderr,
        "onecopy: Another vmrm manages the guests of DIR/run\n"
    );
    dir.ok(&[&["vmrm", "run", "--once", "--dry-run"][..], &CONFIG].concat());

    let mut said = BufReader::new(service.child.stdout.take().unwrap()).lines();
    dir.file("vmrm.toml", "host.interval = 0\n");
    service.signal(Signal::HUP);
    assert_eq!(
        said.next().unwrap().unwrap(),
        "the old configuration still holds: vmrm.toml:1:17: an interval is 1 to 3600 seconds"
    );
    configure(&dir, 0, "host.interval = 1\n");
    service.signal(Signal::HUP);
    // A round may come between that finds memory as it is by now.
    let read = said.find(|line| !line.as_ref().unwrap().starts_with("squeeze"));
    assert_eq!(read.unwrap().unwrap(), "the configuration was read again");
    assert!(said
        .next()
        .unwrap()
        .unwrap()
        .starts_with("squeeze 0 MiB of 616 MiB; host"));
    fs::remove_file(dir.path("host/proc/meminfo")).unwrap();
    let blind = said.find(|line| !line.as_ref().unwrap().starts_with("squeeze"));
    assert!(blind
        .unwrap()
        .unwrap()
        .starts_with("nothing is decided: Cannot read"));

    service.signal(Signal::TERM);
    service.wait_for("STOPPING=1");
    assert_eq!(service.child.wait().unwrap().code(), Some(0));
}

#[test]
fn guests_without_a_driver_or_without_a_balloon_are_not_told_anything() {
    let Some(host) = Host::new() else { return };
    let dir = &host.dir;
    configure(dir, 0, "");
    dir.ok(&["ipl", "LX", "--balloon", "--as", "with"]);
    let once = [&["vmrm", "run", "--once"][..], &CONFIG].concat();
    let said = dir.ok(&once);
    eqnice!(
        said,
        "squeeze 0 MiB of 616 MiB; host available 0 MiB of 4096 MiB; 1 guests give 0 MiB\n"
    );
    let table = dir.ok(&[&["vmrm", "check"][..], &CONFIG].concat());
    assert!(
        table.ends_with("with   512 MiB  yes      128 MiB  64 MiB    1\n"),
        "{table}"
    );

    dir.ok(&["ipl", "LX", "--as", "without"]);
    let ran = dir.run(&once);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stdout.starts_with(
            "without: does not answer: Guest without has no balloon; ipl --balloon plugs one\n"
        ),
        "{ran:?}"
    );
    eqnice!(
        ran.stderr,
        "onecopy: Not every guest could be asked and told\n"
    );
    let ran = dir.run(&[&once[..], &["--json"]].concat());
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.starts_with("{\"event\":\"silent\""), "{ran:?}");
    let failure = conforming("error", &ran.stderr);
    assert_eq!(failure["error"], "Not every guest could be asked and told");
    // Who does not name it does not miss it.
    configure(dir, 0, "notify.memory = [\"wi*h\"]\n");
    dir.ok(&once);
}

#[test]
fn the_unit_is_valid() {
    let dir = Dir::new();
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/onecopy-vmrm.service");
    let text = fs::read_to_string(unit).unwrap();
    let installed = "/usr/local/bin/onecopy ";
    assert!(text.contains(installed));
    // Nothing is installed here.
    let text = text.replace(installed, &format!("{PROGRAM} "));
    let unit = dir.file("onecopy-vmrm.service", text);
    match Command::new("systemd-analyze")
        .arg("verify")
        .arg(unit)
        .output()
    {
        Ok(output) => assert!(
            output.status.success() && output.stderr.is_empty(),
            "{output:?}"
        ),
        Err(error) => eprintln!("skipped: systemd-analyze: {error}"),
    }
}
