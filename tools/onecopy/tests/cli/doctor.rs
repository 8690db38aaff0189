// SPDX-License-Identifier: GPL-2.0

//! `onecopy doctor`

use std::fs;
use std::path::PathBuf;

use onecopy_machine::Qemu;
use rustix::process::kill_process;
use rustix::process::Pid;
use rustix::process::Signal;
use serde_json::Value;

use crate::boot::start_hanging_guest;
use crate::saved::Host;
use crate::util::skip;
use crate::util::wait_until;
use crate::util::Dir;
use crate::util::TEMPORARY;

/// Runs it, and returns the words for what it has found and what is left.
fn examine(dir: &Dir, more: &[&str]) -> (Value, Vec<String>) {
    let args: Vec<_> = ["doctor", "--json"].iter().chain(more).copied().collect();
    let ran = dir.run(&args);
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (Some(0), ""),
        "{}",
        ran.stdout
    );
    let examined: Value = serde_json::from_str(&ran.stdout).unwrap();
    let left = examined["leftovers"].as_array().unwrap();
    let ids = left
        .iter()
        .map(|one| one["id"].as_str().unwrap().to_owned());
    let ids = ids.collect();
    (examined, ids)
}

fn record(host: &Host, guest: &str) -> PathBuf {
    host.dir.path("run/guests").join(guest).join("guest.toml")
}

/// Returns the directories of machines.
fn sockets(dir: &Dir) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.path(TEMPORARY)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_one = |path: &PathBuf| path.to_str().unwrap().contains("/onecopy-qemu-");
    paths.filter(is_one).collect()
}

/// Returns the number behind a title of a record.
fn number(text: &str, title: &str, name: &str) -> u64 {
    let (_, rest) = text.split_once(&format!("[{title}]\n")).unwrap();
    let (_, rest) = rest.split_once(&format!("{name} = ")).unwrap();
    rest.lines().next().unwrap().parse().unwrap()
}

#[test]
fn a_host_without_anything_is_examined_and_not_changed() {
    let dir = Dir::new();
    let (examined, left) = examine(&dir, &[]);
    assert_eq!(left, [""; 0]);
    let findings = examined["findings"].as_array().unwrap();
    for finding in findings {
        let keys: Vec<_> = finding.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["id", "meaning", "remedy", "severity", "what"]);
        let severity = finding["severity"].as_str().unwrap();
        assert!(["ok", "warning"].contains(&severity), "{finding}");
        assert_eq!(severity == "ok", finding["meaning"] == "", "{finding}");
    }
    assert!(findings.iter().any(|finding| finding["id"] == "kvm"));
    let shown = dir.ok(&["doctor"]);
    assert!(shown.contains("ok       The store DIR/store will be made when it is needed\n"));
    assert!(
        shown.ends_with("ok       Nothing is left of a crash\n"),
        "{shown}"
    );
    assert!(!dir.path("store").exists() && !dir.path("run").exists());
}

