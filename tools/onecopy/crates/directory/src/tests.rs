// SPDX-License-Identifier: GPL-2.0

//! Tests of open directories.

use std::os::unix::fs::symlink;
use std::os::unix::fs::PermissionsExt;

use super::*;

fn open() -> (tempfile::TempDir, Directory) {
    let root = tempfile::tempdir().unwrap();
    let directory = Directory::create(&root.path().join("a/b")).unwrap();
    (root, directory)
}

#[test]
fn links_are_not_followed() {
    let (root, directory) = open();
    let outside = root.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("f"), "secret").unwrap();
    symlink(&outside, directory.path("child")).unwrap();
    symlink(outside.join("f"), directory.path("f")).unwrap();
    for error in [
        directory.read("f").unwrap_err(),
        directory.child("child").unwrap_err(),
        directory.create_child("child").unwrap_err(),
    ] {
        assert!(matches!(error, Error::Link(_)), "{error}");
    }
    // A draft is never written through one.
    symlink(outside.join("f"), directory.path(DRAFT)).unwrap();
    directory.replace("f", "ours").unwrap();
    assert_eq!(fs::read_to_string(outside.join("f")).unwrap(), "secret");
    assert_eq!(directory.read("f").unwrap().as_deref(), Some("ours"));
}

#[test]
fn what_is_no_small_file_is_refused() {
    let (_root, directory) = open();
    fs::create_dir(directory.path("d")).unwrap();
    let large = File::create(directory.path("large")).unwrap();
    large.set_len(MAX_BYTES + 1).unwrap();
    for name in ["d", "large"] {
        let error = directory.read(name).unwrap_err();
        assert!(error.to_string().starts_with("Cannot read "), "{error}");
    }
}

#[test]
fn the_directory_stays_when_its_path_leads_elsewhere() {
    let (root, directory) = open();
    directory.replace("f", "ours").unwrap();
    fs::rename(root.path().join("a"), root.path().join("moved")).unwrap();
    assert_eq!(directory.read("f").unwrap().as_deref(), Some("ours"));
}

#[test]
fn a_directory_that_others_can_write_to_is_not_ours() {
    let (_root, directory) = open();
    let check = |mode: u32, sticky: bool| {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(&directory.path, permissions).unwrap();
        directory.check_ours(sticky)
    };
    check(0o755, false).unwrap();
    check(0o1777, true).unwrap();
    for (mode, sticky) in [(0o775, true), (0o757, true), (0o1777, false)] {
        let error = check(mode, sticky).unwrap_err();
        assert!(matches!(error, Error::Writable { .. }), "{error}");
    }
    if !geteuid().is_root() {
        return;
    }
    check(0o755, false).unwrap();
    std::os::unix::fs::chown(&directory.path, Some(12345), None).unwrap();
    let error = directory.check_ours(true).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Owner {
                owner: 12345,
                us: 0,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn names_are_those_of_the_open_directory() {
    let (_root, directory) = open();
    directory.replace("f", "ours").unwrap();
    directory.create_child("d").unwrap();
    let mut names = directory.names().unwrap();
    names.sort();
    assert_eq!(names, ["d", "f"]);
    let mode = |name: &str| directory.path(name).metadata().unwrap().mode() & 0o777;
    directory.create_child_with("private", 0o700).unwrap();
    assert_eq!(mode("private"), 0o700);
}
