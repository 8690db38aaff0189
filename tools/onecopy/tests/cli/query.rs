// SPDX-License-Identifier: GPL-2.0

//! `onecopy query seg`

use std::fs;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use crate::util::eqnice;
use crate::util::Dir;

/// SHA-256 of "hello" and zeroes up to 2 MiB, computed with sha256sum(1).
const HELLO_SHA256: &str = "10166af465c4d6086ad93a748fe154c3aad7f74c976e421798f1ea7f4bcf586b";

fn save(dir: &Dir, name: &str, content: &str) {
    dir.file("a.img", content);
    dir.ok(&["saveseg", name, "--from-image", "a.img"]);
}

/// Who owns nothing.
const NOBODY: u32 = 65534;

/// Changes one byte of a file that nobody should change.
fn corrupt(path: &Path, offset: u64) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
}

#[test]
fn an_empty_store_lists_nothing() {
    let dir = Dir::new();
    eqnice!(
        dir.ok(&["query", "seg"]),
        "SPACE  MEMBER  TYPE  GEN  CLASS  USERS  OFFSET  SIZE  DAX  SAVED\n"
    );
    eqnice!(
        dir.ok(&["query", "seg", "--json"]),
        "{\n  \"segment_spaces\": [],\n  \"skeletons\": [],\n  \"invalid\": []\n}\n"
    );
}

#[test]
fn segment_spaces_are_listed_by_name() {
    let dir = Dir::new();
    save(&dir, "USR", "hello");
    save(&dir, "PY", "hello");
    save(&dir, "USR", "hello again");
    eqnice!(
        dir.ok(&["query", "seg"]),
        "SPACE  MEMBER  TYPE  GEN  CLASS  USERS  OFFSET  SIZE   DAX  SAVED\n\
         PY     PY      SR    1    A      0      2 MiB   2 MiB  yes  TIME\n\
         USR    USR     SR    2    A      0      2 MiB   2 MiB  yes  TIME\n"
    );
    eqnice!(
        dir.ok(&["query", "seg", "py", "--verify"]),
        "SPACE  MEMBER  TYPE  GEN  CLASS  USERS  OFFSET  SIZE   DAX  SAVED  CHECK\n\
         PY     PY      SR    1    A      0      2 MiB   2 MiB  yes  TIME   intact\n"
            .replace("TIME   ", "TIME  ")
            .replace("SAVED  CHECK", &format!("{:20}  CHECK", "SAVED"))
    );
}

#[test]
fn a_missing_segment_space_is_reported_with_what_exists() {
    let dir = Dir::new();
    let ran = dir.run(&["query", "seg", "NOSUCH"]);
    assert_eq!(ran.code, Some(3));
    eqnice!(
        ran.stderr,
        "onecopy: There is no segment space NOSUCH in DIR/store; nothing has been saved there\n"
    );
    save(&dir, "USR", "hello");
    save(&dir, "PY", "hello");
    let ran = dir.run(&["query", "seg", "NOSUCH"]);
    eqnice!(
        ran.stderr,
        "onecopy: There is no segment space NOSUCH in DIR/store; there are: PY, USR\n"
    );
}

#[test]
fn json_has_the_documented_form() {
    let dir = Dir::new();
    save(&dir, "USR", "hello");
    let json: serde_json::Value =
        serde_json::from_str(&dir.ok(&["query", "seg", "--json", "--verify"])).unwrap();
    let saved = &json["segment_spaces"][0]["members"][0]["saved_unix_seconds"];
    assert!(saved.as_u64().unwrap() > 1_700_000_000, "{saved}");
    let expected = serde_json::json!({
        "segment_spaces": [{
            "name": "USR",
            "group": "default",
            "generation": 1,
            "class": "A",
            "users": [],
            "generations": [1],
            "restricted": false,
            "allow": [],
            "size_bytes": 4 << 20,
            "path": "DIR/store/segments/USR/1.seg",
            "members": [{
                "name": "USR",
                "type": "SR",
                "offset_bytes": 2 << 20,
                "size_bytes": 2 << 20,
                "generation": 1,
                "saved_unix_seconds": saved,
                "sha256": HELLO_SHA256,
                "dax": true,
                "check": "intact",
            }],
        }],
        "skeletons": [],
        "invalid": [],
    });
    assert_eq!(json, expected);
}

