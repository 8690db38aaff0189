// SPDX-License-Identifier: GPL-2.0

//! Trust groups: what guests of one group have is not mapped by those of another.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use serde_json::Value;

use crate::saved::Host;
use crate::util::eqnice;
use crate::util::Dir;

const OTHERS: &str = "guests share pages with those of their own group only\n";

#[track_caller]
fn refused(dir: &Dir, args: &[&str], expected: &str) {
    let ran = dir.run(args);
    // It has another group, or may not mix with it.
    assert!(matches!(ran.code, Some(4 | 7)), "{args:?}: {ran:?}");
    assert!(ran.stderr.contains(expected), "{args:?}: {}", ran.stderr);
}

#[test]
fn a_segment_space_keeps_its_group_and_shows_it() {
    let dir = Dir::new();
    dir.file("data", [1; 4096]);
    let save = |name: &'static str| ["saveseg", name, "--from-image", "data"];
    dir.ok(&save("USR"));
    assert!(!dir.ok(&["query", "seg"]).contains("GROUP"));
    dir.ok(&[&save("OPT")[..], &["--group", "a"]].concat());
    // Without a word it stays.
    dir.ok(&save("OPT"));
    for (name, group, found) in [("OPT", "default", "a"), ("USR", "a", "default")] {
        let args = [&save(name)[..], &["--group", group]].concat();
        let expected = format!("Segment space {name} is of trust group {found}, and not {group}: ");
        refused(&dir, &args, &expected);
    }
    assert_eq!(
        dir.store().generations("OPT".parse().unwrap()).unwrap(),
        [2]
    );
    let listed = dir.ok(&["query", "seg"]);
    let groups: Vec<_> = listed
        .lines()
        .map(|line| line.split_whitespace().last().unwrap())
        .collect();
    assert_eq!(groups, ["GROUP", "a", "default"]);
    let listed: Value = serde_json::from_str(&dir.ok(&["query", "seg", "--json"])).unwrap();
    assert_eq!(listed["segment_spaces"][0]["group"], "a");
    assert_eq!(listed["segment_spaces"][1]["group"], "default");
    let ran = dir.run(&["saveseg", "X", "--from-image", "data", "--group", "a/b"]);
    assert_eq!(ran.code, Some(2));
}

#[test]
fn a_save_that_fails_and_a_purge_leave_no_group() {
    let dir = Dir::new();
    dir.file("data", [1; 4096]);
    let file = dir.path("store/segments/OPT/group");
    let save = |image: &'static str| ["saveseg", "OPT", "--from-image", image, "--group", "a"];
    assert_eq!(dir.run(&save("nosuch")).code, Some(1));
    assert!(!file.exists());
    dir.ok(&save("data"));
    assert_eq!(fs::read_to_string(&file).unwrap(), "a\n");
    dir.ok(&["purge", "seg", "OPT"]);
    assert!(!file.exists());
    // It is a new name, for everybody.
    dir.ok(&["saveseg", "OPT", "--from-image", "data"]);
    assert!(!dir.ok(&["query", "seg"]).contains("GROUP"));
}

#[test]
fn boot_attaches_segments_of_its_group_only() {
    let dir = Dir::new();
    dir.file("data", [1; 4096]);
    dir.ok(&["saveseg", "OPT", "--from-image", "data", "--group", "a"]);
    let boot = ["boot", "--kernel", "nosuch", "--segment", "OPT"];
    let ran = dir.run(&boot);
    eqnice!(
        ran.stderr,
        format!(
            "onecopy: Cannot attach segments from DIR/store: Segment space OPT is of trust group a, and the \
             guest of default: {OTHERS}"
        )
    );
    // In its group the next thing is wrong.
    let ran = dir.run(&[&boot[..], &["--group", "a"]].concat());
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("Cannot open nosuch"), "{ran:?}");
}

#[test]
fn a_defined_group_is_saved_or_contradicted() {
    let dir = Dir::new();
    let ranges = ["0-FFF", "EW", "1000-17FF", "SR", "1800-5FFF", "EN"];
    let defined = dir.ok(&[&["defsys", "LX", "--group", "a"], &ranges[..]].concat());
    assert!(defined.ends_with(", trust group a\n"), "{defined}");
    let listed: Value = serde_json::from_str(&dir.ok(&["query", "nss", "--json"])).unwrap();
    assert_eq!(listed["skeletons"][0]["group"], "a");
    dir.file("kernel", "");
    let save = ["savesys", "LX", "--kernel", "kernel", "--group", "b"];
    refused(&dir, &save, "trust group a, and not b");
}

