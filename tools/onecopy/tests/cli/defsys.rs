// SPDX-License-Identifier: GPL-2.0

//! `onecopy defsys`, and what other verbs make of a definition.

use std::fs;

use onecopy_machine::Qemu;

use crate::full_disk::run_on_small_disk;
use crate::guest::shared_kernel;
use crate::guest::Action;
use crate::savesys::names;
use crate::util::eqnice;
use crate::util::refused;
use crate::util::skip;
use crate::util::Dir;

/// The usual division of 256 MiB for the kernel of [`shared_kernel`].
const USUAL: &str = "0-FFF EW 1000-11FF SR 1200-5FFF EW 6000-FDFF EN FE00-FFFF EW";

/// What begins every line about a kernel.
const DEFSYS: [&str; 4] = ["defsys", "lx", "--kernel", "kernel"];

/// Makes a directory with a kernel that can be saved in it.
fn dir() -> Dir {
    let dir = Dir::new();
    shared_kernel(&dir, Action::Hang);
    dir
}

fn definition(dir: &Dir) -> String {
    let text = fs::read_to_string(dir.path("store/systems/LX/definition.toml")).unwrap();
    let directory = dir.path("").to_str().unwrap().to_owned();
    text.replace(directory.trim_end_matches('/'), "DIR")
}

#[test]
fn ranges_are_shown_without_a_definition() {
    let dir = dir();
    let args = [&DEFSYS[..], &["--memory", "256M", "--dry-run"]].concat();
    eqnice!(dir.ok(&args), format!("DEFSYS LX {USUAL} MINSIZE=256M\n"));
    assert_eq!(
        refused(&dir, &[&DEFSYS[..], &["--memory", "64M"]].concat(), 1),
        "A guest of 64 MiB is too small: the kernel has 96 MiB of it"
    );
    assert!(!dir.path("store").exists());
}

