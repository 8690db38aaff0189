// SPDX-License-Identifier: GPL-2.0

//! `onecopy defseg`, what `saveseg` makes of a definition, and restricted segment spaces.

use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::attach::Plain;
use crate::boot::boot;
use crate::full_disk::run_on_small_disk;
use crate::guest::Action;
use crate::partition_table;
use crate::util::eqnice;
use crate::util::refused;
use crate::util::Dir;

/// How many moments a save is killed at.
const MOMENTS: u32 = 12;

fn dir() -> Dir {
    let dir = Dir::new();
    dir.file("a.img", "content");
    dir
}

#[test]
fn a_segment_space_is_saved_as_it_was_defined() {
    let dir = dir();
    let defseg = [
        "defseg",
        "tools",
        "--member",
        "py,size=3M",
        "--member",
        "GCC,type=ew",
    ];
    let heap = ["--member", "HEAP,type=EN,size=2M"];
    let args = [&defseg[..], &heap].concat();
    let said = "DEFSEG TOOLS PY SR 4 MiB, GCC EW, HEAP EN 2 MiB\n";
    eqnice!(dir.ok(&[&args[..], &["--dry-run"]].concat()), said);
    assert!(!dir.path("store").exists());
    eqnice!(dir.ok(&args), said);
    eqnice!(
        dir.ok(&["query", "seg"]),
        "SPACE  MEMBER  TYPE  GEN  CLASS  USERS  OFFSET  SIZE   DAX  SAVED\n\
         TOOLS  PY      SR    -    S      0      -       4 MiB  -    -\n\
         TOOLS  GCC     EW    -    S      0      -       -      -    -\n\
         TOOLS  HEAP    EN    -    S      0      -       2 MiB  -    -\n"
    );
    let json = dir.ok(&["query", "seg", "TOOLS", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let skeleton = &json["skeletons"][0];
    assert_eq!(skeleton["class"], "S");
    assert_eq!(skeleton["members"][0]["size_bytes"], 4 << 20);
    assert_eq!(
        skeleton["members"][1]["size_bytes"],
        serde_json::Value::Null
    );
    assert_eq!(skeleton["path"], "DIR/store/segments/TOOLS/definition.toml");

    assert_eq!(
        refused(&dir, &["saveseg", "TOOLS", "--member", "PY=a.img"], 4),
        "TOOLS was defined with member GCC, and nothing is given for it; define it again, or leave out \
         what contradicts"
    );
    let args = [
        "saveseg",
        "TOOLS",
        "--member",
        "GCC=a.img",
        "--member",
        "PY=a.img",
    ];
    eqnice!(
        dir.ok(&args),
        "TOOLS generation 1: 3 members, 10 MiB, DIR/store/segments/TOOLS/1.seg\n"
    );
    assert_eq!(dir.run(&["query", "seg", "--verify"]).code, Some(0));
    eqnice!(
        dir.ok(&["query", "seg"]),
        "SPACE  MEMBER  TYPE  GEN  CLASS  USERS  OFFSET  SIZE   DAX  SAVED\n\
         TOOLS  PY      SR    1    A      0      2 MiB   4 MiB  yes  TIME\n\
         TOOLS  GCC     EW    1    A      0      6 MiB   2 MiB  yes  TIME\n\
         TOOLS  HEAP    EN    1    A      0      8 MiB   2 MiB  yes  TIME\n"
    );
    // The definition is used up.
    assert_eq!(
        refused(&dir, &["saveseg", "TOOLS"], 1),
        "Nothing says what TOOLS holds: it was not defined; --from-dir, --from-image or --member does"
    );
}

#[test]
fn what_cannot_be_or_contradicts_is_refused() {
    let dir = dir();
    for (args, expected) in [
        (
            &["defseg", "A", "--member", "X", "--member", "X"][..],
            "A cannot be defined: member X: there are two of this name",
        ),
        (
            &["defseg", "A", "--type", "EN"],
            "A cannot be defined: member A: type EN has no content, so it needs a size",
        ),
        (
            &["defseg", "A", "--type", "SN", "--size", "2M"],
            "A cannot be defined: member A: type SN is shared memory that is zero in the beginning, which \
             a file cannot give",
        ),
        (
            &["defseg", "A", "--member", "X,type=SW", "--member", "Y"],
            "A cannot be defined: members X (SW) and Y (SR) cannot be mapped together: stores to SW members \
             reach the file, those to others must not",
        ),
    ] {
        assert_eq!(refused(&dir, args, 1), expected);
    }
    for args in [
        &["defseg", "A", "--restricted"][..],
        &["defseg", "A", "--allow", "web"],
        &["defseg", "A", "--member", "X,colour=red"],
    ] {
        assert_eq!(dir.run(args).code, Some(2), "{args:?}");
    }
    assert!(!dir.path("store").exists());

    dir.ok(&["defseg", "USR", "--size", "2M"]);
    assert_eq!(
        refused(&dir, &["saveseg", "USR", "--from-image", "a.img", "--type", "EW"], 4),
        "USR was defined with member USR of type SR, and not EW; define it again, or leave out what \
         contradicts"
    );
    dir.file("large.img", vec![1; 3 << 20]);
    assert_eq!(
        refused(&dir, &["saveseg", "USR", "--from-image", "large.img"], 4),
        "Member USR needs 4 MiB, and was defined with 2 MiB"
    );
    assert_eq!(
        refused(&dir, &["boot", "--kernel", "nosuch", "--segment", "USR"], 3),
        "Cannot attach segments from DIR/store: There is no segment USR; nothing has been saved"
    );

    let path = dir.path("store/segments/USR/definition.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"SR\"", "\"SX\"")).unwrap();
    let damage =
        "The definition DIR/store/segments/USR/definition.toml cannot be used: line 8, column \
                  8: \"SX\" is not a type of a segment";
    let args = ["saveseg", "USR", "--from-image", "a.img"];
    assert_eq!(refused(&dir, &args, 6), damage);
    let ran = dir.run(&["query", "seg"]);
    eqnice!(ran.stderr, format!("onecopy: {damage}\n"));
    assert_eq!(ran.code, Some(6));
    eqnice!(dir.ok(&["purge", "seg", "USR"]), "USR skeleton: removed\n");
    dir.ok(&args);
}

#[test]
fn a_restricted_segment_space_is_attached_only_by_its_guests() {
    let Some(guest) = Plain::start() else { return };
    let dir = &guest.dir;
    let args = [
        "defseg",
        "LOCAL",
        "--restricted",
        "--allow",
        "db",
        "--allow",
        "onecopy",
    ];
    eqnice!(dir.ok(&args), "DEFSEG LOCAL LOCAL SR RSTD\n");
    eqnice!(
        dir.ok(&["saveseg", "LOCAL", "--from-image", "a.img"]),
        "LOCAL generation 1, class R: 1 member, 4 MiB, DIR/store/segments/LOCAL/1.seg\n"
    );
    eqnice!(
        dir.ok(&["query", "seg", "local"]),
        format!(
            "SPACE  MEMBER  TYPE  GEN  CLASS  USERS  OFFSET  SIZE   DAX  {:20}  ALLOW\n\
             LOCAL  LOCAL   SR    1    R      0      2 MiB   2 MiB  yes  TIME  db,onecopy\n",
            "SAVED"
        )
    );
    let start = "Cannot attach segments from DIR/store: ";
    let refusal = |guest: &str| {
        format!("{start}Guest {guest} may not attach LOCAL, which is restricted to: db, onecopy")
    };
    assert_eq!(refused(dir, &["attach", "web", "LOCAL"], 7), refusal("web"));
    let run = |name: &str| {
        let args = ["--segment", "LOCAL", "--name", name];
        dir.finish(&mut boot(dir, Action::PowerOff, &args))
    };
    let ran = run("web");
    assert_eq!(ran.code, Some(7));
    eqnice!(ran.stderr, format!("onecopy: {}\n", refusal("web")));
    assert_eq!(run("db").code, Some(0));
    let define = |name: &'static str| {
        [
            "partition",
            "define",
            name,
            "--kernel",
            "LX",
            "--memory",
            "512M",
            "--segment",
            "LOCAL",
        ]
    };
    partition_table::put_system(&dir.path("store"), "LX", "aa11", "");
    assert_eq!(refused(dir, &define("web"), 7), refusal("web"));
    dir.ok(&define("db"));
    // A guest that gets a name later is not known yet.
    assert_eq!(
        refused(dir, &["ipl", "LX", "--segment", "LOCAL", "--foreground"], 7),
        format!("{start}LOCAL is restricted to: db, onecopy; the guest needs one of these names")
    );
    let list = dir.path("store/segments/LOCAL/1.toml");
    fs::write(&list, "format = 1\n").unwrap();
    assert_eq!(
        refused(dir, &["attach", "web", "LOCAL"], 6),
        "The definition DIR/store/segments/LOCAL/1.toml cannot be used: line 1, column 1: missing field \
         `restricted`"
    );
    // The next one is for all again, and the list goes with its generation.
    dir.ok(&["saveseg", "LOCAL", "--from-image", "a.img"]);
    assert!(!list.exists());
    dir.ok(&["attach", "web", "LOCAL"]);
}

