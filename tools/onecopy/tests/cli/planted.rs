// SPDX-License-Identifier: GPL-2.0

//! Who can put something into the store and the run directory, and what is done with what somebody has
//! put there.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::chown;
use std::os::unix::fs::symlink;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::mknodat;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::CWD;

use crate::saved::Host;
use crate::util::eqnice;
use crate::util::Dir;
use crate::util::PROGRAM;

/// Prepares a run of the program by somebody who lets everybody write to everything.
fn careless(dir: &Dir, args: &[&str]) -> Command {
    let mut shell = dir.command(&[]);
    let program = shell.get_program().to_owned();
    assert_eq!(program, PROGRAM);
    let environment: Vec<_> = shell
        .get_envs()
        .map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned)))
        .collect();
    shell = Command::new("sh");
    shell
        .args(["-c", "umask 000; exec \"$@\"", "sh", PROGRAM])
        .args(args);
    shell.current_dir(dir.path(""));
    for (name, value) in environment {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

#[track_caller]
fn careless_ok(dir: &Dir, args: &[&str]) {
    let ran = dir.finish(&mut careless(dir, args));
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{args:?}");
}

/// Returns everything below a directory with its permissions, except links.
fn permissions(directory: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        let mode = directory.metadata().unwrap().mode();
        found.push((directory.display().to_string(), mode));
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            if metadata.is_dir() {
                directories.push(path);
            } else if !metadata.is_symlink() {
                found.push((path.display().to_string(), metadata.mode()));
            }
        }
    }
    found
}

#[track_caller]
fn nobody_else_writes(directory: &Path) {
    for (path, mode) in permissions(directory) {
        assert_eq!(mode & 0o022, 0, "{path}: {mode:o}");
    }
}

#[test]
fn others_cannot_write_to_a_store_whatever_the_umask_is() {
    let dir = Dir::new();
    dir.file("data", [1; 4096]);
    careless_ok(
        &dir,
        &["saveseg", "DATA", "--from-image", "data", "--type", "SW"],
    );
    let ranges = ["0-FFF", "EW", "1000-17FF", "SR", "1800-5FFF", "EN"];
    careless_ok(&dir, &[&["defsys", "LX"], &ranges[..]].concat());
    nobody_else_writes(&dir.path("store"));
}

#[test]
fn others_cannot_enter_the_directories_of_guests_whatever_the_umask_is() {
    let Some(host) = Host::empty() else { return };
    careless_ok(&host.dir, &host.save_arguments());
    careless_ok(&host.dir, &["ipl", "LX", "--as", "web"]);
    nobody_else_writes(&host.dir.path("store"));
    let guests = host.dir.path("run/guests");
    for (path, mode) in permissions(&guests) {
        let is_lock = path.ends_with("/.lock");
        assert!(is_lock || mode & 0o077 == 0, "{path}: {mode:o}");
    }
    let names = fs::read_dir(guests.join("web")).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    for name in ["console", "console.log", "guest.toml", "qmp"] {
        assert!(names.iter().any(|found| found == name), "{names:?}");
    }
}

