// SPDX-License-Identifier: GPL-2.0

//! What stands in the store in the place of segment spaces and saved systems and is none: nothing is done
//! through it, and it hides nothing.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::schema::conforming;
use crate::util::eqnice;
use crate::util::Dir;

#[test]
fn doctor_neither_locks_nor_removes_anything_through_a_link() {
    let dir = Dir::new();
    let names = [".draft-x", "9.toml", "group"];
    for name in names {
        dir.file(&format!("outside/FOO/{name}"), "theirs");
    }
    let places = ["store/segments", "store/systems"];
    let refused = |links: [&str; 2]| {
        for args in [["doctor"].as_slice(), &["doctor", "--clean"]] {
            let ran = dir.run(args);
            assert_eq!(ran.code, Some(1), "{ran:?}");
            let expected = links.map(|link| {
                format!("onecopy: DIR/{link} is a symbolic link, which is not followed; put the file itself there\n")
            });
            eqnice!(ran.stderr, expected.concat());
            assert!(!ran.stdout.contains("Nothing is left"), "{}", ran.stdout);
            assert!(!ran.stdout.contains(".draft-x"), "{}", ran.stdout);
        }
        let left = fs::read_dir(dir.path("outside/FOO")).unwrap();
        let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        left.sort_unstable();
        assert_eq!(left, names);
    };
    fs::create_dir(dir.path("store")).unwrap();
    for place in places {
        symlink("../outside", dir.path(place)).unwrap();
    }
    refused(places);
    for place in places {
        fs::remove_file(dir.path(place)).unwrap();
        fs::create_dir(dir.path(place)).unwrap();
        symlink("../../outside/FOO", dir.path(place).join("FOO")).unwrap();
    }
    refused(["store/segments/FOO", "store/systems/FOO"]);
}

#[test]
fn what_has_the_name_of_a_segment_space_and_is_none_hides_no_other() {
    let dir = Dir::new();
    dir.file("data", [1; 4096]);
    for name in ["AAA", "ZZZ"] {
        dir.ok(&["saveseg", name, "--from-image", "data"]);
    }
    dir.file("store/segments/FOO", "no directory");
    let table = dir.ok(&["query", "seg"]);
    assert!(
        table.contains("\nAAA ") && table.contains("\nZZZ "),
        "{table}"
    );
    symlink("AAA", dir.path("store/segments/LNK")).unwrap();
    let current = dir.path("store/segments/BAD/current");
    fs::create_dir(dir.path("store/segments/BAD")).unwrap();
    dir.file("store/segments/BAD/1.seg", "");
    symlink("../AAA/1.seg", current).unwrap();
    let ran = dir.run(&["query", "seg"]);
    assert_eq!((ran.code, ran.stdout), (Some(6), table), "{}", ran.stderr);
    let expected = "onecopy: DIR/store/segments/BAD/current leads to ../AAA/1.seg, which is no generation; make it \
                    the name of one, or save the segment space again\n\
                    onecopy: DIR/store/segments/LNK is a symbolic link, which is not followed; put the file itself \
                    there\n";
    eqnice!(ran.stderr, expected);
    let ran = dir.run(&["query", "seg", "--json"]);
    let listed = conforming("query-seg", &ran.stdout);
    assert_eq!(listed["segment_spaces"].as_array().unwrap().len(), 2);
    let invalid = listed["invalid"].as_array().unwrap();
    let invalid: Vec<_> = invalid.iter().map(|one| &one["name"]).collect();
    assert_eq!(invalid, ["BAD", "LNK"]);
}

#[test]
fn what_has_the_name_of_a_saved_system_and_is_none_hides_no_other() {
    let dir = Dir::new();
    let ranges = ["0-FFF", "EW", "1000-17FF", "SR", "1800-5FFF", "EN"];
    for name in ["AAA", "ZZZ"] {
        dir.ok(&[&["defsys", name], &ranges[..]].concat());
    }
    dir.file("store/systems/FOO", "no directory");
    let table = dir.ok(&["query", "nss"]);
    assert!(
        table.contains("\nAAA ") && table.contains("\nZZZ "),
        "{table}"
    );
    symlink("AAA", dir.path("store/systems/LNK")).unwrap();
    let ran = dir.run(&["query", "nss"]);
    assert_eq!((ran.code, ran.stdout), (Some(6), table), "{}", ran.stderr);
    eqnice!(
        ran.stderr,
        "onecopy: DIR/store/systems/LNK is a symbolic link, which is not followed; put the file itself there\n"
    );
    let ran = dir.run(&["query", "nss", "--json"]);
    let listed = conforming("query-nss", &ran.stdout);
    assert_eq!(listed["invalid"].as_array().unwrap().len(), 1);
    assert_eq!(listed["invalid"][0]["name"], "LNK");
    assert_eq!(listed["invalid"][0]["generation"], Value::Null);
}

#[test]
fn doctor_sees_what_is_left_beside_what_it_cannot_look_at() {
    let dir = Dir::new();
    dir.file("data", [1; 4096]);
    dir.ok(&["saveseg", "AAA", "--from-image", "data"]);
    dir.file("store/segments/AAA/7.seg", "");
    dir.file("store/segments/FOO", "no directory");
    let left = "Nobody uses generation 7 of AAA (class P)\n";
    let shown = dir.ok(&["doctor"]);
    assert!(shown.contains(left), "{shown}");
    symlink("AAA", dir.path("store/segments/LNK")).unwrap();
    let ran = dir.run(&["doctor", "--clean"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    eqnice!(
        ran.stderr,
        "onecopy: DIR/store/segments/LNK is a symbolic link, which is not followed; put the file itself there\n"
    );
    assert!(
        ran.stdout.contains(&format!("removed  {left}")),
        "{}",
        ran.stdout
    );
    assert!(!dir.path("store/segments/AAA/7.seg").exists());
    assert_eq!(dir.assert_sound("AAA"), [1]);
}
