// SPDX-License-Identifier: GPL-2.0

//! Who may not is told so, by all verbs alike: status 7, and the reason.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use crate::guest::shared_kernel;
use crate::guest::Action;
use crate::partition_table;
use crate::schema::conforming;
use crate::util::Dir;

/// A user who owns nothing.
const NOBODY: u32 = 65534;

/// Verbs that write to the store.
const WRITING: [&str; 9] = [
    "defseg NEW --type EW --size 2M",
    "defsys NEW --kernel kernel",
    "saveseg NEW --from-image a.img",
    "savesys NEW --kernel kernel --accel tcg",
    "purge seg USR",
    "purge nss K1",
    "partition define mail --kernel K1",
    "partition upgrade web --kernel K2",
    "partition remove web",
];

/// Verbs that read the store.
const READING: [&str; 6] = [
    "query seg",
    "query nss",
    "partition list",
    "partition show web",
    "query partitions",
    "ipl K1",
];

/// Verbs that look for guests.
const ABOUT_GUESTS: [&str; 12] = [
    "query guests",
    "query memory",
    "attach web USR",
    "detach web USR",
    "console web",
    "logoff web",
    "smsg web A",
    "savesys NEW --running web",
    "top --once",
    "report -o new.html",
    "metrics",
    "metrics --textfile new.prom",
];

/// Sets the permissions of a directory and of those below it.
fn mode(directory: &Path, mode: u32) {
    let set = |mode| fs::set_permissions(directory, fs::Permissions::from_mode(mode)).unwrap();
    set(0o755);
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            self::mode(&path, mode);
        }
    }
    set(mode);
}

/// A store with a segment space, systems and a partition, in a directory that all can enter.
fn dir() -> Dir {
    let dir = partition_table::dir();
    dir.file("a.img", "content");
    shared_kernel(&dir, Action::Hang);
    dir.ok(&["saveseg", "USR", "--from-image", "a.img"]);
    dir.ok(&["partition", "define", "web", "--kernel", "K1"]);
    fs::create_dir_all(dir.path("run/guests")).unwrap();
    mode(&dir.path(""), 0o755);
    dir
}

/// Runs a verb as somebody else, who must be refused in words and in JSON.
#[track_caller]
fn refuse(dir: &Dir, verb: &str) {
    let args: Vec<&str> = verb.split(' ').collect();
    let run = |args: &[&str]| {
        let mut command = dir.command(args);
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        dir.finish(&mut command)
    };
    let ran = run(&args);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(7), ""),
        "{verb}: {ran:?}"
    );
    assert!(
        ran.stderr.starts_with("onecopy: Cannot ") && ran.stderr.contains("DIR/"),
        "{verb}: {ran:?}"
    );
    if verb == "console web" || verb.contains("--textfile") {
        return;
    }
    let ran = run(&[&args[..], &["--json"]].concat());
    assert_eq!(ran.code, Some(7), "{verb}: {ran:?}");
    let said = conforming("error", &ran.stderr);
    let causes = said["causes"].as_array().unwrap();
    let denied = "Permission denied (os error 13)";
    assert!(causes.iter().any(|cause| cause == denied), "{verb}: {said}");
}

#[test]
fn who_may_not_write_to_the_store_is_told_by_all_verbs_that_do() {
    let dir = dir();
    mode(&dir.path("store"), 0o555);
    for verb in WRITING {
        refuse(&dir, verb);
    }
    mode(&dir.path("store"), 0o755);
    dir.assert_sound("USR");
    assert_eq!(fs::read_dir(dir.path("store/systems")).unwrap().count(), 2);
}

#[test]
fn who_may_not_read_the_store_is_told_by_all_verbs_that_do() {
    let dir = dir();
    mode(&dir.path("store"), 0);
    for verb in READING.iter().chain(&WRITING) {
        refuse(&dir, verb);
    }
    mode(&dir.path("store"), 0o755);
}

#[test]
fn a_directory_that_may_not_be_read_hides_no_other() {
    let dir = dir();
    dir.ok(&["saveseg", "ABC", "--from-image", "a.img"]);
    mode(&dir.path("store"), 0o755);
    for (verb, closed, shown) in [
        ("seg", "store/segments/ABC", "USR"),
        ("nss", "store/systems/K1", "K2"),
    ] {
        mode(&dir.path(closed), 0);
        let mut command = dir.command(&["query", verb]);
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let ran = dir.finish(&mut command);
        mode(&dir.path(closed), 0o755);
        assert_eq!(ran.code, Some(7), "{ran:?}");
        let said = format!("onecopy: Cannot open DIR/{closed}: Permission denied (os error 13)\n");
        assert!(ran.stderr.ends_with(&said), "{}", ran.stderr);
        assert!(ran.stdout.contains(&format!("\n{shown} ")), "{ran:?}");
    }
}

#[test]
fn who_may_not_see_the_guests_is_told_by_all_verbs_that_look_for_them() {
    let dir = dir();
    // Where reports would be written to.
    fs::set_permissions(dir.path(""), fs::Permissions::from_mode(0o777)).unwrap();
    for directory in ["run/guests", "run"] {
        mode(&dir.path(directory), 0);
        for verb in ABOUT_GUESTS {
            refuse(&dir, verb);
        }
        mode(&dir.path("run"), 0o755);
    }
    for name in ["new.html", "new.prom"] {
        assert!(!dir.path(name).exists(), "{name}");
    }
}

#[test]
fn who_may_not_write_a_report_is_told() {
    let dir = dir();
    fs::remove_dir_all(dir.path("run")).unwrap();
    fs::create_dir(dir.path("closed")).unwrap();
    mode(&dir.path("closed"), 0o555);
    for verb in [
        "report -o closed/new",
        "metrics --textfile closed/new",
        "top --once --record closed/new",
        "man closed",
    ] {
        let args: Vec<&str> = verb.split(' ').collect();
        let mut command = dir.command(&args);
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let ran = dir.finish(&mut command);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(7), ""),
            "{verb}: {ran:?}"
        );
        assert!(ran.stderr.contains("closed"), "{verb}: {ran:?}");
    }
    assert_eq!(fs::read_dir(dir.path("closed")).unwrap().count(), 0);
    mode(&dir.path("closed"), 0o755);
}