/// Returns the files of the current generation of a system, as inodes.
fn inodes(host: &Host, name: &str) -> Vec<(String, u64)> {
    let directory: PathBuf = host.dir.path("store/systems").join(name).join("current");
    let mut found: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, entry.metadata().unwrap().ino())
        })
        .filter(|(name, _)| name.ends_with(".img"))
        .collect();
    found.sort();
    found
}

#[test]
fn guests_have_the_group_of_their_system_and_mix_with_no_other() {
    let Some(host) = Host::empty() else { return };
    let dir = &host.dir;
    dir.ok(&host.save_arguments());
    let mut save = host.save_arguments();
    save[1] = "LXA";
    save.extend(["--group", "a"]);
    assert!(dir.ok(&save).contains(", trust group a: "));
    // What is equal in both is there twice, so that the page cache has it twice.
    let (ours, others) = (inodes(&host, "LX"), inodes(&host, "LXA"));
    assert!(ours.len() >= 2 && ours.len() == others.len());
    assert!(ours
        .iter()
        .zip(&others)
        .all(|(one, other)| one.0 == other.0 && one.1 != other.1));

    dir.file("data", [1; 4096]);
    dir.ok(&["saveseg", "USR", "--from-image", "data"]);
    dir.ok(&["saveseg", "OPT", "--from-image", "data", "--group", "a"]);
    for (system, segment) in [("LX", "OPT"), ("LXA", "USR")] {
        refused(dir, &["ipl", system, "--segment", segment], OTHERS);
        let define = [
            "partition",
            "define",
            "web",
            "--kernel",
            system,
            "--segment",
            segment,
        ];
        refused(dir, &define, OTHERS);
    }
    refused(
        dir,
        &["ipl", "LXA", "--group", "b"],
        "LXA is of trust group a, and not b: ",
    );
    let define = ["partition", "define", "web", "--kernel", "LXA"];
    refused(
        dir,
        &[&define[..], &["--group", "b"]].concat(),
        "LXA is of trust group a, and not b: ",
    );
    dir.ok(&[&define[..], &["--group", "a", "--segment", "OPT"]].concat());
    assert!(dir
        .ok(&["partition", "show", "web"])
        .contains("Trust group a"));
    // A kernel of another group would take the partition along.
    refused(
        dir,
        &["partition", "upgrade", "web", "--kernel", "LX"],
        "LX is of trust group default, and not a: ",
    );

    dir.ok(&["ipl", "LX", "--as", "one", "--segment", "USR"]);
    dir.ok(&["ipl", "--partition", "web"]);
    let listed = dir.ok(&["query", "guests"]);
    let title = listed.lines().next().unwrap();
    assert!(title.contains("PARTITION  GROUP"), "{title}");
    let listed: Value = serde_json::from_str(&dir.ok(&["query", "guests", "--json"])).unwrap();
    let groups: Vec<_> = listed["guests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["group"])
        .collect();
    assert_eq!(groups, ["default", "a"]);
}

#[test]
fn a_guest_is_saved_in_its_own_group_and_a_new_generation_keeps_it() {
    let Some(host) = Host::empty() else { return };
    let dir = &host.dir;
    let mut save = host.save_arguments();
    let plain = save.clone();
    save.extend(["--group", "a"]);
    dir.ok(&save);
    dir.ok(&["ipl", "LX", "--as", "web"]);
    host.say("web", "save\n");
    dir.ok(&["savesys", "WARM", "--running", "web"]);
    let group = |name: &str| {
        let listed: Value =
            serde_json::from_str(&dir.ok(&["query", "nss", name, "--json"])).unwrap();
        listed["saved_systems"][0]["group"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(group("WARM"), "a");
    dir.ok(&plain);
    assert_eq!(group("LX"), "a");
    // A manifest that an older version would take for one without a group is refused.
    host.forge_manifest(2, "format = 2", "format = 1");
    let ran = dir.run(&["ipl", "LX"]);
    assert_eq!(ran.code, Some(6), "{ran:?}");
    let expected = "it has the format of a system of another class";
    assert!(ran.stderr.contains(expected), "{ran:?}");
}
