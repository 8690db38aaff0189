// SPDX-License-Identifier: GPL-2.0

//! Classes and users of segment spaces, and `onecopy purge seg`, with guests in the foreground.

use std::fs;
use std::path::Path;
use std::process::Child;

use onecopy_machine::Qemu;
use rustix::process::Signal;

use crate::boot::start_hanging_guest;
use crate::signals::interrupt;
use crate::util::eqnice;
use crate::util::skip;
use crate::util::Dir;

const TITLE: &str = "SPACE  MEMBER  TYPE  GEN  CLASS  USERS  OFFSET  SIZE   DAX  SAVED\n";

pub(crate) fn save(dir: &Dir, name: &str) {
    dir.file("a.img", "content");
    dir.ok(&["saveseg", name, "--from-image", "a.img"]);
}

/// Starts a guest in the foreground that has USR, or says why a test does not run.
fn start(dir: &Dir) -> Option<Child> {
    Qemu::find().map_err(skip).ok()?;
    save(dir, "USR");
    Some(start_hanging_guest(dir, &["--segment", "USR"]))
}

/// Ends a guest in the foreground as Ctrl-C does.
fn end(child: Child) {
    assert_eq!(interrupt(child, Signal::INT).code, Some(1));
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != ".lock")
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn a_generation_stays_until_its_last_user_has_ended() {
    let dir = Dir::new();
    let Some(child) = start(&dir) else { return };
    save(&dir, "USR");
    save(&dir, "USR");
    let rows = "USR    USR     SR    1    P      1      2 MiB   2 MiB  yes  TIME\n\
                USR    USR     SR    3    A      0      2 MiB   2 MiB  yes  TIME\n";
    eqnice!(dir.ok(&["query", "seg"]), format!("{TITLE}{rows}"));
    let pid = child.id();
    eqnice!(
        dir.ok(&["query", "seg", "--users"]),
        format!(
            "SPACE  GEN  CLASS  USER{0:1$}  ACCESS  STATE     DEVICE\n\
             USR    1    P      process {pid}  shared  attached  -\n",
            "",
            format!("process {pid}").len() - 4
        )
    );
    let json = dir.ok(&["query", "seg", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let [old, new] = [0, 1].map(|index| &json["segment_spaces"][index]);
    assert_eq!((&old["class"], &new["class"]), (&"P".into(), &"A".into()));
    assert_eq!(old["generations"], serde_json::json!([1, 3]));
    let user = serde_json::json!({
        "guest": null, "pid": pid, "non_shared": false, "detached": false, "device": null,
    });
    assert_eq!(old["users"], serde_json::json!([user]));
    assert_eq!(new["users"], serde_json::json!([]));

    end(child);
    let directory = dir.path("store/segments/USR");
    assert_eq!(names(&directory), ["3.seg", "current"]);
    eqnice!(
        dir.ok(&["query", "seg", "usr"]),
        format!("{TITLE}{}", rows.split_inclusive('\n').nth(1).unwrap())
    );
}

#[test]
fn a_purged_name_stays_readable_for_its_users() {
    let dir = Dir::new();
    let Some(mut child) = start(&dir) else { return };
    save(&dir, "PY");
    eqnice!(
        dir.ok(&["purge", "seg", "usr"]),
        "USR generation 1: class P, removed when its last guest has ended\n"
    );
    eqnice!(
        dir.ok(&["purge", "seg", "PY"]),
        "PY generation 1: removed\n"
    );
    let row = "USR    USR     SR    1    P      1      2 MiB   2 MiB  yes  TIME\n";
    eqnice!(dir.ok(&["query", "seg", "USR"]), format!("{TITLE}{row}"));
    let ran = dir.run(&["boot", "--kernel", "kernel", "--segment", "USR"]);
    eqnice!(
        ran.stderr,
        "onecopy: Cannot attach segments from DIR/store: There is no segment USR; nothing has been \
         saved\n"
    );

    // A name that is saved again goes on counting.
    save(&dir, "USR");
    let directory = dir.path("store/segments/USR");
    assert_eq!(names(&directory), ["1.seg", "2.seg", "current"]);
    // Nobody is left who could remove it.
    child.kill().unwrap();
    child.wait().unwrap();
    let said = dir.ok(&["doctor"]);
    let left = "Nobody uses generation 1 of USR (class P)\n";
    assert!(said.contains(left), "{said}");
    let said = dir.ok(&["doctor", "--clean"]);
    assert!(said.ends_with(left), "{said}");
    assert_eq!(names(&directory), ["2.seg", "current"]);
    eqnice!(
        dir.ok(&["purge", "seg", "USR"]),
        "USR generation 2: removed\n"
    );
    assert_eq!(names(&directory), [""; 0]);
    let ran = dir.run(&["purge", "seg", "USR"]);
    eqnice!(
        ran.stderr,
        "onecopy: There is no segment space USR in DIR/store; nothing has been saved there\n"
    );
}
