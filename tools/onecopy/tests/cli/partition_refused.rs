// SPDX-License-Identifier: GPL-2.0

//! What the verbs about partitions refuse, with which exit status, and what is left then.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::full_disk::run_on_small_disk;
use crate::partition_table::dir;
use crate::partition_table::parsed;
use crate::partition_table::put_system;
use crate::util::eqnice;
use crate::util::refused;
use crate::util::Dir;

/// How many moments a change is killed at, and how far they are apart.
const MOMENTS: u32 = 16;
const STEP: Duration = Duration::from_millis(1);

fn table(dir: &Dir) -> String {
    fs::read_to_string(dir.path("store/partitions/table.toml")).unwrap()
}

#[test]
fn exit_statuses_say_what_kind_of_failure_it_is() {
    let dir = dir();
    let define = |name: &'static str, more: &[&'static str]| {
        [&["partition", "define", name, "--kernel", "K1"], more].concat()
    };
    let none = "There is no partition web; none is defined";
    for args in [
        &["partition", "show", "web"][..],
        &["partition", "rollback", "web"],
        &["partition", "remove", "web"],
        &["partition", "upgrade", "web", "--kernel", "K2"],
        &["partition", "define", "web", "--replace"],
        &["ipl", "--partition", "web"],
    ] {
        assert_eq!(refused(&dir, args, 3), none, "{args:?}");
    }
    let missing = "There is no saved system NOSUCH in DIR/store; there are: K1, K2";
    let args = ["partition", "define", "web", "--kernel", "nosuch"];
    assert_eq!(refused(&dir, &args, 3), missing);
    dir.ok(&define("web", &["--memory", "512M"]));
    let before = table(&dir);
    let args = ["partition", "upgrade", "web", "--kernel", "NOSUCH"];
    assert_eq!(refused(&dir, &args, 3), missing);
    assert_eq!(
        refused(&dir, &["partition", "show", "db"], 3),
        "There is no partition db; there are: web"
    );
    assert_eq!(
        refused(&dir, &define("web", &[]), 4),
        "There is a partition web already; --replace gives it other resources, and the verb \
         partition upgrade another kernel"
    );
    assert_eq!(
        refused(
            &dir,
            &["partition", "define", "web", "--replace", "--kernel", "K2"],
            4
        ),
        "Partition web has kernel K1; --replace does not change that, the verb partition upgrade \
         does"
    );
    assert_eq!(
        refused(&dir, &define("db", &["--memory", "640M"]), 5),
        "Partition db does not fit: 640 MiB of memory are wanted, and of the 1024 MiB that the host \
         gives other partitions have 512; take less, or say --overcommit"
    );
    // What the kernel could not give is no question of the inventory.
    assert_eq!(
        refused(
            &dir,
            &define("db", &["--memory", "300M", "--overcommit"]),
            1
        ),
        "Memory is added to the 256 MiB of this system in steps of 128 MiB, up to 16640 MiB"
    );
    assert_eq!(
        refused(&dir, &define("db", &["--segment", "USR"]), 3),
        "Cannot attach segments from store: There is no segment USR; nothing has been saved"
            .replace("store", dir.path("store").to_str().unwrap())
            .replace(dir.path("").to_str().unwrap(), "DIR/")
    );
    assert_eq!(
        refused(&dir, &define("db", &["--resource", "partition=x"]), 1),
        "Partition db cannot be defined so: other: \"partition\" is a key that every guest is told \
         already"
    );
    assert_eq!(table(&dir), before);
    dir.ok(&define("db", &["--memory", "1G", "--overcommit"]));
}

#[test]
fn a_restricted_kernel_serves_only_its_guests() {
    let dir = dir();
    let limits = "restricted = true\nallow = [\"web\"]\n";
    put_system(&dir.path("store"), "KR", "cc33", limits);
    assert_eq!(
        refused(&dir, &["partition", "define", "db", "--kernel", "KR"], 7),
        "Guest db may not start from KR, which is restricted to: web"
    );
    dir.ok(&["partition", "define", "web", "--kernel", "KR"]);
}

