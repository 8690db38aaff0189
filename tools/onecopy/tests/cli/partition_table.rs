// SPDX-License-Identifier: GPL-2.0

//! Partitions without guests: what the verbs say, in words and in JSON.
//!
//! The saved systems are ones that nobody has saved: their files are zeroes, and their manifests say
//! so. That is all that these verbs look at.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::json;
use serde_json::Value;
use sha2::Digest;
use sha2::Sha256;

use crate::util::eqnice;
use crate::util::Dir;

const SEGMENT: u64 = 2 << 20;

/// Where the JSON is documented.
const MANUAL: &str = "../../Documentation/admin-guide/onecopy-partitions.rst";

/// What all partitions of these tests have unless something else is said.
const INVENTORY: &str = "format = 1\nmemory_mib = 1024\ncpus = 2\n";

fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Puts the first generation of a system with 256 MiB into a store.
pub(crate) fn put_system(store: &Path, name: &str, build_id: &str, limits: &str) {
    let directory = store.join("systems").join(name).join("1");
    fs::create_dir_all(&directory).unwrap();
    let format = if limits.is_empty() { 1 } else { 2 };
    let (end, memory) = (2 * SEGMENT, 256_u64 << 20);
    let mut body = format!(
        "format = {format}\nname = \"{name}\"\ngeneration = 1\nsaved_unix_seconds = 1800000000\n{limits}\
         [machine]\nqemu = \"10.0.2\"\nboard = \"pc-q35-10.0\"\naccel = \"tcg\"\ncpu = \"max\"\n\
         memory_bytes = {memory}\nmax_cpus = 16\nhotplug_slots = 16\nhotplug_bytes = {}\n\
         root_ports = 8\n\
         [kernel]\nbuild_id = \"{build_id}\"\ncommand_line = \"quiet\"\nimage_end = {end}\n\
         gate = {SEGMENT}\n",
        16_u64 << 30
    );
    for (start, end, kind) in [
        (0, SEGMENT, "EW"),
        (SEGMENT, end, "SR"),
        (end, memory, "EN"),
    ] {
        body.push_str(&format!(
            "[[ranges]]\nstart = {start}\nend = {end}\ntype = \"{kind}\"\nindex = 0\n"
        ));
    }
    for (file, size) in [("ew-0.img", SEGMENT), ("sr-0.img", SEGMENT), ("state", 1)] {
        let content = vec![0; size.try_into().unwrap()];
        fs::File::create(directory.join(file))
            .unwrap()
            .set_len(size)
            .unwrap();
        body.push_str(&format!(
            "[[files]]\nname = \"{file}\"\nsize_bytes = {size}\nsha256 = \"{}\"\n",
            sha256(&content)
        ));
    }
    let seal = sha256(body.as_bytes());
    fs::write(
        directory.join("manifest.toml"),
        format!("{body}# sha256 = {seal}\n"),
    )
    .unwrap();
    symlink("1", directory.with_file_name("current")).unwrap();
}

/// Makes a directory whose store has the systems K1 and K2.
pub(crate) fn dir() -> Dir {
    let dir = Dir::new();
    put_system(&dir.path("store"), "K1", "aa11", "");
    put_system(&dir.path("store"), "K2", "bb22", "");
    dir.file("store/partitions/inventory.toml", INVENTORY);
    dir
}

pub(crate) fn parsed(dir: &Dir, args: &[&str]) -> Value {
    serde_json::from_str(&dir.ok(&[args, &["--json"]].concat())).unwrap()
}

/// Hides what is different each time: a time and a machine-id.
fn steady(mut partition: Value) -> Value {
    assert!(partition["changed_unix_seconds"].as_u64().unwrap() > 1_700_000_000);
    partition["changed_unix_seconds"] = json!(0);
    let id = partition["resources"]["machine_id"].as_str().unwrap();
    assert_eq!(id.len(), 32);
    partition["resources"]["machine_id"] = json!("ID");
    partition
}