#[test]
fn a_save_that_is_killed_leaves_the_definition_or_its_generation() {
    let dir = dir();
    let defseg = ["defseg", "USR", "--restricted", "--allow", "web"];
    let skeleton = dir.path("store/segments/USR/definition.toml");
    for moment in 0..MOMENTS {
        dir.ok(&defseg);
        let mut command = dir.command(&["saveseg", "USR", "--from-image", "a.img"]);
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(2) * moment);
        child.kill().unwrap();
        child.wait().unwrap();
        let listed = dir.ok(&["query", "seg", "USR", "--json"]);
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        for space in listed["segment_spaces"].as_array().unwrap() {
            // One that never became current is of class P.
            assert_eq!(space["restricted"], true, "{listed}");
        }
        if !skeleton.exists() {
            assert!(listed["segment_spaces"][0].is_object(), "{listed}");
        }
    }
    dir.ok(&defseg);
    dir.ok(&["saveseg", "USR", "--from-image", "a.img"]);
    let names = fs::read_dir(dir.path("store/segments/USR")).unwrap();
    assert_eq!(names.count(), 4, "lock, generation, its list, current");
}

#[test]
fn a_full_disk_leaves_the_old_definition() {
    let dir = dir();
    let Some(said) = run_on_small_disk(
        &dir,
        "$onecopy defseg USR --restricted --allow web
         dd if=/dev/zero of=store/full bs=4096 2>/dev/null
         $onecopy defseg USR 2>&1; echo \"exit $?\"
         $onecopy saveseg USR --from-image a.img 2>&1; echo \"exit $?\"
         rm store/full
         $onecopy saveseg USR --from-image a.img",
    ) else {
        return;
    };
    let start = "DEFSEG USR USR SR RSTD\nonecopy: Cannot write \
                 DIR/store/segments/USR/definition.toml: No space left on device (os error 28)\nexit 5\n";
    assert!(said.starts_with(start), "{said}");
    let end = "No space left on device (os error 28)\nexit 5\nUSR generation 1, class R: 1 member, 4 MiB, \
               DIR/store/segments/USR/1.seg\nleft: .lock 1.seg 1.toml current \n";
    assert!(said.ends_with(end), "{said}");
}
