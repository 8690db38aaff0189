// SPDX-License-Identifier: GPL-2.0

//! Definitions that are saved, with the real kernel.

use std::process::Stdio;
use std::thread;
use std::time::Instant;

use crate::saved::Host;
use crate::savesys::names;
use crate::util::eqnice;
use crate::util::processes_with;
use crate::util::refused;
use crate::util::wait_until;

/// How many moments a save is killed at.
const MOMENTS: u32 = 8;

#[test]
fn a_restricted_system_is_saved_and_starts_only_its_guests() {
    let Some(host) = Host::empty() else { return };
    let dir = &host.dir;
    let [kernel, initrd] = [host.kernel.as_str(), host.initrd.as_str()];
    let defsys = ["defsys", "LX", "--kernel", kernel, "--memory", "256M"];
    let said = dir.ok(&[&defsys[..], &["--restricted", "--allow", "web"]].concat());
    let ranges = said.strip_prefix("DEFSYS LX ").unwrap();
    let ranges = ranges.strip_suffix(" MINSIZE=256M RSTD\n").unwrap();
    let savesys = ["savesys", "LX", "--initrd", initrd, "--accel", "tcg"];
    eqnice!(
        dir.ok(&savesys),
        format!("LX generation 1, class R: 256 MiB, {ranges}, DIR/store/systems/LX/1\n")
    );
    assert_eq!(names(dir), [".lock", "1", "current"]);

    assert_eq!(
        refused(dir, &["ipl", "LX", "--as", "db"], 7),
        "Guest db may not start from LX, which is restricted to: web"
    );
    assert_eq!(
        refused(dir, &["ipl", "LX", "--foreground"], 7),
        "LX is restricted to: web; --as says which of them is started"
    );
    assert!(!dir.path("run").exists() || host.ready_guests().is_empty());
    eqnice!(
        dir.ok(&["ipl", "LX", "--as", "web"]),
        "web: started from LX generation 1\n"
    );

    // The next one is defined while this one is used, and not restricted.
    dir.ok(&[&defsys[..], &["--kernel-memory", "128M"]].concat());
    let list = dir.ok(&["query", "nss"]);
    let rows: Vec<Vec<&str>> = list
        .lines()
        .map(|row| row.split_whitespace().collect())
        .collect();
    assert_eq!(rows[1][..4], ["LX", "-", "S", "0"], "{list}");
    assert_eq!(rows[2][..4], ["LX", "1", "R", "1"], "{list}");
    assert_eq!(rows[2].last(), Some(&"web"), "{list}");
    let said = dir.ok(&savesys);
    assert!(said.starts_with("LX generation 2: 256 MiB, "), "{said}");
    let list = dir.ok(&["query", "nss", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let classes = [0, 1].map(|at| list["saved_systems"][at]["class"].as_str().unwrap());
    assert_eq!(classes, ["P", "A"]);
    assert_eq!(
        list["saved_systems"][0]["allow"],
        serde_json::json!(["web"])
    );
    assert_eq!(list["skeletons"], serde_json::json!([]));
    dir.ok(&["ipl", "LX", "--as", "db"]);
    for guest in ["web", "db"] {
        dir.ok(&["logoff", guest, "--now"]);
    }
    host.wait_for_silence();
}

#[test]
fn a_system_all_of_which_is_saved_starts() {
    let Some(host) = Host::empty() else { return };
    let dir = &host.dir;
    let [kernel, initrd] = [host.kernel.as_str(), host.initrd.as_str()];
    let said = dir.ok(&[
        "defsys",
        "LX",
        "--kernel",
        kernel,
        "--memory",
        "128M",
        "--dry-run",
    ]);
    // The kernel's part of what is shown, cut in two, and all that is behind it.
    let words: Vec<&str> = said.split_whitespace().collect();
    let (shared, data) = (words[4], words[6].split_once('-').unwrap().0);
    let ranges = format!("0-7FFEW 800-FFFEW {shared}SR {data}-4FFFEW 5000-7FFFEW");
    dir.ok(&["defsys", "LX", &ranges]);
    dir.ok(&[
        "savesys", "LX", "--kernel", kernel, "--initrd", initrd, "--accel", "tcg",
    ]);
    dir.ok(&["ipl", "LX"]);
    let table = dir.ok(&["query", "guests"]);
    assert!(!table.contains(" EN "), "{table}");
    dir.ok(&["logoff", "lx1", "--now"]);
    host.wait_for_silence();
}

#[test]
fn definitions_and_saves_at_the_same_time_do_not_disturb_each_other() {
    let Some(host) = Host::empty() else { return };
    let dir = &host.dir;
    let [kernel, initrd] = [host.kernel.as_str(), host.initrd.as_str()];
    let defsys = ["defsys", "LX", "--kernel", kernel, "--memory", "256M"];
    dir.ok(&defsys);
    let savesys = ["savesys", "LX", "--initrd", initrd, "--accel", "tcg"];
    let spawn = || {
        let mut command = dir.command(&savesys);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let saves = [spawn(), spawn()];
    // Both have taken the first definition when it is replaced, and neither uses up the second.
    wait_until("both templates run", || {
        let drafts = names(dir);
        drafts
            .iter()
            .filter(|name| name.starts_with(".draft-"))
            .count()
            == 2
    });
    dir.ok(&[&defsys[..], &["--restricted", "--allow", "web"]].concat());
    for save in saves {
        let output = save.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.as_str()), (Some(0), ""));
    }
    assert_eq!(names(dir), [".lock", "2", "current", "definition.toml"]);
    assert!(dir.ok(&["query", "nss"]).contains("LX    2    A      0 "));
    let said = dir.ok(&savesys);
    assert!(said.starts_with("LX generation 3, class R: "), "{said}");
    assert_eq!(names(dir), [".lock", "3", "current"]);
}

#[test]
fn a_save_killed_at_any_moment_leaves_the_definition_or_the_system() {
    let Some(host) = Host::empty() else { return };
    let dir = &host.dir;
    let [kernel, initrd] = [host.kernel.as_str(), host.initrd.as_str()];
    let defsys = ["defsys", "LX", "--kernel", kernel, "--memory", "256M"];
    let defsys = [&defsys[..], &["--restricted", "--allow", "web"]].concat();
    let savesys = ["savesys", "LX", "--initrd", initrd, "--accel", "tcg"];
    dir.ok(&defsys);
    let start = Instant::now();
    dir.ok(&savesys);
    let whole = start.elapsed();
    for moment in 0..MOMENTS {
        dir.ok(&["purge", "nss", "LX"]);
        dir.ok(&defsys);
        let mut command = dir.command(&savesys);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        thread::sleep(whole * (moment + 1) / MOMENTS);
        child.kill().unwrap();
        child.wait().unwrap();
        let list = dir.ok(&["query", "nss", "--verify"]);
        assert!(list.contains(" S ") || list.contains(" R "), "{list}");
    }
    wait_until("the templates end", || {
        processes_with(&dir.path("store")).is_empty()
    });
    dir.ok(&defsys);
    dir.ok(&savesys);
    assert_eq!(names(dir).len(), 3, "{:?}", names(dir));
}
