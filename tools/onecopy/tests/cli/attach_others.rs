// SPDX-License-Identifier: GPL-2.0

//! Segment spaces that a guest does not want, and that do not keep it from those that it wants.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::fs::PermissionsExt;

use rustix::fs::flock;
use rustix::fs::FlockOperation;

use crate::attach::Plain;
use crate::saved::Host;
use crate::segments::save;
use crate::util::refused;
use crate::util::Dir;

/// The remark about the one that is damaged.
const IGNORED: &str = "onecopy: ignored: DIR/store/segments/DAMAGED/1.seg";

/// Saves segment spaces and makes one damaged, one unreadable, and one locked as by who removes it, for as
/// long as the value lives.
fn break_others(dir: &Dir) -> fs::File {
    let file = |name: &str| {
        save(dir, name);
        dir.path("store/segments").join(name).join("1.seg")
    };
    let damaged = file("DAMAGED");
    fs::remove_file(&damaged).unwrap();
    fs::write(&damaged, "no segment space").unwrap();
    let denied = file("DENIED");
    fs::set_permissions(&denied, fs::Permissions::from_mode(0o000)).unwrap();
    let locked = fs::File::open(file("LOCKED")).unwrap();
    flock(&locked, FlockOperation::NonBlockingLockExclusive).unwrap();
    locked
}

fn save_tools(dir: &Dir) {
    let members = ["--member", "GCC=a.img", "--member", "MAKE=a.img"];
    dir.ok(&[&["saveseg", "TOOLS"][..], &members].concat());
}

#[test]
fn a_segment_is_attached_whatever_others_are_like() {
    let Some(guest) = Plain::start() else { return };
    let dir = &guest.dir;
    save_tools(dir);
    let _locked = break_others(dir);
    // Its name says where it is.
    dir.ok(&["attach", "web", "USR"]);
    assert_eq!(guest.mappings("USR/1.seg"), ["r--s"]);

    // That of a member does not, so others are looked at, and not held.
    let ran = dir.run(&["attach", "web", "MAKE"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(guest.mappings("TOOLS/1.seg"), ["r--s"]);
    assert_eq!(ran.stderr.matches(IGNORED).count(), 1, "{ran:?}");
    assert!(!ran.stderr.contains("LOCKED"), "{ran:?}");
}

#[test]
fn a_guest_is_started_with_a_segment_whatever_others_are_like() {
    let Some(host) = Host::new() else { return };
    let dir = &host.dir;
    save(dir, "USR");
    save_tools(dir);
    let _locked = break_others(dir);
    dir.ok(&["ipl", "LX", "--as", "web", "--segment", "USR"]);
    assert_used(dir, "USR", "web");

    // What its keeper has looked at and not used is said by the command.
    let ran = dir.run(&["ipl", "LX", "--as", "db", "--segment", "GCC", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_used(dir, "TOOLS", "db");
    assert_eq!(ran.stderr.matches(IGNORED).count(), 1, "{ran:?}");
    let remarks = ran.stderr.lines();
    let others = remarks.filter(|line| !line.starts_with("onecopy: ignored: "));
    assert_eq!(others.count(), 0, "{ran:?}");
    let started: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(started["guest"], "db");

    // Here the command has looked too, before there was a keeper.
    let define = ["partition", "define", "shop", "--kernel", "LX"];
    let ran = dir.run(&[&define[..], &["--segment", "MAKE"]].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = dir.run(&["ipl", "--partition", "shop"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_used(dir, "TOOLS", "shop");
    assert_eq!(ran.stderr.matches(IGNORED).count(), 1, "{ran:?}");
}

#[track_caller]
fn assert_used(dir: &Dir, space: &str, guest: &str) {
    let users = dir.ok(&["query", "seg", space, "--users"]);
    assert!(users.contains(guest), "{users}");
}

#[test]
fn a_segment_space_that_is_wanted_and_broken_is_refused() {
    let Some(guest) = Plain::start() else { return };
    let _locked = break_others(&guest.dir);
    for (name, code) in [("DAMAGED", 6), ("DAMAGED:PY", 6), ("LOCKED", 3)] {
        let ran = guest.dir.run(&["attach", "web", name]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(code), ""), "{ran:?}");
    }
}

/// Saves a segment space OLD, whose members have the names of segment spaces that are broken.
fn save_namesakes(dir: &Dir) {
    let members = ["--member", "DAMAGED=a.img", "--member", "UNLINKED=a.img"];
    dir.ok(&[&["saveseg", "OLD"][..], &members].concat());
}

#[test]
fn a_broken_segment_space_is_not_replaced_by_a_member_of_its_name() {
    let Some(guest) = Plain::start() else { return };
    let dir = &guest.dir;
    let _locked = break_others(dir);
    save_namesakes(dir);
    let broken = "Cannot attach segments from DIR/store: DIR/store/segments";
    for (name, code, expected) in [
        ("DAMAGED", 6, "DAMAGED/1.seg"),
        ("DAMAGED:UNLINKED", 6, "DAMAGED/1.seg"),
    ] {
        let complaint = refused(dir, &["attach", "web", name], code);
        let expected = format!("{broken}/{expected}");
        assert!(complaint.starts_with(&expected), "{complaint}");
    }
    let complaint = refused(
        dir,
        &["boot", "--kernel", "a.img", "--root-segment", "DAMAGED"],
        6,
    );
    assert!(complaint.starts_with(broken), "{complaint}");
    assert_eq!(guest.mappings("OLD/1.seg"), [""; 0]);

    // Without a segment space of the name the member is what is meant.
    dir.ok(&["purge", "seg", "DAMAGED"]);
    dir.ok(&["attach", "web", "DAMAGED"]);
    assert_eq!(guest.mappings("OLD/1.seg"), ["r--s"]);
}

#[test]
fn a_segment_space_whose_link_is_damaged_is_not_replaced_either() {
    let dir = Dir::new();
    save(&dir, "UNLINKED");
    save_namesakes(&dir);
    let link = dir.path("store/segments/UNLINKED/current");
    let arguments = ["boot", "--kernel", "a.img", "--segment", "UNLINKED"];
    fs::remove_file(&link).unwrap();
    symlink("../OLD/1.seg", &link).unwrap();
    let complaint = refused(&dir, &arguments, 6);
    assert!(
        complaint.contains("UNLINKED/current leads to"),
        "{complaint}"
    );
    fs::remove_file(&link).unwrap();
    fs::write(&link, "1.seg").unwrap();
    let complaint = refused(&dir, &arguments, 1);
    assert!(complaint.contains("UNLINKED/current"), "{complaint}");
}

#[test]
fn no_guest_is_started_with_a_member_instead_of_a_broken_segment_space() {
    let Some(host) = Host::new() else { return };
    let dir = &host.dir;
    let _locked = break_others(dir);
    save_namesakes(dir);
    let complaint = refused(
        dir,
        &["ipl", "LX", "--as", "web", "--segment", "DAMAGED"],
        6,
    );
    assert!(complaint.contains("DAMAGED/1.seg"), "{complaint}");
    let users = dir.ok(&["query", "seg", "OLD", "--users", "--json"]);
    assert!(!users.contains("web"), "{users}");
}