#[test]
fn a_changed_byte_is_found() {
    let dir = Dir::new();
    save(&dir, "USR", "hello");
    save(&dir, "PY", "hello");
    corrupt(&dir.path("store/segments/USR/1.seg"), (2 << 20) + 12345);
    dir.ok(&["query", "seg"]);
    let ran = dir.run(&["query", "seg", "--verify"]);
    assert_eq!(ran.code, Some(6));
    eqnice!(
        ran.stderr,
        "onecopy: member USR of DIR/store/segments/USR/1.seg is corrupt\n"
    );
    let checks: Vec<&str> = ran
        .stdout
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .collect();
    assert_eq!(checks, ["CHECK", "intact", "CORRUPT"]);

    let ran = dir.run(&["query", "seg", "USR", "--verify", "--json"]);
    assert_eq!(ran.code, Some(6));
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json["segment_spaces"][0]["members"][0]["check"], "corrupt");
}

#[test]
fn what_guests_may_change_is_changed_and_not_corrupt() {
    let dir = Dir::new();
    dir.file("a.img", "hello");
    dir.ok(&["saveseg", "DATA", "--from-image", "a.img", "--type", "SW"]);
    let path = dir.path("store/segments/DATA/1.seg");
    let mode = path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644, "its owner's guests can write to it");
    corrupt(&path, (2 << 20) + 12345);
    let said = dir.ok(&["query", "seg", "--verify"]);
    assert!(said.ends_with("  changed\n"), "{said}");
    let json = dir.ok(&["query", "seg", "--verify", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["segment_spaces"][0]["members"][0]["check"], "changed");
}

#[test]
fn a_damaged_directory_does_not_hide_the_other_segment_spaces() {
    let dir = Dir::new();
    save(&dir, "USR", "hello");
    save(&dir, "PY", "hello");
    corrupt(&dir.path("store/segments/PY/1.seg"), 4096);
    let ran = dir.run(&["query", "seg"]);
    assert_eq!(ran.code, Some(6));
    eqnice!(
        ran.stdout,
        "SPACE  MEMBER  TYPE  GEN  CLASS  USERS  OFFSET  SIZE   DAX  SAVED\n\
         USR    USR     SR    1    A      0      2 MiB   2 MiB  yes  TIME\n"
    );
    let start = "onecopy: DIR/store/segments/PY/1.seg is not a valid segment space: ";
    assert!(ran.stderr.starts_with(start), "{}", ran.stderr);
    assert_eq!(ran.stderr.lines().count(), 1);
}

#[test]
fn who_may_not_look_at_guests_sees_what_is_in_the_store() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = Dir::new();
    save(&dir, "USR", "hello");
    let ranges = ["0-FFF", "EW", "1000-17FF", "SR", "1800-5FFF", "EN"];
    dir.ok(&[&["defsys", "LX"], &ranges[..]].concat());
    let open = |name: &str, mode: u32| {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(dir.path(name), permissions).unwrap();
    };
    open("", 0o755);
    fs::create_dir_all(dir.path("run/guests")).unwrap();
    let run = |args: &[&str]| {
        let mut command = dir.command(args);
        dir.finish(command.uid(NOBODY).gid(NOBODY))
    };
    // Directories that are ours are closed, be it one or the other.
    for closed in ["run/guests", "run"] {
        open(closed, 0o700);
        for (verb, shown) in [("seg", "\nUSR "), ("nss", "\nLX ")] {
            let ran = run(&["query", verb]);
            assert_eq!(ran.code, Some(0), "{ran:?}");
            assert!(ran.stdout.contains(shown), "{ran:?}");
            eqnice!(
                ran.stderr,
                format!(
                    "onecopy: shown without guests: Cannot open DIR/{closed}: Permission denied (os error 13)\n"
                )
            );
            let ran = run(&["query", verb, "--json"]);
            assert_eq!(ran.code, Some(0), "{ran:?}");
            serde_json::from_str::<serde_json::Value>(&ran.stdout).unwrap();
        }
        assert_eq!(run(&["query", "guests"]).code, Some(7));
    }
    open("run", 0o755);
    open("run/guests", 0o755);
    assert_eq!(run(&["query", "seg"]).stderr, "");
    // That somebody else could make us believe anything is another matter.
    open("run/guests", 0o777);
    assert_eq!(run(&["query", "seg"]).code, Some(7));
}