#[test]
fn resources_are_taken_from_a_file_too() {
    let dir = dir();
    dir.file(
        "web.toml",
        "format = 1\nmemory_mib = 256\ncpus = 1\nhostname = \"shop\"\n",
    );
    let define = [
        "partition",
        "define",
        "web",
        "--kernel",
        "K1",
        "--from",
        "web.toml",
    ];
    let said = parsed(&dir, &define);
    assert_eq!(said["partition"]["resources"]["hostname"], "shop");
    dir.file(
        "web.toml",
        "format = 1\nmemory_mib = 256\ncpus = 1\nhostnam = \"shop\"\n",
    );
    let said = refused(&dir, &[&define[..], &["--replace"]].concat(), 6);
    let start = "web.toml cannot be used; correct it there, or bring back an older one: line 4, \
                 column 1: unknown field `hostnam`";
    assert!(said.starts_with(start), "{said}");
    for more in [&["--cpus", "2"][..], &["--overcommit"]] {
        let ran = dir.run(&[&define[..], more].concat());
        assert_eq!(ran.code, Some(2), "{ran:?}");
    }
}

#[test]
fn damage_is_reported_with_file_line_and_column() {
    let dir = dir();
    dir.ok(&["partition", "define", "web", "--kernel", "K1"]);
    dir.ok(&["partition", "define", "db", "--kernel", "K1"]);
    let advice = "cannot be used; correct it there, or bring back an older one: ";

    let path = dir.path("store/partitions/resources/db.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("= 256", "= 256M")).unwrap();
    let place = format!("DIR/store/partitions/resources/db.toml {advice}line 2, column ");
    for args in [
        &["partition", "show", "db"][..],
        &["partition", "upgrade", "db", "--kernel", "K2"],
        &["partition", "define", "ci", "--kernel", "K1"],
        &["ipl", "--partition", "db"],
    ] {
        let said = refused(&dir, args, 6);
        assert!(said.starts_with(&place), "{said}");
    }
    // The others are listed, and the list is not as it should be.
    let ran = dir.run(&["partition", "list"]);
    assert_eq!(ran.code, Some(6));
    assert!(ran.stdout.contains("\nweb  "), "{}", ran.stdout);
    assert!(
        ran.stderr.starts_with(&format!("onecopy: db: {place}")),
        "{}",
        ran.stderr
    );
    dir.ok(&["partition", "define", "db", "--replace"]);
    dir.ok(&["partition", "list"]);

    let inventory = dir.file("store/partitions/inventory.toml", "format = 1\ncpu = 2\n");
    let said = refused(&dir, &["partition", "list"], 6);
    let start =
        format!("DIR/store/partitions/inventory.toml {advice}line 2, column 1: unknown field");
    assert!(said.starts_with(&start), "{said}");
    fs::remove_file(inventory).unwrap();

    let path = dir.path("store/partitions/table.toml");
    let text = fs::read_to_string(&path).unwrap();
    let cut = text.get(..text.len() - 30).unwrap();
    fs::write(&path, cut).unwrap();
    let start = format!("DIR/store/partitions/table.toml {advice}line ");
    for args in [
        &["partition", "list"][..],
        &["partition", "remove", "web"],
        &["partition", "define", "ci", "--kernel", "K1"],
    ] {
        let said = refused(&dir, args, 6);
        assert!(said.starts_with(&start), "{said}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), cut);
}

#[test]
fn links_in_the_store_are_not_followed() {
    let dir = dir();
    dir.ok(&["partition", "define", "web", "--kernel", "K1"]);
    let path = dir.path("store/partitions/resources/web.toml");
    fs::rename(&path, dir.path("elsewhere.toml")).unwrap();
    let said = refused(&dir, &["partition", "show", "web"], 6);
    let start =
        "DIR/store/partitions/resources/web.toml is missing: the resources of partition web; ";
    assert!(said.starts_with(start), "{said}");
    symlink(dir.path("elsewhere.toml"), &path).unwrap();
    assert_eq!(
        refused(&dir, &["partition", "show", "web"], 6),
        "DIR/store/partitions/resources/web.toml is a symbolic link, which is not followed; put the \
         file itself there"
    );
}

#[test]
fn a_run_directory_that_is_none_changes_nothing() {
    let dir = dir();
    dir.ok(&["partition", "define", "web", "--kernel", "K1"]);
    let before = table(&dir);
    dir.file("run", "");
    for args in [
        &["partition", "remove", "web"][..],
        &["partition", "upgrade", "web", "--kernel", "K2", "--now"],
    ] {
        assert_eq!(
            refused(&dir, args, 1),
            "Cannot open DIR/run: Not a directory (os error 20)"
        );
    }
    assert_eq!(table(&dir), before);
    fs::remove_file(dir.path("run")).unwrap();
    // Whose record is not understood may run in any partition.
    let record = dir.file("run/guests/db/guest.toml", "guest = \"db\"\n");
    let error = refused(&dir, &["partition", "remove", "web"], 6);
    let start = "DIR/run/guests/db/guest.toml is not understood, and its guest may run; ";
    assert!(error.starts_with(start), "{error}");
    assert_eq!(table(&dir), before);
    dir.ok(&["partition", "list"]);
    // What is left of a guest whose keeper was killed is no guest. There is no process of this number.
    let store = dir.path("store");
    let text = format!(
        "guest = \"db\"\nsystem = \"K1\"\ngeneration = 1\npartition = \"web\"\nstore = {store:?}\n\
         memory_bytes = 0\ncpus = 1\nready = true\n[keeper]\npid = 4194304\nstart_ticks = 1\n"
    );
    fs::write(record, text).unwrap();
    dir.ok(&["partition", "remove", "web"]);
}

#[test]
fn a_full_disk_leaves_the_table_as_it_was() {
    let dir = Dir::new();
    for (name, id) in [("K1", "aa11"), ("K2", "bb22")] {
        put_system(&dir.path("ready"), name, id, "");
    }
    // Some blocks are freed again, as many as files need that are only looked at.
    let script = "cp -a --sparse=always ready/systems store/
        $onecopy partition define web --kernel K1 --overcommit | cut -d, -f1
        cp store/partitions/table.toml before; cp store/partitions/resources/web.toml before.web
        dd if=/dev/zero of=store/full bs=4096 2>/dev/null
        $onecopy partition upgrade web --kernel K2 2>&1; echo \"exit $?\"
        $onecopy partition define web --replace --cpus 2 --overcommit 2>&1; echo \"exit $?\"
        $onecopy partition define db --kernel K1 --overcommit 2>&1; echo \"exit $?\"
        cmp before store/partitions/table.toml; cmp before.web store/partitions/resources/web.toml
        ls -A store/partitions store/partitions/resources
        rm store/full; mkdir -p store/segments/USR
        $onecopy partition upgrade web --kernel K2; echo \"exit $?\"";
    let Some(said) = run_on_small_disk(&dir, script) else {
        return;
    };
    let full = "No space left on device (os error 28)\nexit 5\n";
    let files = "DIR/store/partitions/";
    eqnice!(
        said,
        format!(
            "web: kernel K1\n\
             onecopy: Cannot write {files}table.toml: {full}\
             onecopy: Cannot write {files}resources/web.toml: {full}\
             onecopy: Cannot write {files}resources/db.toml: {full}\
             store/partitions:\nresources\ntable.toml\n\nstore/partitions/resources:\nweb.toml\n\
             web: kernel K2 instead of K1 from the next IPL on\nexit 0\nleft: \n"
        )
    );
}

#[test]
fn a_change_killed_at_any_moment_leaves_the_old_or_the_new() {
    let dir = dir();
    dir.ok(&["partition", "define", "web", "--kernel", "K1"]);
    for moment in 0..MOMENTS {
        let kernel = ["K1", "K2"][usize::from(moment % 2 == 0)];
        for args in [
            &["partition", "upgrade", "web", "--kernel", kernel][..],
            &[
                "partition",
                "define",
                "web",
                "--replace",
                "--hostname",
                kernel,
            ],
            &["partition", "define", "db", "--kernel", "K1"],
        ] {
            let mut command = dir.command(args);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn().unwrap();
            thread::sleep(STEP * moment);
            child.kill().unwrap();
            child.wait().unwrap();
            let list = parsed(&dir, &["partition", "list"]);
            assert_eq!(list["invalid"], serde_json::json!([]), "{args:?}");
            let web = &list["partitions"]
                .as_array()
                .unwrap()
                .last()
                .unwrap()
                .clone();
            assert!(
                ["K1", "K2"].contains(&web["kernel"].as_str().unwrap()),
                "{web}"
            );
        }
        if dir.run(&["partition", "show", "db"]).code == Some(0) {
            dir.ok(&["partition", "remove", "db"]);
        }
    }
    dir.ok(&["partition", "define", "db", "--kernel", "K1"]);
    dir.ok(&["partition", "upgrade", "web", "--kernel", "K2"]);
    let left = fs::read_dir(dir.path("store/partitions")).unwrap();
    let left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut left: Vec<String> = left.collect();
    left.sort_unstable();
    assert_eq!(left, ["inventory.toml", "resources", "table.toml"]);
}