#[test]
fn a_run_directory_that_others_can_write_to_is_refused() {
    let dir = Dir::new();
    let run = dir.path("run");
    let guests = run.join("guests");
    fs::create_dir_all(&guests).unwrap();
    let mode = |path: &Path, mode: u32| {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    let refusals = [
        ["query", "guests"].as_slice(),
        &["logoff", "web"],
        &["console", "web"],
    ];
    for (path, shown) in [(&run, "DIR/run"), (&guests, "DIR/run/guests")] {
        mode(path, 0o777);
        for args in refusals {
            let ran = dir.run(args);
            assert_eq!(ran.code, Some(7), "{args:?}");
            let expected = format!(
                "onecopy: Others can write to {shown} (mode 0777), and make us believe anything; chmod go-w \
                 {shown} if it was nobody who should not\n"
            );
            eqnice!(ran.stderr, expected);
        }
        mode(path, 0o755);
        dir.ok(&["query", "guests"]);
    }
    if !rustix::process::geteuid().is_root() {
        return;
    }
    chown(&guests, Some(12345), None).unwrap();
    for args in refusals {
        let ran = dir.run(args);
        assert_eq!(ran.code, Some(7), "{args:?}");
        let start = "onecopy: DIR/run/guests belongs to user 12345, ";
        assert!(ran.stderr.starts_with(start), "{}", ran.stderr);
    }
}

#[test]
fn links_in_the_run_directory_are_not_followed() {
    let dir = Dir::new();
    let outside = dir.path("outside");
    fs::create_dir_all(&outside).unwrap();
    fs::create_dir_all(dir.path("run")).unwrap();
    symlink(&outside, dir.path("run/guests")).unwrap();
    let ran = dir.run(&["query", "guests"]);
    assert_eq!(ran.code, Some(6));
    eqnice!(
        ran.stderr,
        "onecopy: DIR/run/guests is a symbolic link, which is not followed; put the file itself there\n"
    );
    assert!(fs::read_dir(&outside).unwrap().next().is_none());
}

#[test]
fn a_manager_locks_no_file_that_somebody_else_has_put_there() {
    let dir = Dir::new();
    let [run, outside] = ["run", "outside"].map(|name| dir.path(name));
    fs::create_dir_all(&run).unwrap();
    fs::set_permissions(&run, Permissions::from_mode(0o1777)).unwrap();
    let lock = run.join(".vmrm.lock");
    symlink(&outside, &lock).unwrap();
    let ran = dir.run(&["vmrm", "run", "--once"]);
    assert_eq!(ran.code, Some(6), "{}", ran.stderr);
    eqnice!(
        ran.stderr,
        "onecopy: DIR/run/.vmrm.lock is a symbolic link, which is not followed; put the file itself there\n"
    );
    assert!(!outside.exists());

    // Nobody reads it, so opening it could take for ever.
    fs::remove_file(&lock).unwrap();
    mknodat(CWD, &lock, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let ran = dir.run(&["vmrm", "run", "--once"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let complaint = "onecopy: Cannot open DIR/run/.vmrm.lock: ";
    assert!(ran.stderr.starts_with(complaint), "{}", ran.stderr);

    fs::remove_file(&lock).unwrap();
    fs::set_permissions(&run, Permissions::from_mode(0o777)).unwrap();
    assert_eq!(dir.run(&["vmrm", "run", "--once"]).code, Some(7));
    assert!(!lock.exists());
}

#[test]
fn a_link_in_the_place_of_a_guest_is_no_guest() {
    let Some(host) = Host::new() else { return };
    host.dir.ok(&["ipl", "LX", "--as", "web"]);
    let guests = host.dir.path("run/guests");
    symlink("web", guests.join("db")).unwrap();
    assert_eq!(host.ready_guests(), ["web"]);
    let ran = host.dir.run(&["logoff", "db", "--now"]);
    assert!(ran.stderr.contains("There is no guest db"), "{ran:?}");
    // A guest of that name gets a directory of its own.
    host.dir.ok(&["ipl", "LX", "--as", "db"]);
    assert!(guests.join("db").symlink_metadata().unwrap().is_dir());
    assert_eq!(host.ready_guests(), ["db", "web"]);
}

#[test]
fn links_in_the_store_are_not_followed() {
    let dir = Dir::new();
    let outside = dir.path("outside");
    fs::create_dir_all(&outside).unwrap();
    for kind in ["systems", "segments"] {
        fs::create_dir_all(dir.path("store").join(kind)).unwrap();
    }
    symlink(&outside, dir.path("store/systems/LX")).unwrap();
    symlink(&outside, dir.path("store/segments/DATA")).unwrap();
    dir.file("data", [1; 4096]);
    let ranges = ["0-FFF", "EW", "1000-17FF", "SR", "1800-5FFF", "EN"];
    for (args, link) in [
        (
            ["defsys", "LX"].iter().chain(&ranges).copied().collect(),
            "systems/LX",
        ),
        (
            vec!["saveseg", "DATA", "--from-image", "data"],
            "segments/DATA",
        ),
    ] {
        let ran = dir.run(&args);
        assert_eq!(ran.code, Some(6), "{args:?}");
        let expected = format!(
            "onecopy: DIR/store/{link} is a symbolic link, which is not followed; put the file itself there\n"
        );
        eqnice!(ran.stderr, expected);
    }
    assert!(fs::read_dir(&outside).unwrap().next().is_none());
}

#[test]
fn nothing_is_written_or_removed_through_links_beside_a_generation() {
    let dir = Dir::new();
    dir.file("data", [1; 4096]);
    let outside = dir.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("f"), "secret").unwrap();
    let save = ["saveseg", "DATA", "--from-image", "data"];
    dir.ok(&save);
    let place = dir.path("store/segments/DATA");
    let plant = |names: &[&str], target: &Path| {
        for name in names {
            symlink(target, place.join(name)).unwrap();
        }
    };
    plant(
        &[".draft", ".draft-a", ".current", "2.toml"],
        &outside.join("f"),
    );
    plant(&[".draft-b", "definition.toml"], &outside);
    // The skeleton is one that cannot be read, and the others are only leftovers.
    let ran = dir.run(&save);
    assert_eq!(ran.code, Some(6), "{ran:?}");
    let said = "DATA/definition.toml is a symbolic link, which is not followed";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    fs::remove_file(place.join("definition.toml")).unwrap();
    dir.ok(&save);
    plant(&["3.seg", "definition.toml"], &outside.join("f"));
    dir.ok(&["purge", "seg", "DATA"]);
    let left: Vec<_> = fs::read_dir(&place).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");

    fs::remove_file(place.join(".lock")).unwrap();
    plant(&[".lock"], &outside.join("new"));
    let ran = dir.run(&save);
    assert_eq!(ran.code, Some(6));
    eqnice!(
        ran.stderr,
        "onecopy: DIR/store/segments/DATA/.lock is a symbolic link, which is not followed; put the file itself there\n"
    );
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(outside.join("f")).unwrap(), "secret");
}

#[test]
fn the_current_generation_is_one_of_the_store() {
    let dir = Dir::new();
    dir.file("data", [1; 4096]);
    dir.ok(&["saveseg", "DATA", "--from-image", "data"]);
    let segments = dir.path("store/segments");
    fs::copy(segments.join("DATA/1.seg"), dir.path("1.seg")).unwrap();
    let current = segments.join("DATA/current");
    fs::remove_file(&current).unwrap();
    symlink("../../../1.seg", &current).unwrap();
    let ran = dir.run(&["query", "seg", "DATA"]);
    assert_eq!(ran.code, Some(6));
    let said = "DIR/store/segments/DATA/current leads to ../../../1.seg, which is no generation";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);

    // A generation that is a link is none either.
    fs::remove_file(&current).unwrap();
    symlink("2.seg", &current).unwrap();
    symlink("../../../1.seg", segments.join("DATA/2.seg")).unwrap();
    let ran = dir.run(&["query", "seg", "DATA"]);
    assert_eq!(ran.code, Some(6));
    assert!(
        ran.stderr.contains("DATA/2.seg is a symbolic link"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_saved_system_that_is_a_link_is_not_started() {
    let Some(host) = Host::new() else { return };
    fs::rename(host.file("1"), host.dir.path("1")).unwrap();
    symlink(host.dir.path("1"), host.file("1")).unwrap();
    let ran = host.dir.run(&["ipl", "LX", "--as", "web"]);
    assert_eq!(ran.code, Some(6));
    let said = "DIR/store/systems/LX/1 is a symbolic link, which is not followed";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
}