#[test]
fn an_emulator_that_does_not_run_is_an_error() {
    let ran = Dir::new().run(&["doctor", "--qemu", "/nonexistent/qemu"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran
        .stdout
        .starts_with("ERROR    Cannot run /nonexistent/qemu; install QEMU"));
    assert!(ran
        .stdout
        .contains("\n         No guest can be saved or started.\n"));
}

#[test]
fn drafts_of_killed_saves_are_named_and_removed_only_with_clean() {
    let dir = Dir::new();
    dir.file("a.img", "content");
    dir.ok(&["saveseg", "USR", "--from-image", "a.img"]);
    let drafts = [
        dir.file("store/segments/USR/.draft-x", "half"),
        dir.file("store/systems/LX/.draft-y/ew-0.img", "half"),
    ];
    let (examined, left) = examine(&dir, &[]);
    assert_eq!(left, ["killed-save", "killed-save"]);
    let what = examined["leftovers"][1]["what"].as_str().unwrap();
    assert_eq!(
        what,
        "A save was killed and has left DIR/store/systems/LX/.draft-y"
    );
    assert!(drafts.iter().all(|draft| draft.exists()));

    // One whose owner lives is nobody else's.
    let held = fs::File::open(&drafts[0]).unwrap();
    let lock = rustix::fs::FlockOperation::NonBlockingLockExclusive;
    rustix::fs::flock(&held, lock).unwrap();
    let (examined, left) = examine(&dir, &["--clean"]);
    assert_eq!(left, ["killed-save"]);
    assert_eq!(examined["leftovers"][0]["removed"], true);
    assert!(drafts[0].exists() && !drafts[1].exists());
    drop(held);
    let shown = dir.ok(&["doctor", "--clean"]);
    let removed = "removed  A save was killed and has left DIR/store/segments/USR/.draft-x\n";
    assert!(shown.ends_with(removed), "{shown}");
    assert_eq!(dir.assert_sound("USR"), [1]);
    assert_eq!(examine(&dir, &[]).1, [""; 0]);
}

#[test]
fn the_directory_of_a_guest_whose_keeper_was_killed_is_removed() {
    let Some(host) = Host::new() else { return };
    for name in ["killed", "alive"] {
        host.dir.ok(&["ipl", "LX", "--as", name]);
    }
    let text = fs::read_to_string(record(&host, "killed")).unwrap();
    let keeper = i32::try_from(number(&text, "keeper", "pid")).unwrap();
    kill_process(Pid::from_raw(keeper).unwrap(), Signal::KILL).unwrap();
    wait_until("QEMU ends with its keeper", || host.emulators().len() == 1);
    let (examined, left) = examine(&host.dir, &[]);
    assert_eq!(left, ["stale-guest", "stale-sockets"]);
    let what = examined["leftovers"][0]["what"].as_str().unwrap();
    let expected = "Guest killed has no keeper any more: directory DIR/run/guests/killed";
    assert_eq!(what, expected);
    assert!(record(&host, "killed").exists());
    assert_eq!(sockets(&host.dir).len(), 2);

    examine(&host.dir, &["--clean"]);
    assert!(!host.dir.path("run/guests/killed").exists());
    assert_eq!(sockets(&host.dir).len(), 1, "one is the other guest's");
    assert_eq!(examine(&host.dir, &[]).1, [""; 0]);
    assert_eq!(host.ready_guests(), ["alive"]);
}

#[test]
fn the_sockets_of_a_killed_boot_are_removed() {
    if Qemu::find().map_err(skip).is_err() {
        return;
    }
    let dir = Dir::new();
    let mut child = start_hanging_guest(&dir, &[]);
    let [path] = sockets(&dir).try_into().unwrap();
    assert_eq!(examine(&dir, &["--clean"]).1, [""; 0], "it runs");
    assert!(path.join("qmp").exists());
    child.kill().unwrap();
    child.wait().unwrap();

    let (examined, left) = examine(&dir, &[]);
    assert_eq!(left, ["stale-sockets"]);
    let what = examined["leftovers"][0]["what"].as_str().unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let expected = format!("A process with a guest has ended and left DIR/tmp/{name}");
    assert_eq!(what, expected);
    assert!(path.exists());
    examine(&dir, &["--clean"]);
    assert!(sockets(&dir).is_empty());
    assert_eq!(examine(&dir, &[]).1, [""; 0]);
}

#[test]
fn a_qemu_without_a_keeper_is_killed_and_no_other() {
    let Some(host) = Host::new() else { return };
    for name in ["alive", "orphan", "gone"] {
        host.dir.ok(&["ipl", "LX", "--as", name]);
    }
    // QEMU ends with its keeper, so one that has lost it is made by a record of another keeper: of a
    // process with our keeper's number and another start.
    let path = record(&host, "orphan");
    let text = fs::read_to_string(&path).unwrap();
    let start = number(&text, "keeper", "start_ticks");
    let forged = text.replacen(
        &format!("start_ticks = {start}\n"),
        &format!("start_ticks = {}\n", start + 1),
        1,
    );
    fs::write(&path, forged).unwrap();
    // And one whose directory was removed.
    fs::remove_dir_all(host.dir.path("run/guests/gone")).unwrap();

    let (examined, left) = examine(&host.dir, &[]);
    assert_eq!(left, ["stale-guest", "stale-guest"]);
    let what = |index: usize| examined["leftovers"][index]["what"].as_str().unwrap();
    assert!(
        what(0).starts_with("Guest gone has no keeper any more: QEMU "),
        "{}",
        what(0)
    );
    assert!(
        what(1).contains(" still runs, directory DIR/run/guests/orphan"),
        "{}",
        what(1)
    );
    assert_eq!(host.emulators().len(), 3, "nothing is done yet");

    let (examined, _) = examine(&host.dir, &["--clean"]);
    let left = examined["leftovers"].as_array().unwrap();
    assert!(left.iter().all(|one| one["removed"] == true), "{left:?}");
    wait_until("one QEMU is left", || host.emulators().len() == 1);
    assert_eq!(host.ready_guests(), ["alive"]);
    assert_eq!(examine(&host.dir, &[]).1, [""; 0]);
}