/// The partition that the first `define` of a test makes, as JSON shows it.
fn web(kernel: &str, previous: Option<&str>, build_id: &str) -> Value {
    json!({
        "name": "web", "kernel": kernel, "previous": previous, "changed_unix_seconds": 0,
        "state": "stopped", "next": { "generation": 1, "build_id": build_id }, "error": null,
        "guest": null, "resources_file": "DIR/store/partitions/resources/web.toml",
        "resources": {
            "memory_bytes": 256 << 20, "cpus": 1, "segments": [], "nics": [], "disks": [],
            "hostname": null, "machine_id": "ID", "group": null, "parm": null, "other": {},
            "small_pages": false, "balloon": false, "smsg": false, "overcommit": false,
        },
    })
}

#[test]
fn every_verb_shows_the_partition_as_documented() {
    let dir = dir();
    let define = ["partition", "define", "web", "--kernel", "k1"];
    let said = parsed(&dir, &define);
    let expected = |action: &str, changed: bool| {
        json!({
            "action": action, "changed": changed, "restarted": null, "partition": null,
        })
    };
    let check = |mut said: Value, expected: Value, partition: Value| {
        assert_eq!(steady(said["partition"].take()), partition);
        assert_eq!(said, expected);
    };
    check(said, expected("defined", true), web("K1", None, "aa11"));
    let said = parsed(&dir, &["partition", "upgrade", "web", "--kernel", "K2"]);
    check(
        said,
        expected("upgraded", true),
        web("K2", Some("K1"), "bb22"),
    );
    let said = parsed(
        &dir,
        &["partition", "upgrade", "web", "--kernel", "K2", "--now"],
    );
    check(
        said,
        expected("upgraded", false),
        web("K2", Some("K1"), "bb22"),
    );
    let said = parsed(&dir, &["partition", "show", "web"]);
    check(
        said,
        json!({ "partition": null }),
        web("K2", Some("K1"), "bb22"),
    );
    let said = parsed(&dir, &["partition", "rollback", "web"]);
    check(said, expected("rolled-back", true), web("K1", None, "aa11"));
    let said = parsed(&dir, &["partition", "define", "web", "--replace"]);
    check(said, expected("replaced", true), web("K1", None, "aa11"));

    let mut list = parsed(&dir, &["partition", "list"]);
    let partition = steady(list["partitions"][0].take());
    assert_eq!(partition, web("K1", None, "aa11"));
    assert_eq!(
        list,
        json!({
            "partitions": [null], "invalid": [],
            "inventory": {
                "file": "DIR/store/partitions/inventory.toml", "memory_bytes": 1 << 30, "cpus": 2,
                "segments": null, "disks": null, "taken_memory_bytes": 256 << 20, "taken_cpus": 1,
            },
        })
    );
    let said = parsed(&dir, &["partition", "remove", "web"]);
    assert_eq!(said, json!({ "removed": "web", "kernel": "K1" }));
    assert_eq!(
        parsed(&dir, &["partition", "list"])["partitions"],
        json!([])
    );
}

/// Collects all names of fields.
fn fields(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                found.push(key.clone());
                // What is in there has names of the user.
                if key != "other" {
                    fields(value, found);
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| fields(value, found)),
        _ => {}
    }
}

/// Makes sure that the manual explains everything in this JSON.
#[track_caller]
pub(crate) fn assert_documented(value: &Value) {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join(MANUAL);
    let manual = fs::read_to_string(manual).unwrap();
    let (_, section) = manual.split_once("\nJSON\n====\n").unwrap();
    let (section, _) = section.split_once("\n===").unwrap();
    let mut found = Vec::new();
    fields(value, &mut found);
    for field in found {
        let is_there = section.lines().any(|line| {
            let names = line.trim_start().split("  ").next().unwrap_or_default();
            names.split(", ").any(|name| name == field)
        });
        assert!(is_there, "{field}");
    }
}

