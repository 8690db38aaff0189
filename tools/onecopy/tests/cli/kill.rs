// SPDX-License-Identifier: GPL-2.0

//! A kill at any moment leaves the store as it was or as it should become.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::util::has_mkfs;
use crate::util::processes_with;
use crate::util::wait_until;
use crate::util::Dir;

/// How many moments are tried, at least.
const MOMENTS: u32 = 16;

/// How long to go on until a save was interrupted.
const DEADLINE: Duration = Duration::from_secs(120);

/// Saves once undisturbed, then kills a save at moments spread over the time that it took, until
/// at least one was really interrupted. Whatever happened, the store must be sound.
///
/// On a busy host a save can take much less time than the one before, so the time is corrected
/// whenever a save ends before it is killed.
fn kill_at_many_moments(dir: &Dir, args: &[&str]) {
    let start = Instant::now();
    dir.ok(args);
    let mut whole = start.elapsed();
    let (mut tried, mut interrupted) = (0, 0);
    while tried < MOMENTS || interrupted == 0 {
        assert!(
            tried < MOMENTS || start.elapsed() < DEADLINE,
            "none of {tried} saves was interrupted within {DEADLINE:?}"
        );
        let mut child = dir
            .command(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(whole * (tried % MOMENTS + 1) / (MOMENTS + 1));
        child.kill().unwrap();
        if child.wait().unwrap().signal() == Some(9) {
            interrupted += 1;
        } else {
            whole = whole * 3 / 4;
        }
        tried += 1;

        let generations = dir.assert_sound("USR");
        let current = dir.store().current("USR".parse().unwrap()).unwrap();
        assert!(generations.contains(&current.generation()));
    }
}

/// Returns the names in the directory of the segment space that are not generations.
fn other_names(dir: &Dir) -> Vec<String> {
    let entries = fs::read_dir(dir.path("store/segments/USR")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| !name.ends_with(".seg")).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_save_of_an_image_killed_at_any_moment_leaves_nothing_partial() {
    let dir = Dir::new();
    dir.file("a.img", vec![7; 48 << 20]);
    let args = ["saveseg", "USR", "--from-image", "a.img"];
    kill_at_many_moments(&dir, &args);
    dir.ok(&args);
    dir.assert_sound("USR");
    assert_eq!(other_names(&dir), [".lock", "current"]);
}

#[test]
fn a_save_of_a_directory_killed_at_any_moment_leaves_nothing_partial() {
    if !has_mkfs() {
        return;
    }
    let dir = Dir::new();
    for index in 0..40 {
        dir.file(&format!("tree/{index}"), vec![index; 1 << 20]);
    }
    let tree: PathBuf = dir.path("tree");
    let args = ["saveseg", "USR", "--from-dir", tree.to_str().unwrap()];
    kill_at_many_moments(&dir, &args);
    wait_until("mkfs.erofs ends with the command", || {
        processes_with(&tree).is_empty()
    });
    dir.ok(&args);
    assert_eq!(other_names(&dir), [".lock", "current"]);
}

#[test]
fn leftovers_of_a_killed_save_are_removed_by_the_next() {
    let dir = Dir::new();
    dir.file("a.img", "content");
    dir.file(
        "store/segments/USR/.draft-x",
        "half of a segment space, on a file system without O_TMPFILE",
    );
    dir.ok(&["saveseg", "USR", "--from-image", "a.img"]);
    assert_eq!(other_names(&dir), [".lock", "current"]);
}

#[test]
fn a_generation_that_never_became_current_is_removed_by_the_next_save() {
    let dir = Dir::new();
    dir.file("a.img", "content");
    let args = ["saveseg", "USR", "--from-image", "a.img"];
    dir.ok(&args);
    // A kill after the generation got its name and before it became current leaves this.
    let directory = dir.path("store/segments/USR");
    fs::copy(directory.join("1.seg"), directory.join("2.seg")).unwrap();
    symlink("2.seg", directory.join(".current")).unwrap();
    let space = dir.store().current("USR".parse().unwrap()).unwrap();
    assert_eq!(space.generation(), 1);
    dir.ok(&args);
    assert_eq!(dir.assert_sound("USR"), [2]);
    assert_eq!(other_names(&dir), [".lock", "current"]);
}

#[test]
fn a_save_that_waits_for_the_lock_goes_on_when_its_holder_is_killed() {
    let dir = Dir::new();
    dir.file("a.img", "content");
    let lock = dir.file("store/segments/USR/.lock", "");
    let mut holder = std::process::Command::new("flock")
        .arg(&lock)
        .args(["sleep", "60"])
        .spawn()
        .unwrap();
    let mut child = dir
        .command(&["saveseg", "USR", "--from-image", "a.img"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_millis(300));
    assert_eq!(child.try_wait().unwrap(), None, "it waits");
    // flock(1) hands the lock to its child, so both have to go.
    for pid in children_of(holder.id()) {
        let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
    holder.wait().unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(dir.assert_sound("USR"), [1]);
}

fn children_of(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    wait_until("flock(1) has started its command", || {
        !fs::read_to_string(&path).unwrap().is_empty()
    });
    let children = fs::read_to_string(&path).unwrap();
    children
        .split_whitespace()
        .map(|child| child.parse().unwrap())
        .collect()
}