#[test]
fn a_definition_is_kept_replaced_listed_and_purged() {
    let dir = dir();
    let args = [&DEFSYS[..], &["--memory", "256M"]].concat();
    dir.ok(&args);
    let text = definition(&dir);
    let (start, rest) = text.split_once("defined_unix_seconds = ").unwrap();
    eqnice!(start, "format = 1\nname = \"LX\"\n");
    let (_, rest) = rest.split_once('\n').unwrap();
    eqnice!(
        rest,
        format!("kernel = \"DIR/kernel\"\nranges = \"{USUAL}\"\nrestricted = false\n")
    );
    eqnice!(
        dir.ok(&["query", "nss"]),
        format!(
            "NAME  GEN  CLASS  USERS  MEMORY   SAVED  RANGES\n\
             LX    -    S      0      256 MiB  -      {USUAL}\n"
        )
    );

    let more = ["--restricted", "--allow", "web", "--allow", "db"];
    eqnice!(
        dir.ok(&[&args[..], &more].concat()),
        format!("DEFSYS LX {USUAL} MINSIZE=256M RSTD\n")
    );
    assert!(definition(&dir).ends_with("restricted = true\nallow = [\"web\", \"db\"]\n"));
    let title = format!("{:width$}  ALLOW\n", "RANGES", width = USUAL.len());
    eqnice!(
        dir.ok(&["query", "nss", "lx"]),
        format!(
            "NAME  GEN  CLASS  USERS  MEMORY   SAVED  {title}\
             LX    -    S      0      256 MiB  -      {USUAL}  web,db\n"
        )
    );
    let json = dir.ok(&["query", "nss", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let skeleton = &json["skeletons"][0];
    assert_eq!(skeleton["class"], "S");
    assert_eq!(skeleton["kernel"], "DIR/kernel");
    assert_eq!(skeleton["memory_bytes"], 256 << 20);
    assert_eq!(skeleton["ranges"][1]["pages"], "1000-11FF SR");
    assert_eq!(skeleton["allow"], serde_json::json!(["web", "db"]));
    assert_eq!(json["saved_systems"], serde_json::json!([]));

    assert_eq!(
        refused(&dir, &["ipl", "LX"], 4),
        "LX was defined but not saved: run savesys"
    );
    eqnice!(dir.ok(&["purge", "nss", "LX"]), "LX skeleton: removed\n");
    assert_eq!(names(&dir), [".lock"]);
    assert_eq!(
        refused(&dir, &["purge", "nss", "LX"], 3),
        "There is no saved system LX in DIR/store; nothing has been saved there"
    );
}

#[test]
fn ranges_of_the_command_line_replace_the_usual_ones() {
    let dir = dir();
    let ranges = "0-FFF EW 1000-11FF SR 1200-7FFF EW 8000-FFFF EN";
    let shown = format!("DEFSYS LX {ranges} MINSIZE=256M\n");
    let words: Vec<&str> = ranges.split(' ').collect();
    eqnice!(dir.ok(&[&DEFSYS[..], &words].concat()), shown);
    eqnice!(dir.ok(&[&DEFSYS[..], &[ranges]].concat()), shown);
    let words = [
        "0-fffEW",
        "1000-11ffsr",
        "--memory",
        "256M",
        "1200-7fffEW",
        "8000-ffffEN",
    ];
    eqnice!(dir.ok(&[&["defsys", "LX"], &words[..]].concat()), shown);
    assert!(!definition(&dir).contains("kernel"));
}

#[test]
fn ranges_that_the_kernel_cannot_be_saved_in_are_refused() {
    let dir = dir();
    for (ranges, expected) in [
        (
            "0-FFF EW 1000-11FF SR 1200-5FFF EW 6000-FFFF SW",
            "Pages 6000-FFFF cannot be SW: guests would write to each other's memory; EW, SR or \
             EN is expected",
        ),
        (
            "0-FFF EW 1000-11FF SR 1300-5FFF EW",
            "Pages 1300-5FFF are not in whole segments of 2 MiB: 200 pages, in hexadecimal",
        ),
        (
            "0-FFF EW 1000-11FF SR 1400-5FFF EW",
            "Pages 1200-13FF are in no range",
        ),
        (
            "0-FFF EW 1000-11FF EW 1200-5FFF EW",
            "Pages 1000-11FF must be SR and not EW: the kernel has its text and read-only data \
             there",
        ),
        (
            "0-FFF EW 1000-11FF SR 1200-15FF EW 1600-FFFF EN",
            "Pages 1600-33FF must be EW and not EN: the kernel allocates 32 MiB behind its image",
        ),
        (
            "0-FFF EW 1000-11FF SR 1200-17FF EW",
            "This kernel needs 52 MiB of memory for itself, and 24 MiB are given",
        ),
    ] {
        assert_eq!(
            refused(&dir, &[&DEFSYS[..], &[ranges]].concat(), 1),
            expected
        );
    }
    assert_eq!(
        refused(
            &dir,
            &[&DEFSYS[..], &[USUAL, "--memory", "512M"]].concat(),
            1
        ),
        "The ranges are 256 MiB, and the memory has 512 MiB"
    );
    assert!(!dir.path("store").exists());
}

#[test]
fn a_damaged_definition_is_reported_with_its_place() {
    let dir = dir();
    dir.ok(&DEFSYS);
    let path = dir.path("store/systems/LX/definition.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("= false", "= no")).unwrap();
    let start = "The definition DIR/store/systems/LX/definition.toml cannot be used: line 6, \
                 column 14: ";
    let said = refused(&dir, &["savesys", "LX", "--accel", "tcg"], 6);
    assert!(said.starts_with(start), "{said}");
    let ran = dir.run(&["query", "nss"]);
    assert_eq!(ran.code, Some(6));
    let start = format!("onecopy: LX skeleton: {start}");
    assert!(ran.stderr.starts_with(&start), "{}", ran.stderr);
    // It is replaced as one that is whole.
    dir.ok(&DEFSYS);
    dir.ok(&["query", "nss"]);
}

#[test]
fn what_contradicts_the_definition_is_not_saved() {
    let dir = dir();
    dir.file("other", fs::read(dir.path("kernel")).unwrap());
    let savesys = ["savesys", "LX", "--accel", "tcg"];
    let complaint = |args: &[&str], code| refused(&dir, &[&savesys[..], args].concat(), code);
    assert_eq!(
        complaint(&[], 1),
        "Nothing says which kernel LX has: it was not defined; --kernel does"
    );
    dir.ok(&["defsys", "LX", USUAL]);
    assert_eq!(
        complaint(&[], 1),
        "Nothing says which kernel LX has: it was defined without; --kernel does"
    );
    dir.ok(&[&DEFSYS[..], &["--memory", "256M"]].concat());
    let end = "; define it again, or leave out what contradicts";
    for (args, expected) in [
        (
            &["--kernel", "other"][..],
            "kernel DIR/kernel, and not other",
        ),
        (&["--memory", "512M"], "memory 256M, and not 512M"),
        (
            &["--kernel", "./kernel", "--kernel-memory", "64M"],
            "kernel memory 96M, and not 64M",
        ),
    ] {
        assert_eq!(
            complaint(args, 4),
            format!("LX was defined with {expected}{end}")
        );
    }
    // A kernel that does not fit is noticed when it is known.
    dir.ok(&["defsys", "LX", "0-11FF EW 1200-13FF SR 1400-FFFF EW"]);
    assert_eq!(
        complaint(&["--kernel", "kernel"], 4),
        "LX was defined for another kernel; define it again: Pages 1000-11FF must be SR and not \
         EW: the kernel has its text and read-only data there"
    );
    assert_eq!(names(&dir), [".lock", "definition.toml"]);
}

#[test]
fn a_save_that_fails_leaves_the_definition() {
    if Qemu::find().map_err(skip).is_err() {
        return;
    }
    let dir = dir();
    dir.ok(&DEFSYS);
    let before = definition(&dir);
    let said = refused(
        &dir,
        &["savesys", "LX", "--accel", "tcg", "--timeout", "1"],
        1,
    );
    let start = "The template of LX cannot be saved: there is no kernel where its note says";
    assert!(said.starts_with(start), "{said}");
    assert_eq!(definition(&dir), before);
    assert_eq!(names(&dir), [".lock", "definition.toml"]);
}

#[test]
fn a_full_disk_leaves_the_old_definition() {
    let dir = dir();
    let script = "$onecopy defsys LX --kernel kernel
        mkdir -p store/segments/USR; dd if=/dev/zero of=store/full bs=4096 2>/dev/null
        $onecopy defsys LX --kernel kernel --memory 1G 2>&1; echo \"exit $?\"
        $onecopy query nss; ls -A store/systems/LX";
    let Some(said) = run_on_small_disk(&dir, script) else {
        return;
    };
    let ranges = "0-FFF EW 1000-11FF SR 1200-5FFF EW 6000-1FDFF EN 1FE00-1FFFF EW";
    eqnice!(
        said,
        format!(
            "DEFSYS LX {ranges} MINSIZE=512M\n\
             onecopy: Cannot write DIR/store/systems/LX/definition.toml: No space left on device \
             (os error 28)\n\
             exit 5\n\
             NAME  GEN  CLASS  USERS  MEMORY   SAVED  RANGES\n\
             LX    -    S      0      512 MiB  -      {ranges}\n\
             .lock\ndefinition.toml\nleft: \n"
        )
    );
}
