// SPDX-License-Identifier: GPL-2.0

//! Segment spaces that a guest does not want, and that do not keep it from those that it wants.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::fs::flock;
use rustix::fs::FlockOperation;

use crate::attach::Plain;
use crate::saved::Host;
use crate::segments::save;
use crate::util::Dir;

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
    let ignored = "onecopy: ignored: DIR/store/segments/DAMAGED/1.seg";
    assert!(ran.stderr.contains(ignored), "{ran:?}");
    assert!(!ran.stderr.contains("LOCKED"), "{ran:?}");
}

#[test]
fn a_guest_is_started_with_a_segment_whatever_others_are_like() {
    let Some(host) = Host::new() else { return };
    let dir = &host.dir;
    save(dir, "USR");
    save_tools(dir);
    let _locked = break_others(dir);
    for (guest, segment, space) in [("web", "USR", "USR"), ("db", "GCC", "TOOLS")] {
        dir.ok(&["ipl", "LX", "--as", guest, "--segment", segment]);
        let users = dir.ok(&["query", "seg", space, "--users"]);
        assert!(users.contains(guest), "{users}");
    }
}

#[test]
fn a_segment_space_that_is_wanted_and_broken_is_refused() {
    let Some(guest) = Plain::start() else { return };
    let _locked = break_others(&guest.dir);
    for (name, code) in [("DAMAGED", 3), ("LOCKED", 3)] {
        let ran = guest.dir.run(&["attach", "web", name]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(code), ""), "{ran:?}");
    }
}