#[test]
fn every_field_is_in_the_manual() {
    let dir = dir();
    dir.file("d.img", "");
    let define = [
        "partition",
        "define",
        "web",
        "--kernel",
        "K1",
        "--disk",
        "d.img,readonly",
    ];
    assert_documented(&parsed(&dir, &define));
    dir.ok(&["partition", "define", "db", "--kernel", "K1"]);
    dir.file("store/partitions/resources/db.toml", "format = 1\n");
    let ran = dir.run(&["partition", "list", "--json"]);
    assert_eq!(ran.code, Some(6));
    let list: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(list["invalid"][0]["name"], "db");
    assert_documented(&list);
    assert_documented(&parsed(&dir, &["partition", "remove", "web"]));
}

#[test]
fn people_get_tables_and_sentences() {
    let dir = dir();
    let file = "DIR/store/partitions/resources/web.toml";
    eqnice!(
        dir.ok(&["partition", "list"]),
        "PARTITION  KERNEL  PREVIOUS  STATE  GUEST  RUNS  MEMORY  CPUS\n\
         Partitions have 0 B of 1 GiB and 0 of 2 processors that \
         DIR/store/partitions/inventory.toml gives\n"
    );
    let id = "0123456789abcdef0123456789abcdef";
    dir.file("d.img", "");
    eqnice!(
        dir.ok(&[
            "partition",
            "define",
            "web",
            "--kernel",
            "K1",
            "--memory",
            "512M",
            "--cpus",
            "2",
            "--machine-id",
            id,
            "--nic",
            "user,mac=02:00:00:00:00:01",
            "--disk",
            "d.img,readonly",
            "--hostname",
            "shop",
            "--parm",
            "quiet",
            "--resource",
            "role=db",
            "--small-pages",
            "--balloon",
        ]),
        format!("web: kernel K1, 512 MiB, 2 processors, {file}\n")
    );
    let text = fs::read_to_string(dir.path("store/partitions/resources/web.toml")).unwrap();
    let root = dir.path("");
    eqnice!(
        text.replace(root.to_str().unwrap(), "DIR/"),
        format!(
            "format = 1\nmemory_mib = 512\ncpus = 2\nnics = [\"user,mac=02:00:00:00:00:01\"]\n\
             hostname = \"shop\"\nmachine_id = \"{id}\"\nparm = \"quiet\"\nsmall_pages = true\nballoon = true\n\n\
             [[disk]]\nfile = \"DIR/d.img\"\nreadonly = true\n\n[other]\nrole = \"db\"\n"
        )
    );
    eqnice!(
        dir.ok(&["partition", "upgrade", "web", "--kernel", "K2"]),
        "web: kernel K2 instead of K1 from the next IPL on\n"
    );
    eqnice!(
        dir.ok(&["partition", "upgrade", "web", "--kernel", "K2", "--now"]),
        "web: kernel K2 already; no guest runs in it\n"
    );
    eqnice!(
        dir.ok(&["partition", "show", "web"]),
        format!(
            "Partition   web\n\
             Kernel      K2 generation 1, build-id bb22\n\
             Previous    K1\n\
             State       stopped\n\
             Memory      512 MiB\n\
             Processors  2\n\
             Network     user,mac=02:00:00:00:00:01\n\
             Disk        DIR/d.img, read-only\n\
             Host name   shop\n\
             Machine-id  {id}\n\
             Parm        quiet\n\
             Told        role=db\n\
             Pages       small\n\
             Balloon     yes\n\
             Resources   {file}\n"
        )
    );
    eqnice!(
        dir.ok(&["partition", "list"]),
        "PARTITION  KERNEL  PREVIOUS  STATE    GUEST  RUNS  MEMORY   CPUS\n\
         web        K2      K1        stopped  -      -     512 MiB  2\n\
         Partitions have 512 MiB of 1 GiB and 2 of 2 processors that \
         DIR/store/partitions/inventory.toml gives\n"
    );
    eqnice!(
        dir.ok(&["partition", "rollback", "web"]),
        "web: kernel K1 instead of K2 from the next IPL on\n"
    );
    eqnice!(dir.ok(&["partition", "remove", "web"]), "web: removed\n");
    assert!(!dir.path("store/partitions/resources/web.toml").exists());
}
